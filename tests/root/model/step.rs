//! One random change of the model and of a batch: both do it, or both refuse.

use banger_ext4::{Attributes, Batch, Error, Node, Timestamp};
use banger_tests::image::path;
use banger_tests::recorder::Random;

use super::content::Content;
use super::tree::{Answer, Entry, Id, Kind, Tree};

/// Longest path that the kernel takes; some are left for what is added below.
const LONGEST: usize = 3500;
/// Directories below each other.
const DEEPEST: usize = 8;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Refused,
    /// The filesystem is full; the batch may be good for nothing now.
    Full,
}

/// The same change of the model.
type Change = Box<dyn FnOnce(&mut Tree) -> Answer<()>>;

/// Where random things come from, and how.
pub struct Dice<'a> {
    pub random: &'a mut Random,
    /// Names there are to choose from, in one directory.
    pub crowd: u64,
    /// Times before 1970, too.
    pub old_times: bool,
}

impl Dice<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    fn name(&mut self) -> Vec<u8> {
        if self.crowd > 0 && self.below(4) > 0 {
            return crowded(self.random.below(self.crowd));
        }
        match self.below(40) {
            0 => vec![b'l'; 255],
            1 => b"with space".to_vec(),
            2 => b"new\nline".to_vec(),
            3 => b"q'\"\\uote".to_vec(),
            4 => b"\xff\xfe".to_vec(),
            n @ 5..10 => [format!("{n}").as_bytes(), &vec![b'm'; 20 * n as usize]].concat(),
            n => format!("n{n}").into_bytes(),
        }
    }

    fn attributes(&mut self) -> Attributes {
        Attributes {
            // Bits of a type, too, which must not count.
            mode: self.below(0x1_0000) as u16,
            uid: self.below(200_000) as u32,
            gid: self.below(200_000) as u32,
        }
    }

    /// A directory, through links now and then, and how its path is written.
    fn folder(&mut self, tree: &Tree) -> (Vec<u8>, Id) {
        let (mut path, mut id) = (Vec::new(), 0);
        for _ in 0..DEEPEST {
            if self.below(3) == 0 {
                break;
            }
            let Some((name, child)) = self.child(tree, id) else { break };
            let further = [&path, &b"/"[..], &name].concat();
            let leads_to = match tree.entry(child).kind {
                Kind::Directory(_) => Ok(child),
                Kind::Link(_) => tree.resolve(&further),
                _ => continue,
            };
            let Ok(leads_to) = leads_to else { continue };
            if tree.names(leads_to).is_some() && further.len() < LONGEST / 2 {
                (path, id) = (further, leads_to);
            }
        }
        (path, id)
    }

    /// An entry of a directory; never `lost+found`, which e2fsck would miss.
    fn child(&mut self, tree: &Tree, id: Id) -> Option<(Vec<u8>, Id)> {
        let names = tree.names(id)?;
        let chosen = names.iter().nth(self.random.below(names.len() as u64) as usize)?;
        (chosen.0 != b"lost+found").then(|| (chosen.0.clone(), *chosen.1))
    }

    fn somewhere(&mut self, tree: &Tree) -> Vec<u8> {
        let (mut path, _) = self.folder(tree);
        path.push(b'/');
        path.extend(self.name());
        path
    }

    fn existing(&mut self, tree: &Tree) -> Option<Vec<u8>> {
        let (path, id) = self.folder(tree);
        let (name, _) = self.child(tree, id)?;
        Some([&path, &b"/"[..], &name].concat())
    }

    /// One that is there, most of the time.
    fn any(&mut self, tree: &Tree) -> Vec<u8> {
        let existing = if self.below(10) > 0 { self.existing(tree) } else { None };
        existing.unwrap_or_else(|| self.somewhere(tree))
    }

    fn content(&mut self) -> Content {
        let len = match self.below(12) {
            0 | 1 => 0,
            2..6 => self.below(200),
            6..8 => self.below(5000),
            8..10 => 70_000,
            10 => self.below(300_000),
            _ => 1 << (10 + self.below(7)),
        };
        let seed = self.below(1000);
        let len = len as usize;
        if self.below(3) == 0 { Content::Solid { seed, len } } else { Content::Mixed { seed, len } }
    }

    fn target(&mut self, tree: &Tree) -> Vec<u8> {
        match self.below(6) {
            0 => b"no/where".to_vec(),
            1 => [&b"t/".repeat(self.below(250) as usize)[..], b"t"].concat(),
            2 => [&b"../".repeat(self.below(4) as usize)[..], &self.name()].concat(),
            // Relative to wherever it is: right at the top alone.
            3 => self.any(tree)[1..].to_vec(),
            _ => self.any(tree),
        }
    }

    fn xattr(&mut self, tree: &Tree, at: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let plain =
            tree.place(at).ok().and_then(|place| place.found).is_some_and(|id| {
                matches!(tree.entry(id).kind, Kind::File(_) | Kind::Directory(_))
            });
        let prefix = if plain && self.below(2) == 0 { "user" } else { "trusted" };
        let name = format!("{prefix}.{}", ["a", "b", "longer-name", "z"][self.below(4) as usize]);
        let len = [0, 5, 40, 120, 600, 1500][self.below(6) as usize];
        let fill = b'a' + self.below(20) as u8;
        (name.into_bytes(), vec![fill; len])
    }
}

