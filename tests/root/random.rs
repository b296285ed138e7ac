//! Random sequences of changes against a model in memory.

use std::collections::BTreeMap;

use banger_ext4::{Attributes, Batch, Error, Flush};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::recorder::Random;
use banger_tests::{engine, fsck};

use crate::needs_kernel;

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Link(Vec<u8>),
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    attributes: Attributes,
}

/// What the tree should be: names to numbers, numbers to nodes.
#[derive(Default)]
struct Model {
    names: BTreeMap<Vec<u8>, usize>,
    nodes: Vec<Node>,
}

impl Model {
    fn node(&self, name: &[u8]) -> Option<&Node> {
        self.names.get(name).map(|n| &self.nodes[*n])
    }

    fn is_directory(&self, name: &[u8]) -> bool {
        name == b"/" || self.node(name).is_some_and(|node| node.kind == Kind::Directory)
    }

    fn put(&mut self, name: Vec<u8>, kind: Kind, attributes: Attributes) {
        self.nodes.push(Node { kind, attributes });
        self.names.insert(name, self.nodes.len() - 1);
    }

    /// Whether what is at `from` may move to `to`.
    fn may_become(&self, from: &[u8], to: &[u8]) -> bool {
        let directory = self.is_directory(from);
        if directory && to.starts_with(&[from, b"/"].concat()) {
            return false;
        }
        match self.names.get(to) {
            _ if from == to => true,
            Some(_) => self.is_directory(to) == directory && self.below(to).is_empty(),
            None => true,
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        let mut moved = self.below(from);
        moved.push(from.to_vec());
        for name in moved {
            let number = self.names.remove(&name).unwrap();
            self.names.insert([to, &name[from.len()..]].concat(), number);
        }
    }

    fn below(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let prefix = [name, b"/"].concat();
        self.names.keys().filter(|other| other.starts_with(&prefix)).cloned().collect()
    }

    /// Lines that a manifest has too: without times, and without sizes of folders.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, number) in &self.names {
            let Node { kind, attributes } = &self.nodes[*number];
            let links = self.names.values().filter(|other| *other == number).count();
            let rest = match kind {
                Kind::Directory => "dir".to_owned(),
                Kind::File(content) => format!(
                    "file {} {links} {}",
                    content.len(),
                    banger_tests::manifest::hash(&content[..]).unwrap()
                ),
                Kind::Link(target) => format!("link {links} {}", target.escape_ascii()),
            };
            let Attributes { mode, uid, gid } = attributes;
            lines.push(format!("{} {mode:04o} {uid}:{gid} {rest}", name.escape_ascii()));
        }
        lines
    }
}

/// A manifest's lines in the model's form.
fn as_model(lines: &[String]) -> Vec<String> {
    let mut found: Vec<_> = lines
        .iter()
        .filter(|line| !line.starts_with("/ ") && !line.starts_with("/lost+found"))
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let value = |key: &str| {
                words.iter().find_map(|word| word.strip_prefix(key)).unwrap_or_default()
            };
            let rest = match words[1] {
                "file" => {
                    format!("file {} {} {}", value("size="), value("links="), value("sha256="))
                }
                "link" => format!("link {} {}", value("links="), words.last().unwrap()),
                kind => kind.to_owned(),
            };
            format!("{} {} {} {rest}", words[0], words[2], words[3])
        })
        .collect();
    found.sort();
    found
}

fn name(random: &mut Random, model: &Model) -> Vec<u8> {
    let folders: Vec<&Vec<u8>> =
        model.names.keys().filter(|name| model.is_directory(name)).collect();
    let mut at = match random.below(folders.len() as u64 + 1) {
        0 => Vec::new(),
        n => folders[n as usize - 1].clone(),
    };
    at.push(b'/');
    let number = random.below(60);
    // Long and odd names too.
    at.extend(format!("n{number}").bytes());
    at.extend(std::iter::repeat_n(b"ab\xc3\"'"[number as usize % 5], number as usize * 4 % 200));
    at
}

fn existing(random: &mut Random, model: &Model) -> Option<Vec<u8>> {
    let count = model.names.len() as u64;
    model.names.keys().nth(random.below(count) as usize).cloned()
}

fn attributes(random: &mut Random) -> Attributes {
    Attributes {
        mode: random.below(0o10000) as u16,
        uid: random.below(200_000) as u32,
        gid: random.below(200_000) as u32,
    }
}

