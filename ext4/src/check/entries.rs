//! The entries of one directory block, and what each name leads to.

use std::collections::HashSet;

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::directory::{DirEntry, ENTRY_HEADER, decode_rec_len, entry_size};
use crate::layout::hash::Hasher;
use crate::layout::inode::{FileKind, ROOT_INO};
use crate::le;

/// The names of a directory that were met: all of it is held while it is looked at.
pub(super) type Names = HashSet<Vec<u8>>;

/// What a block of a directory may hold.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Its number within the directory.
    pub(super) number: u64,
    /// It begins with `.` and `..`.
    pub(super) first: bool,
    /// Of an index: the hashes that belong here, from and to, both included.
    pub(super) hashes: Option<(u32, u32)>,
    /// The names are encrypted, so that any byte may stand in them.
    pub(super) opaque: bool,
}

impl Checker<'_> {
    /// Goes through the entries of `bytes`; `block_size` is what `rec_len` counts in.
    pub(super) fn block_entries(
        &mut self,
        ino: u32,
        bytes: &[u8],
        block_size: usize,
        part: &Part,
        hasher: Option<&Hasher>,
        names: &mut Names,
    ) {
        let types = self.fs.has_types();
        let object = Object::DirectoryBlock(ino, part.number);
        let mut offset = 0;
        let mut nth = 0;
        while offset < bytes.len() {
            let rest = bytes.get(offset..).unwrap_or_default();
            let Some(entry) = entry(rest, offset, block_size, types) else {
                let what = "the chain of entries";
                let found = format_args!("broken at byte {offset}");
                self.findings.tell(Kind::EntryChain, object, what, found, "");
                return;
            };
            offset += entry.rec_len;
            nth += 1;
            if part.first && nth <= 2 {
                self.dot(ino, &entry, nth);
            } else if entry.inode != 0 {
                self.entry_in_use(ino, &entry, part, names);
                if let (Some(hasher), Some((from, to))) = (hasher, part.hashes) {
                    let (hash, _) = hasher.hash(entry.name);
                    if hash < from || hash > to {
                        let object = Object::Entry(ino, entry.name.to_vec());
                        let what = "its hash";
                        let expected = format_args!("in {from}..={to}, where it lies");
                        self.findings.tell(Kind::IndexOrder, object, what, hash, expected);
                    }
                }
            }
        }
        if part.first && nth < 2 {
            self.findings.tell(Kind::Dots, object, "`..`", "missing", "");
        }
    }

    /// `.` is the directory itself, `..` is remembered.
    fn dot(&mut self, ino: u32, entry: &DirEntry<'_>, nth: u32) {
        let object = Object::Inode(ino);
        let expected: &[u8] = if nth == 1 { b"." } else { b".." };
        if entry.name != expected {
            let (found, expected) = (entry.name.escape_ascii(), expected.escape_ascii());
            let what = if nth == 1 { "its first entry" } else { "its second entry" };
            self.findings.tell(Kind::Dots, object, what, found, expected);
            return;
        }
        if self.fs.has_types() && entry.file_type != FileKind::Directory.dirent_type() {
            let what = "the type of `.` or `..`";
            self.findings.tell(Kind::EntryType, object.clone(), what, entry.file_type, 2);
        }
        if nth == 1 {
            self.same(Kind::Dots, object, "`.`", entry.inode, ino);
        } else if let Some(place) = self.directories.get_mut(&ino) {
            place.above = entry.inode;
        }
    }

    fn entry_in_use(&mut self, ino: u32, entry: &DirEntry<'_>, part: &Part, names: &mut Names) {
        let name = entry.name;
        let object = || Object::Entry(ino, name.to_vec());
        let dots = name == b"." || name == b"..";
        let bad = name.is_empty() || name.contains(&b'/') || name.contains(&0);
        if dots || bad && (name.is_empty() || !part.opaque) {
            self.findings.tell(Kind::EntryName, object(), "the name", "impossible", "");
        }
        if !names.insert(name.to_vec()) {
            self.findings.tell(Kind::DuplicateName, object(), "the name", "there twice", "");
        }
        let child = entry.inode;
        let geometry = self.fs.geometry();
        let reserved = child < geometry.first_ino && child != ROOT_INO;
        if child > geometry.inodes_count || reserved || self.special.contains(&child) {
            let what = "its inode";
            self.findings.tell(Kind::EntryInode, object(), what, child, "another");
            return;
        }
        let Some(met) = self.inodes.get_mut(&child).filter(|met| !met.nameless || met.value) else {
            let what = "its inode";
            let found = format_args!("{child}, which is not in use");
            self.findings.tell(Kind::EntryInode, object(), what, found, "");
            return;
        };
        met.names = met.names.saturating_add(1);
        let kind = met.kind;
        let expected = kind.map_or(0, FileKind::dirent_type);
        let types = self.fs.has_types();
        if types && kind.is_some() && entry.file_type != expected {
            let (what, found) = ("its type", entry.file_type);
            self.findings.tell(Kind::EntryType, object(), what, found, expected);
        }
        if kind == Some(FileKind::Directory) {
            self.subdirectory(ino, child, object());
        }
    }

    /// A name for a directory: the only one.
    fn subdirectory(&mut self, ino: u32, child: u32, object: Object) {
        let place = self.directories.entry(child).or_default();
        if place.parent != 0 || child == ROOT_INO {
            let other = place.parent.max(1);
            let found = format_args!("another name of inode {child} (beside one in {other})");
            self.findings.tell(Kind::SecondParent, object, "it", found, "");
            return;
        }
        place.parent = ino;
        // The child's `..`.
        if let Some(met) = self.inodes.get_mut(&ino) {
            met.names = met.names.saturating_add(1);
        }
    }
}

/// One entry; none when its length or its name's cannot be.
fn entry(rest: &[u8], offset: usize, block_size: usize, types: bool) -> Option<DirEntry<'_>> {
    let inode: u32 = le::get(rest, 0)?;
    let rec_len = decode_rec_len(le::get(rest, 4)?, block_size);
    if rec_len < ENTRY_HEADER || rec_len > rest.len() || !rec_len.is_multiple_of(4) {
        return None;
    }
    let name_len: u8 = le::get(rest, 6)?;
    // Without types the lengths of names have 16 bits; none is longer than 255.
    let high: u8 = le::get(rest, 7)?;
    if !types && high != 0 || entry_size(name_len.into()) > rec_len {
        return None;
    }
    let name = rest.get(ENTRY_HEADER..ENTRY_HEADER + usize::from(name_len))?;
    Some(DirEntry { offset, rec_len, inode, file_type: high, name })
}
