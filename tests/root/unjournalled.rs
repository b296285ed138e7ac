//! What a power cut leaves of a batch on a filesystem without a journal, and what e2fsck
//! makes of it: a clean filesystem, on which all is there that the batch did not touch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_ext4::{Attributes, Batch, Disk, Flush};
use banger_tests::crash::device;
use banger_tests::image::{disk, path};
use banger_tests::profile::{Profile, Writing};
use banger_tests::random_batch::{Donor, change, furnish};
use banger_tests::recorder::{Random, Recorder, Write};
use banger_tests::{engine, fsck, root, skip};

/// Bytes of a filesystem.
const SIZE: u64 = 8 << 20;
/// Bytes that a device writes as a whole.
const SECTOR: usize = 512;
/// The same numbers in each run: where names lie in an index depends on them.
const SAME: [&str; 4] = [
    "-U",
    "6d1c5a0e-3f0b-4a53-9d5e-0c1f5be0a7d1",
    "-E",
    "hash_seed=2f3b8f1c-8a55-4c58-8f6d-5f0a4f8a6b11",
];
const FILE: Attributes = Attributes { mode: 0o644, uid: 3, gid: 4 };

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// How the machine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    /// Between two writes, each of which is there as a whole or not at all, in order.
    Between,
    /// Some blocks of those since the last flush are there, each as a whole.
    Blocks,
    /// Some sectors of those since the last flush are there.
    Sectors,
}

/// What became of the states of one kind.
#[derive(Debug, Default)]
struct Tally {
    states: u64,
    /// `e2fsck -p` refused, and `-y` was asked.
    refused: u64,
    /// Of these, something untouched lost its name: it lies in `lost+found`, or was empty.
    moved: u64,
}

/// Lines of a tree by path, the root and `lost+found` left out, whose content e2fsck may change.
type Tree = BTreeMap<String, String>;

fn tree(image: &Path) -> Tree {
    // Which of its names a file had first changes with the others; how many it has, and how many
    // folders are in one, change with what is beside it, and e2fsck counts them.
    let of_others = |word: &&str| !word.starts_with("same=") && !word.starts_with("links=");
    let named = |line: &str| line.split(' ').filter(of_others).collect::<Vec<_>>().join(" ");
    let lines = engine::tree(image).into_iter().map(|line| named(&line));
    lines
        .filter_map(|line| line.split_once(' ').map(|(at, rest)| (at.to_owned(), rest.to_owned())))
        .filter(|(at, _)| at != "/" && at != "/lost+found")
        .collect()
}

/// A filesystem with files between those that batches change, and one batch on it.
struct Scene {
    before: Vec<u8>,
    epochs: Vec<Vec<Write>>,
    /// What the batch left as it was.
    untouched: Tree,
    block: usize,
}

fn scene(folder: &Path, profile: &Profile, donor: &Donor, random: &mut Random) -> Scene {
    let image = folder.join("base.img");
    profile.make_with(&image, SIZE, &SAME);
    let mut batch = Batch::open(disk(&image)).unwrap();
    furnish(&mut batch);
    for n in 0..4 {
        for file in 0..9 {
            let content = vec![b'a' + n as u8; 700 * file];
            for at in [format!("/d{n}/k{file}"), format!("/d{n}/sub{}/k{file}", file % 3)] {
                batch.write_file(&path(&at), FILE, &content).unwrap();
            }
        }
    }
    // Blocks of directories that the batch itself needs not be the first to make.
    let mut furniture = Random::new(random.below(1 << 40));
    change(&mut furniture, &mut batch, donor, 12, 20_000).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    let steps = 1 + random.below(16);
    record(&image, profile, |batch| change(random, batch, donor, steps, 40_000))
}

/// Some hundred names in an index, and a batch with which their directory grows by the half
/// of one leaf.
fn split(folder: &Path) -> Scene {
    let (image, profile) = (folder.join("base.img"), Profile::named("no-journal"));
    profile.make_with(&image, SIZE, &SAME);
    let at = path("/large");
    let name = |n: u32| path(format!("/large/{n:04}{}", "x".repeat(40)));
    let begin = || {
        let mut batch = Batch::open(disk(&image)).unwrap();
        batch.make_directory(&at, Attributes { mode: 0o755, ..FILE }).unwrap();
        batch
    };
    // Tried first, and not done: the name with which it grows, after some hundred.
    let (mut trial, mut size) = (begin(), 0);
    let last = (0..600).find(|n| {
        trial.write_file(&name(*n), FILE, b"").unwrap();
        let before = std::mem::replace(&mut size, trial.lstat(&at).unwrap().size);
        *n > 400 && size > before
    });
    drop(trial);
    let last = last.expect("one leaf is full at last");
    let mut batch = begin();
    for n in 0..last - 2 {
        batch.write_file(&name(n), FILE, &[n as u8; 100]).unwrap();
    }
    let before = batch.lstat(&at).unwrap().size;
    batch.commit(Flush::ProcessSafe).unwrap();
    record(&image, profile, |batch| {
        for n in last - 2..=last {
            batch.write_file(&name(n), FILE, b"more")?;
        }
        assert!(batch.lstat(&at)?.size > before, "it grows");
        Ok(())
    })
}

