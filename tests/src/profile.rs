//! Filesystems as distributions make them, and one for each feature that is seldom met.
//!
//! All features are named, so that the `mke2fs.conf` of the machine that runs the tests
//! does not matter.

use std::path::Path;

use crate::fsck;

/// What a batch does to a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It becomes one transaction of the journal.
    Atomic,
    /// There is no journal: writes have an order, and that is all.
    InOrder,
    /// It is refused, and the error has this word in it.
    Refused(&'static str),
}

/// A kind of filesystem.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// After the distribution and its release, or after the feature.
    pub name: &'static str,
    /// Arguments of mke2fs but for size and place.
    pub arguments: &'static [&'static str],
    /// Commands of `debugfs -w` that follow.
    adjust: &'static [&'static str],
    /// What becomes of a batch.
    pub writing: Writing,
}

impl Profile {
    /// Makes the filesystem: an image file of `size` bytes.
    pub fn make(&self, image: &Path, size: u64) {
        self.make_with(image, size, &[]);
    }

    /// As [`Self::make`], with further arguments of mke2fs.
    pub fn make_with(&self, image: &Path, size: u64, more: &[&str]) {
        fsck::mke2fs(image, size, &[self.arguments, more].concat());
        for command in self.adjust {
            let output = fsck::tool("debugfs").args(["-w", "-R", command]).arg(image).output();
            let output = output.expect("debugfs can be started");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // The first line names the version; debugfs has no exit status to speak of.
            assert!(said.lines().count() <= 1, "{command}: {said}");
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> &'static Self {
        PROFILES.iter().find(|profile| profile.name == name).expect("a profile of that name")
    }

    /// The kinds that a batch can change, those that are the same by another name left out.
    pub fn written() -> impl Iterator<Item = &'static Self> {
        let new = |(n, profile): &(usize, &Self)| {
            let same = |before: &Self| {
                (before.arguments, before.adjust) == (profile.arguments, profile.adjust)
            };
            !PROFILES[..*n].iter().any(same)
        };
        let written = |profile: &&Self| !matches!(profile.writing, Writing::Refused(_));
        PROFILES.iter().enumerate().filter(new).map(|(_, profile)| profile).filter(written)
    }
}

/// `base_features` of every release.
macro_rules! base {
    () => {
        "none,sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr"
    };
}
/// ext4 of e2fsprogs 1.43 to 1.46, and of 1.47 where Debian and Ubuntu kept it so.
macro_rules! ext4 {
    () => {
        concat!(
            base!(),
            ",has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize"
        )
    };
}
/// ext4 of e2fsprogs 1.47 as it comes.
macro_rules! newest {
    () => {
        concat!(ext4!(), ",metadata_csum_seed,orphan_file")
    };
}

const fn atomic(name: &'static str, arguments: &'static [&'static str]) -> Profile {
    Profile { name, arguments, adjust: &[], writing: Writing::Atomic }
}

const fn in_order(name: &'static str, arguments: &'static [&'static str]) -> Profile {
    Profile { name, arguments, adjust: &[], writing: Writing::InOrder }
}

const fn refused(
    name: &'static str,
    word: &'static str,
    arguments: &'static [&'static str],
) -> Profile {
    Profile { name, arguments, adjust: &[], writing: Writing::Refused(word) }
}

const fn adjusted(
    name: &'static str,
    adjust: &'static [&'static str],
    arguments: &'static [&'static str],
) -> Profile {
    Profile { name, arguments, adjust, writing: Writing::Atomic }
}

