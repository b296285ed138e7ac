//! The three feature words, their bits named as mke2fs spells them.

use crate::{Error, Result};

macro_rules! features {
    ($(#[$doc:meta])* $name:ident { $($(#[$bitdoc:meta])* $bit:ident = $value:literal, $spelling:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$bitdoc])* pub const $bit: Self = Self($value);)*
            const NAMES: &[(u32, &str)] = &[$(($value, $spelling)),*];

            /// True when every bit of `other` is set here.
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These bits and those of `other`.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These bits without those of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The names of all set bits, those without a name as `FEATURE_x<bits>`.
            #[must_use]
            pub fn names(self) -> Vec<String> {
                let mut rest = self.0;
                let mut names = Vec::new();
                for (bit, name) in Self::NAMES {
                    if rest & bit != 0 {
                        rest &= !bit;
                        names.push((*name).to_owned());
                    }
                }
                if rest != 0 {
                    names.push(format!("FEATURE_{}{rest:#x}", stringify!($name)));
                }
                names
            }
        }
    };
}

features! {
    /// `s_feature_compat`: safe to ignore.
    Compat {
        /// Blocks for directories are allocated ahead.
        DIR_PREALLOC = 0x1, "dir_prealloc";
        /// AFS server inodes.
        IMAGIC_INODES = 0x2, "imagic_inodes";
        /// There is a journal.
        HAS_JOURNAL = 0x4, "has_journal";
        /// Extended attributes.
        EXT_ATTR = 0x8, "ext_attr";
        /// Reserved descriptor blocks, owned by inode 7.
        RESIZE_INODE = 0x10, "resize_inode";
        /// Directories may have a hash tree.
        DIR_INDEX = 0x20, "dir_index";
        /// Backups only in two chosen groups.
        SPARSE_SUPER2 = 0x200, "sparse_super2";
        /// The journal may hold fast commits.
        FAST_COMMIT = 0x400, "fast_commit";
        /// Inode numbers never change.
        STABLE_INODES = 0x800, "stable_inodes";
        /// Orphans are listed in a file of their own.
        ORPHAN_FILE = 0x1000, "orphan_file";
    }
}

features! {
    /// `s_feature_incompat`: not even readable without knowing the bit.
    Incompat {
        /// Compressed files (never merged).
        COMPRESSION = 0x1, "compression";
        /// Directory entries carry the type.
        FILETYPE = 0x2, "filetype";
        /// The journal must be replayed.
        RECOVER = 0x4, "needs_recovery";
        /// This is a journal device and no filesystem.
        JOURNAL_DEV = 0x8, "journal_dev";
        /// Descriptors are spread over the groups.
        META_BG = 0x10, "meta_bg";
        /// Files may be mapped by extents.
        EXTENTS = 0x40, "extent";
        /// Block numbers have 64 bits.
        SIXTY_FOUR_BIT = 0x80, "64bit";
        /// Multiple mount protection.
        MMP = 0x100, "mmp";
        /// Metadata of several groups lies together.
        FLEX_BG = 0x200, "flex_bg";
        /// Large extended attributes lie in inodes.
        EA_INODE = 0x400, "ea_inode";
        /// Data in directory entries (never merged).
        DIRDATA = 0x1000, "dirdata";
        /// The checksum seed is stored and not the uuid's.
        CSUM_SEED = 0x2000, "metadata_csum_seed";
        /// Directories beyond 2 GiB or with three levels of index.
        LARGEDIR = 0x4000, "large_dir";
        /// Small files lie in their inode.
        INLINE_DATA = 0x8000, "inline_data";
        /// Encrypted inodes may exist.
        ENCRYPT = 0x10000, "encrypt";
        /// Case-insensitive directories may exist.
        CASEFOLD = 0x20000, "casefold";
    }
}

