//! The on-disk structures: one file each, fields named as in the kernel's documentation.

pub mod bitmap;
pub mod checksum;
pub mod directory;
pub mod extent;
pub mod features;
pub mod geometry;
pub mod group;
pub mod hash;
pub mod htree;
pub mod inline;
pub mod inode;
pub mod orphan;
pub mod superblock;
pub mod superblock_update;
pub mod xattr;
pub mod xattr_hash;
