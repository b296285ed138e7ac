//! Random batches: every operation that a batch has, on a small set of names, so that they
//! meet each other.

use std::io::Cursor;
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, Error, FileKind, Filesystem, ImagePath, MemoryDisk, Node, Ownership,
    Result, Times, Timestamp, Xattr, copy_subtree,
};

use crate::recorder::Random;

/// What random batches take from elsewhere: a small tree.
pub struct Donor(Filesystem);

impl Donor {
    /// Takes trees from a filesystem's `/donor`.
    pub fn new(content: Vec<u8>) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content));
        Self(Filesystem::open(disk).expect("the donor is a filesystem"))
    }
}

fn path(text: impl AsRef<[u8]>) -> ImagePath {
    ImagePath::new(text).expect("a right path")
}

fn folder(random: &mut Random) -> String {
    match random.below(8) {
        0 => String::new(),
        1..=4 => format!("/d{}", random.below(4)),
        n => format!("/d{}/sub{}", n % 4, random.below(3)),
    }
}

fn name(random: &mut Random) -> ImagePath {
    let folder = folder(random);
    let number = random.below(24);
    // Long names make directories of many blocks.
    let tail = if number.is_multiple_of(3) { "x".repeat(180) } else { String::new() };
    path(format!("{folder}/n{number}{tail}"))
}

fn attributes(random: &mut Random) -> Attributes {
    Attributes {
        mode: random.below(0o10000) as u16,
        uid: random.below(200_000) as u32,
        gid: random.below(200_000) as u32,
    }
}

/// Content of a random length, with holes now and then.
fn content(random: &mut Random, most: u64) -> Vec<u8> {
    let len = match random.below(6) {
        0 => 0,
        1..=3 => random.below(3000),
        _ => random.below(most),
    };
    let (seed, hole) = (random.below(251) as u8, random.below(3) == 0);
    let byte =
        |n: u64| if hole && (n >> 14).is_multiple_of(2) { 0 } else { (n % 253) as u8 ^ seed };
    (0..len).map(byte).collect()
}

fn xattrs(random: &mut Random) -> Vec<Xattr> {
    let count = random.below(4);
    (0..count)
        .map(|n| {
            let len = [3, 40, 200][random.below(3) as usize];
            let name = format!("user.a{n}").into_bytes();
            Xattr { name, value: vec![random.below(256) as u8; len] }
        })
        .collect()
}

/// One operation. What the engine refuses without harm does not count; a filesystem that
/// is full ends the batch.
fn step(random: &mut Random, batch: &mut Batch, donor: &Donor, most: u64) -> Result<()> {
    let (at, to) = (name(random), attributes(random));
    match random.below(21) {
        0..=3 => batch.write_file(&at, to, &content(random, most)),
        4 => {
            let content = content(random, most);
            batch.write_file_from(&at, to, content.len() as u64, &mut Cursor::new(&content))
        }
        5 => batch.make_directory(&path(format!("{}/d", folder(random))), to),
        6 => batch.make_directories(&path(format!("{}/deep/down", folder(random))), to),
        7 => {
            let len = [5, 59, 60, 700][random.below(4) as usize];
            batch.symlink(&at, &vec![b'a' + random.below(26) as u8; len], to.uid, to.gid)
        }
        8 => batch.hard_link(&name(random), &at),
        9 => {
            let numbers = (random.below(300) as u32, random.below(300) as u32);
            let node = match random.below(4) {
                0 => Node::Fifo,
                1 => Node::Socket,
                2 => Node::CharDevice(numbers.0, numbers.1),
                _ => Node::BlockDevice(numbers.0, numbers.1),
            };
            batch.make_node(&at, to, node)
        }
        10 => batch.set_attributes(&at, to),
        11 => batch.fix_root(),
        12 => {
            let seconds = random.below(1 << 33) as i64;
            let time = Timestamp { seconds, nanoseconds: random.below(1_000_000_000) as u32 };
            batch.set_times(&at, Times { accessed: time, modified: time, changed: time })
        }
        13 | 14 => {
            // The kernel shows people's attributes of files and directories only.
            let kind = batch.lstat(&at)?.kind;
            if matches!(kind, FileKind::Regular | FileKind::Directory) {
                return batch.set_xattrs(&at, &xattrs(random));
            }
            Ok(())
        }
        15 => batch.rename(&name(random), &at),
        16 => {
            let (from, to) = (folder(random), folder(random));
            batch.rename(&path(format!("{from}/d")), &path(format!("{to}/d")))
        }
        17 => batch.remove(&at),
        18 => batch.remove_recursive(&path(format!("{}/d", folder(random)))),
        19 if random.below(4) == 0 => {
            batch.remove_recursive(&path(format!("/d{}", random.below(4))))
        }
        _ if random.below(6) == 0 => {
            let parent = path(format!("/in{}", random.below(2)));
            batch.make_directory(&parent, to)?;
            let mut source = copy_subtree(&donor.0, &path("/donor"));
            batch.ingest(&parent, &mut source, Ownership::Keep).map(|_| ())
        }
        _ => batch.write_file(&at, to, b"again"),
    }
}

/// `steps` random operations; `most` bytes are the longest file.
///
/// # Errors
/// What spoils the batch: a full filesystem, mostly.
pub fn change(
    random: &mut Random,
    batch: &mut Batch,
    donor: &Donor,
    steps: u64,
    most: u64,
) -> Result<()> {
    for _ in 0..steps {
        match step(random, batch, donor, most) {
            Ok(()) | Err(Error::NotFound { .. } | Error::WrongType { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The directories in which random batches work, with some files in them, and the tree
/// that they take in.
pub fn furnish(batch: &mut Batch) {
    let folder = Attributes { mode: 0o755, uid: 0, gid: 0 };
    let make = |batch: &mut Batch, at: String| batch.make_directories(&path(at), folder);
    for n in 0..4 {
        for sub in 0..3 {
            make(batch, format!("/d{n}/sub{sub}")).expect("there is room");
        }
        for file in 0..8 {
            let content = vec![n as u8 + 1; file * 400];
            let at = path(format!("/d{n}/n{file}"));
            batch.write_file(&at, folder, &content).expect("there is room");
        }
    }
    make(batch, "/donor/below".to_owned()).expect("there is room");
    batch.write_file(&path("/donor/file"), folder, &[7; 5000]).expect("there is room");
    batch.symlink(&path("/donor/below/link"), b"../file", 1, 2).expect("there is room");
    batch.hard_link(&path("/donor/file"), &path("/donor/below/same")).expect("there is room");
    let attribute = Xattr { name: b"user.from".to_vec(), value: b"elsewhere".to_vec() };
    batch.set_xattrs(&path("/donor/file"), &[attribute]).expect("there is room");
}