features! {
    /// `s_feature_ro_compat`: readable without knowing the bit, not writable.
    RoCompat {
        /// Backups only in groups 0, 1 and powers of 3, 5 and 7.
        SPARSE_SUPER = 0x1, "sparse_super";
        /// Files beyond 2 GiB.
        LARGE_FILE = 0x2, "large_file";
        /// B-tree directories (never merged).
        BTREE_DIR = 0x4, "btree_dir";
        /// `i_blocks` has 48 bits and may count in blocks.
        HUGE_FILE = 0x8, "huge_file";
        /// Descriptors carry a crc16 and groups may be uninitialised.
        GDT_CSUM = 0x10, "uninit_bg";
        /// Directories may have more than 65,000 subdirectories.
        DIR_NLINK = 0x20, "dir_nlink";
        /// Inodes are larger than 128 bytes and keep a promise about it.
        EXTRA_ISIZE = 0x40, "extra_isize";
        /// Snapshots (never merged).
        SNAPSHOT = 0x80, "snapshot";
        /// Quota is accounted in inodes.
        QUOTA = 0x100, "quota";
        /// Blocks are allocated in clusters.
        BIGALLOC = 0x200, "bigalloc";
        /// All metadata carries a crc32c.
        METADATA_CSUM = 0x400, "metadata_csum";
        /// Replicas (never merged).
        REPLICA = 0x800, "replica";
        /// The filesystem must not be written.
        READONLY = 0x1000, "read-only";
        /// Project quota.
        PROJECT = 0x2000, "project";
        /// Blocks are shared between files.
        SHARED_BLOCKS = 0x4000, "shared_blocks";
        /// Verity files may exist.
        VERITY = 0x8000, "verity";
        /// The orphan file is not empty.
        ORPHAN_PRESENT = 0x10000, "orphan_present";
    }
}

/// Bits of `s_feature_incompat` that reading copes with. Encrypted inodes and
/// values in inodes are refused where they are met.
const READABLE: Incompat = Incompat(
    Incompat::FILETYPE.0
        | Incompat::RECOVER.0
        | Incompat::META_BG.0
        | Incompat::EXTENTS.0
        | Incompat::SIXTY_FOUR_BIT.0
        | Incompat::MMP.0
        | Incompat::FLEX_BG.0
        | Incompat::EA_INODE.0
        | Incompat::CSUM_SEED.0
        | Incompat::LARGEDIR.0
        | Incompat::INLINE_DATA.0
        | Incompat::ENCRYPT.0
        | Incompat::CASEFOLD.0,
);
/// Readable, but changing such a filesystem needs work that is not done here.
const INCOMPAT_NOT_WRITTEN: Incompat =
    Incompat(Incompat::MMP.0 | Incompat::EA_INODE.0 | Incompat::ENCRYPT.0 | Incompat::CASEFOLD.0);
/// Bits of `s_feature_ro_compat` that writing keeps right.
const WRITABLE: RoCompat = RoCompat(
    RoCompat::SPARSE_SUPER.0
        | RoCompat::LARGE_FILE.0
        | RoCompat::HUGE_FILE.0
        | RoCompat::GDT_CSUM.0
        | RoCompat::DIR_NLINK.0
        | RoCompat::EXTRA_ISIZE.0
        | RoCompat::METADATA_CSUM.0
        | RoCompat::VERITY.0
        | RoCompat::ORPHAN_PRESENT.0,
);

/// All three words of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// `s_feature_compat`.
    pub compat: Compat,
    /// `s_feature_incompat`.
    pub incompat: Incompat,
    /// `s_feature_ro_compat`.
    pub ro_compat: RoCompat,
}

impl Features {
    /// Whether the filesystem can be read.
    ///
    /// # Errors
    /// [`Error::Incompatible`] names what stands in the way.
    pub fn check_readable(&self) -> Result<()> {
        refuse(&self.incompat.without(READABLE).names())
    }

    /// Whether the filesystem can be changed and stay right.
    ///
    /// # Errors
    /// [`Error::Incompatible`] names what stands in the way.
    pub fn check_writable(&self) -> Result<()> {
        self.check_readable()?;
        let mut names = Incompat(self.incompat.0 & INCOMPAT_NOT_WRITTEN.0).names();
        names.extend(self.ro_compat.without(WRITABLE).names());
        refuse(&names)
    }

    /// The names of all features, in the order of `dumpe2fs`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        [self.compat.names(), self.incompat.names(), self.ro_compat.names()].concat()
    }
}

fn refuse(names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::Incompatible { feature: names.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_refused_by_name_or_number() {
        let mut features = Features { incompat: Incompat::EXTENTS, ..Features::default() };
        features.check_writable().unwrap();
        features.ro_compat = RoCompat::BIGALLOC;
        features.check_readable().unwrap();
        assert!(features.check_writable().unwrap_err().to_string().contains("bigalloc"));
        features.incompat = Incompat(0x8000_0000);
        let text = features.check_readable().unwrap_err().to_string();
        assert!(text.contains("FEATURE_Incompat0x80000000"), "{text}");
    }
}