/// Commits a batch to what is in the image; one that comes to nothing is made anew.
fn record(
    image: &Path,
    profile: &Profile,
    mut fill: impl FnMut(&mut Batch) -> banger_ext4::Result<()>,
) -> Scene {
    fsck::assert_clean(image);
    let (before, old) = (std::fs::read(image).unwrap(), tree(image));
    let filesystem = banger_ext4::Filesystem::open(device(&before)).unwrap();
    let block = filesystem.geometry().block_size as usize;
    let recorder = Arc::new(Recorder::new(before.clone()));
    // What does not fit is not done at all.
    loop {
        let mut batch = Batch::open(Arc::clone(&recorder) as Arc<dyn Disk>).unwrap();
        if fill(&mut batch).is_ok() {
            let committed = batch.commit(Flush::PowerSafe).unwrap();
            assert!(!committed.atomic, "{}: there is no journal", profile.name);
            break;
        }
    }
    let mut after = vec![0; before.len()];
    recorder.read_at(0, &mut after).unwrap();
    std::fs::write(image, &after).unwrap();
    fsck::assert_clean(image);
    let (new, changed) = (tree(image), engine::open(image));
    // What was made anew just as it was is not what was there.
    let which = |filesystem: &banger_ext4::Filesystem, at: &str| {
        let ino = filesystem.lstat(&path(at)).unwrap().ino;
        (ino, filesystem.inode(ino).unwrap().i_generation())
    };
    let same = |(at, rest): &(String, String)| {
        new.get(at) == Some(rest) && which(&filesystem, at) == which(&changed, at)
    };
    let untouched = old.into_iter().filter(same).collect();
    Scene { before, epochs: recorder.epochs(), untouched, block }
}

/// All epochs before one, and those pieces of it, each of at most `size` bytes, that are kept.
fn state(scene: &Scene, epoch: usize, size: usize, kept: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut content = scene.before.clone();
    let mut put = |at: u64, bytes: &[u8]| {
        let at = at as usize;
        content[at..at + bytes.len()].copy_from_slice(bytes);
    };
    scene.epochs[..epoch].iter().flatten().for_each(|(at, bytes)| put(*at, bytes));
    for (n, (at, bytes)) in (0..).zip(pieces(scene, epoch, size)) {
        if kept(n) {
            put(at, bytes);
        }
    }
    content
}

fn pieces(scene: &Scene, epoch: usize, size: usize) -> impl Iterator<Item = (u64, &[u8])> {
    scene.epochs[epoch].iter().flat_map(move |(at, bytes)| {
        let piece = size.min(bytes.len());
        (*at..).step_by(piece).zip(bytes.chunks(piece))
    })
}

fn random_state(scene: &Scene, random: &mut Random, cut: Cut) -> Vec<u8> {
    let written: Vec<usize> =
        (0..scene.epochs.len()).filter(|n| !scene.epochs[*n].is_empty()).collect();
    let epoch = written[random.below(written.len() as u64) as usize];
    let size = match cut {
        Cut::Between => usize::MAX,
        Cut::Blocks => scene.block,
        Cut::Sectors => SECTOR,
    };
    let count = pieces(scene, epoch, size).count() as u64;
    let (kind, share) = (random.below(3), random.below(101));
    let (chosen, seed) = (random.below(count + 1), random.below(1 << 40));
    state(scene, epoch, size, |n| match (cut, kind) {
        (Cut::Between, _) | (_, 0) => n < chosen,
        (_, 1) => n != chosen,
        _ => {
            let mut of_piece = Random::new(seed ^ (n << 40));
            of_piece.below(100);
            of_piece.below(100) < share
        }
    })
}