/// A name of many.
pub fn crowded(n: u64) -> Vec<u8> {
    let tail = "n".repeat(n as usize % 50);
    format!("{:08x}-{tail}", (n as u32).wrapping_mul(0x9e37_79b9)).into_bytes()
}

/// Whether a path with so much more below it is still one for the kernel.
fn fits(tree: &Tree, from: &[u8], to: &[u8]) -> bool {
    let below = tree.place(from).ok().and_then(|place| place.found).map_or(0, |id| tree.height(id));
    to.len() + below < LONGEST / 2
}

/// One change of both.
pub fn step(dice: &mut Dice<'_>, tree: &mut Tree, batch: &mut Batch) -> Outcome {
    let to = dice.attributes();
    let at = dice.somewhere(tree);
    let mut may_be_too_large = false;
    let choice = dice.below(22);
    let (result, model): (Result<(), Error>, Change) = match choice {
        0..=4 => {
            let content = dice.content();
            let result = batch.write_file(&path(&at), to, &content.bytes());
            let entry = Entry::new(Kind::File(content), to);
            (result, Box::new(move |tree| tree.put(&at, entry)))
        }
        5 | 6 => {
            let result = batch.make_directory(&path(&at), to);
            (result, Box::new(move |tree| tree.make_directory(&at, to)))
        }
        7 => {
            let at = [&at, &b"/"[..], &dice.name(), b"/deep"].concat();
            if at.len() > LONGEST / 2 {
                return Outcome::Refused;
            }
            let result = batch.make_directories(&path(&at), to);
            (result, Box::new(move |tree| tree.make_directories(&at, to)))
        }
        8 | 9 => {
            let target = dice.target(tree);
            may_be_too_large = true;
            let result = batch.symlink(&path(&at), &target, to.uid, to.gid);
            let entry = Entry::new(Kind::Link(target), Attributes { mode: 0o777, ..to });
            (result, Box::new(move |tree| tree.put(&at, entry)))
        }
        10 | 11 => {
            let from = dice.any(tree);
            let result = batch.hard_link(&path(&from), &path(&at));
            (result, Box::new(move |tree| tree.hard_link(&from, &at)))
        }
        12 => {
            let node = match dice.below(4) {
                0 => Node::CharDevice(dice.below(4096) as u32, dice.below(1 << 20) as u32),
                1 => Node::BlockDevice(dice.below(256) as u32, dice.below(256) as u32),
                2 => Node::Fifo,
                _ => Node::Socket,
            };
            let result = batch.make_node(&path(&at), to, node);
            (result, Box::new(move |tree| tree.put(&at, Entry::new(Kind::Node(node), to))))
        }
        13 => {
            let at = dice.any(tree);
            let result = batch.set_attributes(&path(&at), to);
            let attributes = Attributes { mode: to.mode & 0o7777, ..to };
            (result, Box::new(move |tree| tree.change(&at, |e| e.attributes = attributes)))
        }
        14 => {
            let at = dice.any(tree);
            let earliest = if dice.old_times { 1 << 31 } else { 0 };
            let seconds = dice.below(1 << 32) as i64 - earliest;
            // 128 bytes of inode hold neither the fraction nor years after 2038.
            let time = Timestamp { seconds: seconds.min(i32::MAX.into()), nanoseconds: 0 };
            let result = batch.set_times(&path(&at), time.into());
            (result, Box::new(move |tree| tree.change(&at, |e| e.modified = Some(time))))
        }
        15 | 16 => {
            let at = dice.any(tree);
            let (name, value) = dice.xattr(tree, &at);
            may_be_too_large = true;
            let result = batch.set_xattr(&path(&at), &name, &value);
            let change = move |entry: &mut Entry| drop(entry.xattrs.insert(name, value));
            (result, Box::new(move |tree| tree.change(&at, change)))
        }
        17 => {
            let at = dice.any(tree);
            let (name, _) = dice.xattr(tree, &at);
            let result = batch.remove_xattr(&path(&at), &name).map(|_was_there| ());
            let change = move |entry: &mut Entry| drop(entry.xattrs.remove(&name));
            (result, Box::new(move |tree| tree.change(&at, change)))
        }
        18 | 19 => {
            let from = dice.any(tree);
            let at = if dice.below(3) == 0 { dice.any(tree) } else { at };
            if !fits(tree, &from, &at) {
                return Outcome::Refused;
            }
            let result = batch.rename(&path(&from), &path(&at));
            (result, Box::new(move |tree| tree.rename(&from, &at)))
        }
        _ => {
            let at = dice.any(tree);
            // A directory with much in it is kept most of the time.
            let recursive = choice == 21 && dice.below(3) == 0;
            let at_path = path(&at);
            let result =
                if recursive { batch.remove_recursive(&at_path) } else { batch.remove(&at_path) };
            (result, Box::new(move |tree| tree.remove(&at, recursive)))
        }
    };
    match &result {
        Err(Error::NoSpace { .. }) => return Outcome::Full,
        Err(Error::TooLarge { .. }) if may_be_too_large => return Outcome::Refused,
        Err(Error::NotFound { .. } | Error::WrongType { .. } | Error::InvalidPath { .. })
        | Ok(()) => {}
        Err(error) => panic!("an error that nothing explains: {error:?}"),
    }
    let expected = model(tree);
    assert_eq!(expected.is_ok(), result.is_ok(), "{expected:?} and {result:?} (step {choice})");
    if result.is_ok() { Outcome::Done } else { Outcome::Refused }
}

/// Asks the batch what it would be like, and compares one answer with the model.
pub fn ask(dice: &mut Dice<'_>, tree: &Tree, batch: &mut Batch) {
    let at = dice.any(tree);
    let found = tree.resolve(&at);
    match batch.exists(&path(&at)) {
        Ok(exists) => assert_eq!(exists, found.is_ok(), "{}", at.escape_ascii()),
        Err(error) => assert!(found.is_err(), "{}: {error}", at.escape_ascii()),
    }
    let Ok(id) = found else { return };
    if let Kind::File(content) = &tree.entry(id).kind {
        let read = batch.read_file(&path(&at), 1 << 30).unwrap();
        assert!(read == content.bytes(), "{}: other content", at.escape_ascii());
    }
}
