//! What an image is like before random changes begin.

use std::path::Path;

use banger_ext4::{Attributes, Batch, Flush};
use banger_tests::image::{disk, path};
use banger_tests::profile::Profile;
use banger_tests::recorder::Random;

use super::content::Content;
use super::step::crowded;
use super::tree::{Entry, Kind, Tree};

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

/// A kind of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Room for everything.
    Roomy,
    /// As small as its journal allows.
    Tiny,
    /// A few blocks are free.
    NearFull,
    /// What is free is free block by block.
    Fragmented,
    /// A directory has 30,000 names.
    Crowded,
}

/// Names of the crowd.
pub const CROWD: u64 = 30_000;

impl Shape {
    pub fn choose(random: &mut Random, crowds: bool) -> Self {
        match random.below(40) {
            0 if crowds => Self::Crowded,
            0..16 => Self::Roomy,
            16..24 => Self::Tiny,
            24..32 => Self::NearFull,
            _ => Self::Fragmented,
        }
    }

    /// Makes the image, and the model of what is in it.
    pub fn make(self, image: &Path, profile: &Profile, random: &mut Random) -> Tree {
        let mut tree = Tree::new();
        // A journal has at least 1024 blocks, and some profiles ask for 8 MiB.
        let small = if profile.arguments.contains(&"-b1024") { 5 << 20 } else { 24 << 20 };
        match self {
            Self::Roomy => profile.make(image, 64 << 20),
            Self::Tiny => profile.make(image, small),
            Self::NearFull => {
                profile.make(image, small);
                near_full(image, &mut tree, random);
            }
            Self::Fragmented => {
                profile.make(image, small);
                fragmented(image, &mut tree);
            }
            Self::Crowded => {
                profile.make_with(image, 128 << 20, &["-N", "45000"]);
                crowd(image, &mut tree);
            }
        }
        tree
    }

    /// Names that steps choose from beside their own.
    pub const fn crowd(self) -> u64 {
        if matches!(self, Self::Crowded) { 2 * CROWD } else { 0 }
    }
}

fn put(batch: &mut Batch, tree: &mut Tree, at: &[u8], content: Content) {
    batch.write_file(&path(at), FILE, &content.bytes()).unwrap();
    tree.put(at, Entry::new(Kind::File(content), FILE)).unwrap();
}

fn near_full(image: &Path, tree: &mut Tree, random: &mut Random) {
    let mut batch = Batch::open(disk(image)).unwrap();
    let statfs = batch.filesystem().unwrap().statfs();
    let left = 10 + random.below(200);
    // Blocks of pointers, where there are no extents, are one in 256.
    let blocks = statfs.blocks_free.saturating_sub(left) * 127 / 128;
    let len = blocks as usize * statfs.block_size as usize;
    put(&mut batch, tree, b"/filler", Content::Solid { seed: 1, len });
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
}

/// Fills the disk with files of one block, and removes every second one.
fn fragmented(image: &Path, tree: &mut Tree) {
    let mut batch = Batch::open(disk(image)).unwrap();
    let statfs = batch.filesystem().unwrap().statfs();
    let files = u64::from(statfs.inodes_free).min(statfs.blocks_free).min(2500) * 9 / 10;
    for at in ["/kept", "/gone"] {
        batch.make_directory(&path(at), FOLDER).unwrap();
        tree.make_directory(at.as_bytes(), FOLDER).unwrap();
    }
    for n in 0..files {
        let at = format!("/{}/{n}", ["kept", "gone"][n as usize % 2]);
        put(&mut batch, tree, at.as_bytes(), Content::Solid { seed: n, len: 100 });
    }
    let left = batch.filesystem().unwrap().statfs().blocks_free;
    if left > 100 {
        let len = (left as usize - 80) * statfs.block_size as usize;
        put(&mut batch, tree, b"/filler", Content::Solid { seed: 1, len });
    }
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    let mut batch = Batch::open(disk(image)).unwrap();
    batch.remove_recursive(&path("/gone")).unwrap();
    tree.remove(b"/gone", true).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
}

fn crowd(image: &Path, tree: &mut Tree) {
    let mut batch = Batch::open(disk(image)).unwrap();
    batch.make_directory(&path("/crowd"), FOLDER).unwrap();
    tree.make_directory(b"/crowd", FOLDER).unwrap();
    for n in 0..CROWD {
        let at = [b"/crowd/", &crowded(n)[..]].concat();
        put(&mut batch, tree, &at, Content::Solid { seed: 0, len: 0 });
    }
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
}
