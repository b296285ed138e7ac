//! Filesystems that are wrong in one place that is known by its name: a tree that leads to itself, a record without a
//! length, a number at the end of its range.

use std::path::Path;

use banger_ext4::{Attributes, Batch, Filesystem, Flush};

use crate::image::{disk, path};
use crate::profile::Profile;

/// One of them.
#[derive(Debug)]
pub struct Wrong {
    /// What is wrong.
    pub name: String,
    /// What is to be looked at.
    pub at: &'static str,
    /// It cannot be read. Else it may be, for who reads only that.
    pub refused: bool,
    /// The whole filesystem.
    pub bytes: Vec<u8>,
}

const BLOCK: usize = 1024;
/// Bytes of each of them.
const SIZE: u64 = 8 << 20;
/// A file of several blocks, a directory, a small file, and a link.
const BIG: &str = "/dir/big";
const DIR: &str = "/dir";
const SMALL: &str = "/small";
const LINK: &str = "/link";

/// A filesystem that is right.
struct Right {
    bytes: Vec<u8>,
    fs: Filesystem,
}

impl Right {
    /// Without checksums, so that what is wrong is met and not found out before; with extents or without.
    fn new(folder: &Path, profile: &str) -> Self {
        let image = folder.join("right");
        Profile::named(profile).make(&image, SIZE);
        let mut batch = Batch::open(disk(&image)).expect("it is right");
        let folder_of = Attributes { mode: 0o755, uid: 0, gid: 0 };
        let file = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let mut change = || {
            batch.make_directory(&path(DIR), folder_of)?;
            batch.write_file(&path(SMALL), file, b"small\n")?;
            batch.write_file(&path(BIG), file, &vec![7; 300 * BLOCK])?;
            batch.symlink(&path(LINK), b"small", 0, 0)
        };
        change().expect("there is room");
        batch.commit(Flush::ProcessSafe).expect("the image can be written");
        let bytes = std::fs::read(&image).expect("the image can be read");
        let fs = Filesystem::open(disk(&image)).expect("it is right");
        Self { bytes, fs }
    }

    /// Where the inode of a path is.
    fn inode(&self, of: &str) -> usize {
        let found = self.fs.lstat(&path(of)).expect("it is there");
        let position = self.fs.inode_position(found.ino).expect("it is there");
        usize::try_from(position).expect("a small image")
    }

    /// A number of four bytes.
    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// Where the first block of a directory with extents is.
    fn first_block(&self, of: &str) -> usize {
        // i_block from byte 40 on: a header of 12 bytes, then an extent, whose block is 8 bytes behind its beginning.
        self.number(self.inode(of) + 40 + 12 + 8) as usize * BLOCK
    }

    fn wrong(&self, name: &str, at: &'static str, places: &[(usize, &[u8])]) -> Wrong {
        let mut bytes = self.bytes.clone();
        for (place, new) in places {
            bytes[*place..place + new.len()].copy_from_slice(new);
        }
        Wrong { name: name.to_owned(), at, refused: true, bytes }
    }

    /// The same where a reader comes to an end all the same.
    fn strange(&self, name: &str, at: &'static str, places: &[(usize, &[u8])]) -> Wrong {
        Wrong { refused: false, ..self.wrong(name, at, places) }
    }
}

/// An extent tree's header: so many entries of so many, and levels below it.
fn header(entries: u8, most: u8, depth: u8) -> [u8; 12] {
    [0x0a, 0xf3, entries, 0, most, 0, depth, 0, 0, 0, 0, 0]
}

/// An entry that leads from the file's first block on to a block of the tree.
fn index(block: u32) -> [u8; 12] {
    let [a, b, c, d] = block.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]
}

/// An extent: file block, length, first block.
fn extent(from: u32, len: u16, block: u32) -> Vec<u8> {
    [&from.to_le_bytes()[..], &len.to_le_bytes(), &[0, 0], &block.to_le_bytes()].concat()
}