/// The status of e2fsck and what it said.
fn e2fsck(image: &PathBuf, how: &str) -> (i32, String) {
    let output = fsck::tool("e2fsck").arg(how).arg(image).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Repairs and looks: what is wrong comes back.
fn judge(image: &PathBuf, scene: &Scene, tally: &mut Tally) -> Result<(), String> {
    tally.states += 1;
    let (status, said) = e2fsck(image, "-p");
    let mut refused = None;
    if status > 1 {
        tally.refused += 1;
        let (status, more) = e2fsck(image, "-fy");
        if status > 1 {
            return Err(format!("e2fsck -y: {status}: {said}{more}"));
        }
        refused = Some(said);
    }
    let (status, said) = e2fsck(image, "-fn");
    if status != 0 {
        return Err(format!("e2fsck -n, after {refused:?}: {status}: {said}"));
    }
    let now = tree(image);
    let missing: Vec<_> =
        scene.untouched.iter().filter(|(at, rest)| now.get(*at) != Some(rest)).collect();
    // By its number, with all that it had, but its name.
    let found: BTreeSet<&String> =
        now.iter().filter(|(at, _)| at.starts_with("/lost+found/")).map(|(_, rest)| rest).collect();
    // Of empty files without a name e2fsck keeps nothing.
    let lost: Vec<_> = missing
        .iter()
        .filter(|(_, rest)| !found.contains(rest))
        .filter(|(_, rest)| !(rest.starts_with("file ") && rest.contains(" size=0 ")))
        .collect();
    if !lost.is_empty() {
        let now: Vec<_> = lost.iter().map(|(at, _)| now.get(*at)).collect();
        return Err(format!("lost or changed: {lost:?}, now {now:?}, after {refused:?}"));
    }
    if !missing.is_empty() {
        tally.moved += 1;
        if refused.is_none() {
            return Err(format!("its name was taken by e2fsck -p: {missing:?}"));
        }
    }
    Ok(())
}

fn donor(folder: &Path) -> Donor {
    let image = folder.join("donor.img");
    fsck::mke2fs(&image, 8 << 20, &["-b", "1024"]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    furnish(&mut batch);
    batch.commit(Flush::ProcessSafe).unwrap();
    Donor::new(std::fs::read(image).unwrap())
}

/// Settings: `BANGER_UNJOURNALLED` states of each kind of cut, `BANGER_SEED`.
#[test]
fn what_a_batch_without_a_journal_did_not_touch_outlives_a_power_cut() {
    if !root::has("e2fsck") {
        return skip("e2fsck is not installed");
    }
    let (states, seed) = (setting("BANGER_UNJOURNALLED", 18), setting("BANGER_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let donor = donor(folder.path());
    let profiles: Vec<_> =
        Profile::written().filter(|profile| profile.writing == Writing::InOrder).collect();
    let image = folder.path().join("state.img");
    let mut tallies: BTreeMap<Cut, Tally> = BTreeMap::new();
    let (mut violations, mut turn) = (Vec::new(), 0);
    let per_scene = if states > 1000 { 10 } else { 3 };
    while turn * per_scene < states {
        let mut random = Random::new(seed * 1_000_003 + turn);
        let profile = profiles[((seed + turn) % profiles.len() as u64) as usize];
        let scene = scene(folder.path(), profile, &donor, &mut random);
        for n in 0..per_scene {
            for cut in [Cut::Between, Cut::Blocks, Cut::Sectors] {
                std::fs::write(&image, random_state(&scene, &mut random, cut)).unwrap();
                let tally = tallies.entry(cut).or_default();
                let moved = tally.moved;
                let mut found = judge(&image, &scene, tally);
                // Of a block of a directory that is half old and half new, e2fsck saves what it can.
                if found.is_ok() && tally.moved > moved && cut != Cut::Sectors {
                    found = Err("names are lost".to_owned());
                }
                if let Err(what) = found {
                    println!("violation (turn {turn}, {n}, {}, {cut:?}): {what}", profile.name);
                    violations.push(what);
                }
            }
        }
        turn += 1;
    }
    let told: Vec<String> = tallies
        .iter()
        .map(|(cut, tally)| {
            let kind = match cut {
                Cut::Between => "between writes",
                Cut::Blocks => "some blocks of an epoch",
                Cut::Sectors => "some sectors of an epoch",
            };
            let enough = tally.states - tally.refused;
            let Tally { states, refused, moved } = tally;
            format!(
                "{states} {kind}, {enough} repaired by e2fsck -p, {refused} by -y ({moved} with \
                 names lost)"
            )
        })
        .collect();
    println!(
        "RESULT power cuts without a journal, seed {seed}, {turn} batches on {} kinds of \
         filesystem: {}: {} violations",
        profiles.len(),
        told.join("; "),
        violations.len()
    );
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Every prefix of the blocks that are written, and each epoch without one of its blocks.
#[test]
fn a_directory_that_splits_a_leaf_without_a_journal_keeps_its_other_names() {
    if !root::has("e2fsck") {
        return skip("e2fsck is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let scene = split(folder.path());
    assert!(scene.untouched.len() >= 400, "all names but the directory's own");
    let image = folder.path().join("state.img");
    let (mut tally, mut violations) = (Tally::default(), Vec::new());
    for epoch in 0..scene.epochs.len() {
        let count = pieces(&scene, epoch, scene.block).count() as u64;
        let mut judge = |what: String, content: Vec<u8>| {
            std::fs::write(&image, content).unwrap();
            let moved = tally.moved;
            let found = judge(&image, &scene, &mut tally);
            if tally.moved > moved {
                violations.push(format!("epoch {epoch}, {what}: names are lost"));
            }
            violations.extend(found.err().map(|found| format!("epoch {epoch}, {what}: {found}")));
        };
        for kept in 0..count {
            let first = state(&scene, epoch, scene.block, |n| n < kept);
            judge(format!("the first {kept} of {count}"), first);
            let but_one = state(&scene, epoch, scene.block, |n| n != kept);
            judge(format!("all but {kept} of {count}"), but_one);
        }
    }
    println!(
        "RESULT a split of a directory's leaf without a journal: {} states, {} repaired by -y: \
         {} violations",
        tally.states,
        tally.refused,
        violations.len()
    );
    assert!(violations.is_empty(), "{violations:#?}");
}