/// One change of both; the model says whether it must succeed.
fn step(random: &mut Random, model: &mut Model, batch: &mut Batch) {
    let to = attributes(random);
    let at = name(random, model);
    let free = !model.is_directory(&at);
    let (expected, result): (bool, Result<(), Error>) = match random.below(14) {
        0..=3 => {
            let len = [0, 10, 5000, 70_000][random.below(4) as usize];
            let fill = random.below(3) as u8;
            let content: Vec<u8> = (0..len).map(|n: u32| (n / 3000) as u8 * fill).collect();
            let result = batch.write_file(&path(&at), to, &content);
            if free {
                model.put(at, Kind::File(content), to);
            }
            (free, result)
        }
        4 | 5 => {
            let there = model.node(&at).is_none() || model.is_directory(&at);
            let result = batch.make_directory(&path(&at), to);
            if there {
                match model.names.get(&at) {
                    Some(number) => model.nodes[*number].attributes = to,
                    None => model.put(at, Kind::Directory, to),
                }
            }
            (there, result)
        }
        6 => {
            // Leads nowhere, so that no other step follows it.
            let target = "x".repeat(1 + random.below(200) as usize).into_bytes();
            let result = batch.symlink(&path(&at), &target, to.uid, to.gid);
            if free {
                model.put(at, Kind::Link(target), Attributes { mode: 0o777, ..to });
            }
            (free, result)
        }
        7 => {
            let Some(from) = existing(random, model) else { return };
            let possible = free && !model.is_directory(&from);
            let result = batch.hard_link(&path(&from), &path(&at));
            if possible {
                let number = model.names[&from];
                model.names.insert(at, number);
            }
            (possible, result)
        }
        8 => {
            let Some(from) = existing(random, model) else { return };
            let result = batch.set_attributes(&path(&from), to);
            let number = model.names[&from];
            model.nodes[number].attributes = to;
            (true, result)
        }
        9 | 10 => {
            let Some(from) = existing(random, model) else { return };
            let possible = model.below(&from).is_empty();
            let result = batch.remove(&path(&from));
            if possible {
                model.names.remove(&from);
            }
            (possible, result)
        }
        11 | 12 => {
            let Some(from) = existing(random, model) else { return };
            let possible = model.may_become(&from, &at);
            let result = batch.rename(&path(&from), &path(&at));
            if possible && model.names.get(&from) != model.names.get(&at) {
                model.rename(&from, &at);
            }
            (possible, result)
        }
        _ => {
            let Some(from) = existing(random, model) else { return };
            // A folder with much in it is kept most of the time.
            if model.below(&from).len() > 20 && random.below(6) > 0 {
                return;
            }
            let result = batch.remove_recursive(&path(&from));
            for gone in model.below(&from) {
                model.names.remove(&gone);
            }
            model.names.remove(&from);
            (true, result)
        }
    };
    assert_eq!(expected, result.is_ok(), "{result:?}");
}

#[test]
fn random_changes_leave_what_a_model_says() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("random.img");
    let seeds = std::env::var("BANGER_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    for seed in 0..seeds {
        let profiles: &[&[&str]] = &[
            &["-b", "1024"],
            &["-b", "4096"],
            &["-b", "1024", "-O", "^metadata_csum"],
            &["-O", "^has_journal", "-b", "2048", "-I", "128"],
            &["-O", "^filetype", "-b", "1024"],
        ];
        fsck::mke2fs(&image, 64 << 20, profiles[seed as usize % profiles.len()]);
        let mut random = Random::new(seed + 1);
        let mut model = Model::default();
        for round in 0..12 {
            let mut batch = Batch::open(disk(&image)).unwrap();
            for _ in 0..60 {
                step(&mut random, &mut model, &mut batch);
            }
            if random.below(5) == 0 {
                // Dropped: the model forgets, too, by reading what is there.
                let mut kept = Batch::open(disk(&image)).unwrap();
                drop(batch);
                assert!(kept.exists(&banger_ext4::ImagePath::root()).unwrap());
                break;
            }
            batch.commit(Flush::ProcessSafe).unwrap();
            fsck::assert_clean(&image);
            let found = as_model(&engine::tree(&image));
            let mut expected = model.lines();
            expected.sort();
            assert_eq!(found, expected, "seed {seed}, round {round}");
        }
        assert_right(&image);
    }
}