/// Trees, directories, links and inodes.
pub fn structures(folder: &Path) -> Vec<Wrong> {
    let right = Right::new(folder, "no-checksums");
    let (big, dir, link, small) =
        (right.inode(BIG), right.inode(DIR), right.inode(LINK), right.inode(SMALL));
    let entries = right.first_block(DIR);
    // A block of the file's, which becomes one of its tree.
    let own = right.number(big + 40 + 12 + 8);
    let own_at = own as usize * BLOCK;
    let root = big + 40;
    let tree = |depth: u8, entry: &[u8]| [&header(1, 4, depth)[..], entry].concat();
    // Behind `.` and `..`, of 12 bytes each.
    let entry = entries + 24;
    let mut wrong = vec![
        right.wrong(
            "an extent tree that leads to itself",
            BIG,
            &[
                (root, &tree(2, &index(own))),
                (own_at, &[&header(1, 84, 1)[..], &index(own)].concat()),
            ],
        ),
        right.wrong(
            "an extent tree that leads to itself on the same level",
            BIG,
            &[
                (root, &tree(1, &index(own))),
                (own_at, &[&header(1, 84, 1)[..], &index(own)].concat()),
            ],
        ),
        right.wrong(
            "an extent tree of 65,535 levels",
            BIG,
            &[(root, &{
                let mut tree = tree(0, &index(own));
                tree[6..8].fill(0xff);
                tree
            })],
        ),
        right.wrong(
            "an extent tree of more entries than there is room for",
            BIG,
            &[(root, &header(5, 4, 0))],
        ),
        right.wrong("an extent of no length", BIG, &[(root, &tree(0, &extent(0, 0, own)))]),
        right.wrong("an extent beyond the end", BIG, &[(root, &tree(0, &extent(0, 300, 8000)))]),
        right.wrong("an extent over the superblock", BIG, &[(root, &tree(0, &extent(0, 300, 1)))]),
        right.wrong(
            "two extents of the same blocks of a file",
            BIG,
            &[(
                root,
                &[&header(2, 4, 0)[..], &extent(0, 200, own), &extent(100, 200, own)].concat(),
            )],
        ),
        right.wrong("a directory's record of no length", DIR, &[(entry + 4, &[0, 0])]),
        right.wrong("a directory's record of 4 bytes", DIR, &[(entry + 4, &[4, 0])]),
        right.wrong("a directory's record beyond its block", DIR, &[(entry + 4, &[0, 8])]),
        right.wrong("a directory's record of an odd length", DIR, &[(entry + 4, &[13, 0])]),
        right.wrong("a name with a slash", DIR, &[(entry + 8, b"b/g")]),
        right.wrong("a name that leads up", DIR, &[(entry + 8, b"../")]),
        right.wrong("a name with a NUL", DIR, &[(entry + 8, b"b\0g")]),
        right.wrong("a name longer than its record", DIR, &[(entry + 6, &[255])]),
        right.wrong("a name for an inode that cannot be", BIG, &[(entry, &[0xff; 4])]),
        right.strange("a name for the journal", BIG, &[(entry, &8_u32.to_le_bytes())]),
        right.wrong(
            "a directory of 2^32 blocks",
            DIR,
            &[(dir + 4, &u32::MAX.to_le_bytes()), (dir + 0x6c, &0xff_u32.to_le_bytes())],
        ),
        right.wrong("a directory without a block", DIR, &[(dir + 40, &header(0, 4, 0))]),
        right.wrong("a link of 2^32 bytes", LINK, &[(link + 4, &u32::MAX.to_le_bytes())]),
        right.wrong("a link of no length", LINK, &[(link + 4, &0_u32.to_le_bytes())]),
        right.wrong("a link with a NUL", LINK, &[(link + 40, b"s\0all")]),
        right.strange("a link to itself", LINK, &[(link + 40, b"link\0"), (link + 4, &[4])]),
        right.wrong("an inode of no type", SMALL, &[(small, &[0, 0])]),
        right.wrong("an inode of a type that there is not", SMALL, &[(small, &[0xff, 0xff])]),
        right.wrong(
            "a file of 2^63 bytes",
            SMALL,
            &[(small + 0x6c, &0x8000_0000_u32.to_le_bytes())],
        ),
    ];
    let right = Right::new(folder, "no-extents");
    let big = right.inode(BIG);
    // The thirteenth and fourteenth numbers of i_block lead to blocks of numbers.
    let twice = right.number(big + 40 + 13 * 4);
    let (at, itself) = (twice as usize * BLOCK, twice.to_le_bytes().repeat(BLOCK / 4));
    wrong.push(right.strange("indirect blocks that lead to themselves", BIG, &[(at, &itself)]));
    let beyond = u32::MAX.to_le_bytes();
    wrong.push(right.wrong(
        "an indirect block beyond the end",
        BIG,
        &[(big + 40 + 12 * 4, &beyond)],
    ));
    wrong
}

/// Fields of the superblock: name, place, bytes.
const FIELDS: [(&str, usize, usize); 34] = [
    ("s_inodes_count", 0x00, 4),
    ("s_blocks_count_lo", 0x04, 4),
    ("s_free_blocks_count_lo", 0x0c, 4),
    ("s_free_inodes_count", 0x10, 4),
    ("s_first_data_block", 0x14, 4),
    ("s_log_block_size", 0x18, 4),
    ("s_log_cluster_size", 0x1c, 4),
    ("s_blocks_per_group", 0x20, 4),
    ("s_clusters_per_group", 0x24, 4),
    ("s_inodes_per_group", 0x28, 4),
    ("s_magic", 0x38, 2),
    ("s_state", 0x3a, 2),
    ("s_errors", 0x3c, 2),
    ("s_rev_level", 0x4c, 4),
    ("s_first_ino", 0x54, 4),
    ("s_inode_size", 0x58, 2),
    ("s_block_group_nr", 0x5a, 2),
    ("s_feature_compat", 0x5c, 4),
    ("s_feature_incompat", 0x60, 4),
    ("s_feature_ro_compat", 0x64, 4),
    ("s_reserved_gdt_blocks", 0xce, 2),
    ("s_journal_inum", 0xe0, 4),
    ("s_journal_dev", 0xe4, 4),
    ("s_last_orphan", 0xe8, 4),
    ("s_def_hash_version", 0xfc, 1),
    ("s_desc_size", 0xfe, 2),
    ("s_first_meta_bg", 0x104, 4),
    ("s_blocks_count_hi", 0x150, 4),
    ("s_min_extra_isize", 0x15c, 2),
    ("s_want_extra_isize", 0x15e, 2),
    ("s_log_groups_per_flex", 0x174, 1),
    ("s_checksum_type", 0x175, 1),
    ("s_encoding", 0x27c, 2),
    ("s_orphan_file_inum", 0x280, 4),
];

/// Fields of the superblock at the ends of their ranges, and just inside: those whose names are meant.
pub fn superblocks(folder: &Path, meant: impl Fn(&str) -> bool) -> Vec<Wrong> {
    let right = Right::new(folder, "no-checksums");
    let mut wrong = Vec::new();
    for (field, at, len) in FIELDS.into_iter().filter(|(field, ..)| meant(field)) {
        let all = u64::MAX >> (64 - 8 * len);
        for value in [0, 1, all >> 1, (all >> 1) + 1, all - 1, all] {
            let mut bytes = right.bytes.clone();
            bytes[1024 + at..1024 + at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            let name = format!("{field} = {value}");
            wrong.push(Wrong { name, at: BIG, refused: false, bytes });
        }
    }
    wrong
}