/// Every kind.
pub const PROFILES: &[Profile] = &[
    atomic("debian-11", &["-b4096", "-I256", "-i16384", "-O", ext4!()]),
    // Below 512 MiB, where e2fsprogs before 1.46.4 made short inodes.
    atomic("debian-11-small", &["-b1024", "-I128", "-i4096", "-O", ext4!()]),
    atomic("debian-12", &["-b4096", "-I256", "-i16384", "-O", ext4!()]),
    atomic("debian-12-small", &["-b1024", "-I256", "-i4096", "-O", ext4!()]),
    atomic("debian-13", &["-b4096", "-I256", "-i16384", "-O", newest!()]),
    atomic("ubuntu-20.04", &["-b4096", "-I256", "-i16384", "-O", ext4!()]),
    atomic("ubuntu-20.04-small", &["-b1024", "-I128", "-i4096", "-O", ext4!()]),
    atomic("ubuntu-22.04", &["-b4096", "-I256", "-i16384", "-O", ext4!()]),
    atomic("ubuntu-24.04", &["-b4096", "-I256", "-i16384", "-O", ext4!()]),
    atomic("fedora", &["-b4096", "-I256", "-i16384", "-O", newest!()]),
    atomic("fedora-small", &["-b1024", "-I256", "-i4096", "-O", newest!()]),
    // Its boot loader reads no block numbers of 64 bits.
    atomic("alpine", &["-b4096", "-I256", "-i16384", "-O", concat!(newest!(), ",^64bit")]),
    atomic("arch", &["-b4096", "-I256", "-i16384", "-O", newest!()]),
    atomic("void", &["-b4096", "-I256", "-i16384", "-O", newest!()]),
    // As its images for boards with a memory card are made.
    in_order(
        "void-board",
        &["-b4096", "-I256", "-O", concat!(newest!(), ",^has_journal,^orphan_file")],
    ),
    // ext4 of e2fsprogs before 1.43, which many older images have.
    atomic(
        "ext4-1.42",
        &[
            "-b4096",
            "-I256",
            "-O",
            concat!(
                base!(),
                ",has_journal,extent,huge_file,flex_bg,uninit_bg,dir_nlink,extra_isize"
            ),
        ],
    ),
    in_order("ext2", &["-b4096", "-I256", "-O", base!()]),
    in_order("ext2-small", &["-b1024", "-I128", "-O", base!()]),
    in_order("ext2-plain", &["-b1024", "-I128", "-O", "none,filetype"]),
    atomic("ext3", &["-b4096", "-I256", "-O", concat!(base!(), ",has_journal")]),
    atomic("ext3-small", &["-b1024", "-I128", "-O", concat!(base!(), ",has_journal")]),
    atomic("no-extents", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^extent,^64bit")]),
    refused("ext2-rev0", "revision", &["-b1024", "-r0", "-O", "none"]),
    atomic("2k", &["-b2048", "-I256", "-O", ext4!()]),
    atomic("2k-short-inodes", &["-b2048", "-I128", "-O", newest!()]),
    atomic("long-inodes", &["-b4096", "-I1024", "-O", newest!()]),
    atomic("no-checksums", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^metadata_csum")]),
    atomic("uninit_bg", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^metadata_csum,uninit_bg")]),
    atomic("no-64bit", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^64bit")]),
    in_order("no-journal", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^has_journal")]),
    in_order(
        "no-journal-orphan_file",
        &["-b2048", "-I128", "-O", concat!(ext4!(), ",^has_journal,metadata_csum_seed")],
    ),
    atomic("no-dir_index", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^dir_index")]),
    atomic("no-filetype", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^filetype")]),
    atomic("no-flex_bg", &["-b1024", "-I256", "-O", concat!(ext4!(), ",^flex_bg,^resize_inode")]),
    atomic("no-huge_file", &["-b4096", "-I256", "-O", concat!(ext4!(), ",^huge_file,^large_file")]),
    atomic("no-extra_isize", &["-b4096", "-I256", "-O", concat!(ext4!(), ",^extra_isize")]),
    atomic("no-dir_nlink", &["-b4096", "-I256", "-O", concat!(ext4!(), ",^dir_nlink")]),
    atomic("no-ext_attr", &["-b4096", "-I256", "-O", concat!(ext4!(), ",^ext_attr")]),
    atomic(
        "no-sparse_super",
        &["-b1024", "-I256", "-O", concat!(ext4!(), ",^sparse_super,^resize_inode")],
    ),
    atomic(
        "sparse_super2",
        &["-b1024", "-I256", "-O", concat!(ext4!(), ",sparse_super2,^resize_inode")],
    ),
    atomic(
        "sparse_super2-no-copies",
        &[
            "-b1024",
            "-I256",
            "-Enum_backup_sb=0",
            "-O",
            concat!(ext4!(), ",sparse_super2,^resize_inode"),
        ],
    ),
    atomic("large-flex_bg", &["-b1024", "-I256", "-g1024", "-G64", "-O", newest!()]),
    atomic("meta_bg", &["-b1024", "-I256", "-O", concat!(ext4!(), ",meta_bg,^resize_inode")]),
    atomic("small-groups", &["-b1024", "-I256", "-g1024", "-N4096", "-O", ext4!()]),
    atomic("large_dir", &["-b1024", "-I256", "-O", concat!(newest!(), ",large_dir")]),
    atomic(
        "fast_commit",
        &["-b4096", "-I256", "-Jsize=8", "-O", concat!(newest!(), ",fast_commit")],
    ),
    atomic("verity", &["-b4096", "-I256", "-O", concat!(newest!(), ",verity,stable_inodes")]),
    adjusted("hash-legacy", &["ssv def_hash_version legacy"], &["-b1024", "-I256", "-O", ext4!()]),
    adjusted("hash-tea", &["ssv def_hash_version tea"], &["-b1024", "-I256", "-O", ext4!()]),
    adjusted("hash-unsigned", &["ssv flags 2"], &["-b1024", "-I256", "-O", ext4!()]),
    adjusted(
        "hash-legacy-unsigned",
        &["ssv def_hash_version legacy", "ssv flags 2"],
        &["-b1024", "-I256", "-O", ext4!()],
    ),
    adjusted(
        "hash-tea-unsigned",
        &["ssv def_hash_version tea", "ssv flags 2"],
        &["-b1024", "-I256", "-O", ext4!()],
    ),
    atomic("inline_data", &["-b4096", "-I256", "-O", concat!(newest!(), ",inline_data")]),
    atomic("inline_data-1k", &["-b1024", "-I256", "-O", concat!(newest!(), ",inline_data")]),
    atomic("inline_data-2k", &["-b2048", "-I512", "-O", concat!(ext4!(), ",inline_data")]),
    atomic(
        "inline_data-1k-long-inodes",
        &["-b1024", "-I1024", "-O", concat!(ext4!(), ",inline_data")],
    ),
    atomic(
        "inline_data-long-inodes",
        &["-b4096", "-I1024", "-O", concat!(newest!(), ",inline_data")],
    ),
    atomic(
        "inline_data-no-checksums",
        &["-b1024", "-I256", "-O", concat!(ext4!(), ",inline_data,^metadata_csum,^64bit")],
    ),
    refused("ea_inode", "ea_inode", &["-b4096", "-I256", "-O", concat!(newest!(), ",ea_inode")]),
    refused(
        "bigalloc",
        "bigalloc",
        &["-b4096", "-I256", "-C65536", "-O", concat!(newest!(), ",bigalloc")],
    ),
    refused("quota", "quota", &["-b4096", "-I256", "-O", concat!(newest!(), ",quota")]),
    refused("project", "project", &["-b4096", "-I256", "-O", concat!(newest!(), ",quota,project")]),
    refused("casefold", "casefold", &["-b4096", "-I256", "-O", concat!(newest!(), ",casefold")]),
    refused("encrypt", "encrypt", &["-b4096", "-I256", "-O", concat!(newest!(), ",encrypt")]),
    refused("mmp", "mmp", &["-b4096", "-I256", "-O", concat!(newest!(), ",mmp")]),
];
