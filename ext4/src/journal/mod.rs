//! The journal (JBD2): what its blocks look like, and its replay.

pub mod superblock;
