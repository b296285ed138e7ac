//! What a check finds: a kind, the object, what it says and what it should say.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Error, Result};

/// Findings that are kept one by one; all are counted.
const MOST_TOLD: usize = 100;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// A field of the superblock contradicts another.
    SuperblockField,
    /// The superblock's counts of free blocks and inodes.
    SuperblockCount,
    /// The mark of errors that were met.
    ErrorState,
    /// A copy of the superblock differs where it must not.
    BackupSuperblock,
    /// A copy of a descriptor names other places.
    BackupDescriptor,
    /// Bitmaps, tables and copies overlap, or lie where they cannot.
    MetadataPlace,
    /// The journal: its inode, its superblock, a log that nobody asks to replay.
    Journal,
    /// The block of multiple mount protection.
    Mmp,
    /// The inode that owns reserved descriptor blocks.
    ResizeInode,
    /// Flags of a group.
    GroupFlags,
    /// Free blocks, free inodes or directories of a group.
    GroupCount,
    /// `bg_itable_unused` covers an inode in use, or is beyond the table.
    UnusedInodes,
    /// The block bitmap against what is reachable.
    BlockBitmap,
    /// The inode bitmap against what is in use.
    InodeBitmap,
    /// The checksum of a bitmap.
    BitmapChecksum,
    /// Bits behind the end of a bitmap are not set.
    BitmapPadding,
    /// The checksum of an inode.
    InodeChecksum,
    /// A field or flag of an inode that cannot be.
    InodeField,
    /// A type that does not exist, or that this inode must not have.
    InodeMode,
    /// `i_size` against the map.
    InodeSize,
    /// `i_blocks` against the map.
    InodeBlocks,
    /// `i_dtime` of an inode in use, or none of one that was deleted.
    DeletionTime,
    /// `i_links_count` against the names.
    LinkCount,
    /// The target of a symbolic link.
    Symlink,
    /// Data that lies in the inode.
    InlineData,
    /// The list of orphans.
    Orphan,
    /// The file of orphans.
    OrphanFile,
    /// A node of an extent tree, or a block of pointers.
    MapNode,
    /// The checksum of an extent node.
    MapChecksum,
    /// A pointer to a block that does not exist.
    BlockRange,
    /// A block that belongs to something else already.
    BlockClaimedTwice,
    /// Data behind the end of the file.
    DataBehindEnd,
    /// A block of attributes, or the space of attributes in an inode.
    XattrSpace,
    /// The checksum of a block of attributes.
    XattrChecksum,
    /// An entry of a list of attributes.
    XattrEntry,
    /// The hash of an attribute or of its block.
    XattrHash,
    /// Inodes that share a block of attributes.
    XattrReferences,
    /// The checksum of a directory block.
    DirectoryChecksum,
    /// A part of a directory without a block.
    DirectoryHole,
    /// `.` and `..`.
    Dots,
    /// The chain of entries of a directory block.
    EntryChain,
    /// A name that cannot be.
    EntryName,
    /// A name that leads to an inode that does not exist, or is not in use.
    EntryInode,
    /// The type in an entry.
    EntryType,
    /// A name that occurs twice.
    DuplicateName,
    /// A directory with two names.
    SecondParent,
    /// An inode or directory in use that no path leads to.
    Unreachable,
    /// A node of a directory index.
    IndexNode,
    /// The checksum of an index node.
    IndexChecksum,
    /// A name or a node in a part of the index that is not its own.
    IndexOrder,
    /// A block that the index reaches twice, or never.
    IndexReach,
    /// The check gave up on a part: too many blocks have two owners.
    Incomplete,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingObject {
    /// The superblock.
    Superblock,
    /// The journal.
    Journal,
    /// A block group.
    Group(u32),
    /// An inode.
    Inode(u32),
    /// A block of the device.
    Block(u64),
    /// A block of a directory: its inode, the number within.
    DirectoryBlock(u32, u64),
    /// An entry of a directory: its inode, the name.
    Entry(u32, Vec<u8>),
}

impl fmt::Display for FindingObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => f.write_str("superblock"),
            Self::Journal => f.write_str("journal"),
            Self::Group(number) => write!(f, "group {number}"),
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::Block(number) => write!(f, "block {number}"),
            Self::DirectoryBlock(ino, block) => {
                write!(f, "directory inode {ino}, block {block}")
            }
            Self::Entry(ino, name) => {
                write!(f, "directory inode {ino}, `{}`", name.escape_ascii())
            }
        }
    }
}

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// What it is about.
    pub object: FindingObject,
    /// Which part of it.
    pub what: &'static str,
    /// What it says.
    pub found: String,
    /// What it should say.
    pub expected: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is {}", self.object, self.what, self.found)?;
        if self.expected.is_empty() { Ok(()) } else { write!(f, ", should be {}", self.expected) }
    }
}

/// What a check found. As text: one line for each finding that was kept, and how many were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What contradicts what; the first hundred.
    pub problems: Vec<Finding>,
    /// How many there are of each kind.
    pub kinds: BTreeMap<FindingKind, u64>,
    /// All of them.
    pub count: u64,
    /// Inodes that names lead to.
    pub inodes: u64,
    /// Blocks in use, metadata included.
    pub blocks: u64,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        match self.count - self.problems.len() as u64 {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl Findings {
    /// True when nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count == 0
    }

    /// True when there is a finding of this kind.
    #[must_use]
    pub fn has(&self, kind: FindingKind) -> bool {
        self.kinds.contains_key(&kind)
    }

    pub(super) fn tell(
        &mut self,
        kind: FindingKind,
        object: FindingObject,
        what: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) {
        self.count += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if self.problems.len() < MOST_TOLD {
            let (found, expected) = (found.to_string(), expected.to_string());
            self.problems.push(Finding { kind, object, what, found, expected });
        }
    }

    /// The value, or the error among the findings. A device that fails ends the check instead.
    pub(super) fn note<T>(
        &mut self,
        kind: FindingKind,
        object: &FindingObject,
        what: &'static str,
        result: Result<T>,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ Error::Io { .. }) => Err(error),
            Err(error) => {
                self.tell(kind, object.clone(), what, format_args!("refused ({error})"), "");
                Ok(None)
            }
        }
    }
}
