//! One block of directory entries: finding, adding, changing and removing in place.

use crate::layout::directory::{self, DirEntries, DirEntry, TAIL_SIZE, entry_size, put_entry};
use crate::{Error, Result, le};

/// How a filesystem writes directory blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Blocks end with a checksum.
    pub(super) tail: bool,
    /// Entries carry the type of their inode.
    pub(super) types: bool,
}

/// An entry with its name owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) inode: u32,
    pub(crate) file_type: u8,
    pub(crate) name: Vec<u8>,
}

impl Form {
    /// Bytes of a block that entries fill.
    pub(super) fn room(self, block: &[u8]) -> usize {
        block.len().saturating_sub(if self.tail { TAIL_SIZE } else { 0 })
    }

    fn stored_type(self, file_type: u8) -> u8 {
        if self.types { file_type } else { 0 }
    }

    fn entries(self, block: &[u8]) -> impl Iterator<Item = Result<DirEntry<'_>>> {
        directory::entries(block, self.tail, self.types)
    }

    fn records(self, block: &[u8]) -> DirEntries<'_> {
        directory::records(block, self.tail, self.types)
    }

    /// The entry of that name.
    pub(super) fn find(self, block: &[u8], name: &[u8]) -> Result<Option<(u32, u8)>> {
        let found = self.records(block).named(name).transpose()?;
        Ok(found.map(|entry| (entry.inode, entry.file_type)))
    }

    /// All entries in use.
    pub(super) fn collect(self, block: &[u8]) -> Result<Vec<Named>> {
        let mut found = Vec::new();
        for entry in self.entries(block) {
            let entry = entry?;
            if entry.inode != 0 {
                found.push(Named {
                    inode: entry.inode,
                    file_type: entry.file_type,
                    name: entry.name.to_vec(),
                });
            }
        }
        Ok(found)
    }

    /// Adds an entry where there is room, and gives its place; none when there is no room. Room is
    /// looked for from `from` on, where an entry begins.
    pub(super) fn insert(
        self,
        block: &mut [u8],
        new: &Named,
        from: usize,
    ) -> Result<Option<usize>> {
        let need = entry_size(new.name.len());
        let mut place = None;
        for entry in self.records(block).starting_at(from) {
            let entry = entry?;
            let used = if entry.inode == 0 { 0 } else { entry_size(entry.name.len()) };
            if entry.rec_len - used >= need {
                place = Some((entry.offset, used, entry.rec_len));
                break;
            }
        }
        let Some((offset, used, rec_len)) = place else { return Ok(None) };
        if used > 0 {
            let stored = directory::encode_rec_len(used, block.len());
            le::put(block, offset + 4, stored);
        }
        let kind = self.stored_type(new.file_type);
        let at = offset + used;
        let put = put_entry(block, at, rec_len - used, new.inode, kind, &new.name);
        Ok(put.then_some(at))
    }

    /// Fills the block with these entries; false when they do not fit.
    pub(super) fn fill(self, block: &mut [u8], entries: &[Named]) -> bool {
        let end = self.room(block);
        block.fill(0);
        let mut at = 0;
        if entries.is_empty() {
            let stored = directory::encode_rec_len(end, block.len());
            return le::put(block, 4, stored);
        }
        for (n, entry) in entries.iter().enumerate() {
            let last = n + 1 == entries.len();
            let len = if last { end.saturating_sub(at) } else { entry_size(entry.name.len()) };
            let kind = self.stored_type(entry.file_type);
            if at + len > end || !put_entry(block, at, len, entry.inode, kind, &entry.name) {
                return false;
            }
            at += len;
        }
        true
    }

    /// Lets the entry of that name lead to another inode; false without one.
    pub(super) fn relink(
        self,
        block: &mut [u8],
        name: &[u8],
        inode: u32,
        file_type: u8,
    ) -> Result<bool> {
        let found = self.records(block).named(name).transpose()?;
        let Some(offset) = found.map(|entry| entry.offset) else { return Ok(false) };
        le::put(block, offset, inode);
        le::put(block, offset + 7, self.stored_type(file_type));
        Ok(true)
    }

    /// Removes the entry of that name: its room joins the entry before. False
    /// without one.
    pub(super) fn remove(self, block: &mut [u8], name: &[u8]) -> Result<bool> {
        let mut before: Option<(usize, usize)> = None;
        let mut place = None;
        for entry in self.records(block) {
            let entry = entry?;
            if entry.inode != 0 && entry.name == name {
                place = Some((entry.offset, entry.rec_len, before));
                break;
            }
            before = Some((entry.offset, entry.rec_len));
        }
        let Some((offset, rec_len, before)) = place else { return Ok(false) };
        match before {
            Some((offset, before)) => {
                let stored = directory::encode_rec_len(before + rec_len, block.len());
                le::put(block, offset + 4, stored);
            }
            None => {
                le::put(block, offset, 0_u32);
            }
        }
        Ok(true)
    }
}

/// A refusal of what a directory says.
pub(super) fn damaged(ino: u32, what: &str) -> Error {
    Error::Corrupt { what: format!("directory {ino}: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, inode: u32) -> Named {
        Named { inode, file_type: 1, name: name.as_bytes().to_vec() }
    }

    #[test]
    fn a_block_fills_up_and_empties() {
        let form = Form { tail: true, types: true };
        let mut block = vec![0; 1024];
        assert!(form.fill(&mut block, &[]));
        let mut count = 0;
        // Room is found from wherever the last one went.
        let mut last = 0;
        while let Some(place) =
            form.insert(&mut block, &named(&format!("file-{count:03}"), 100 + count), last).unwrap()
        {
            (count, last) = (count + 1, place);
        }
        // 1012 bytes, 16 an entry.
        assert_eq!(count, 63);
        assert_eq!(form.find(&block, b"file-007").unwrap(), Some((107, 1)));
        for n in (0..count).rev() {
            assert!(form.remove(&mut block, format!("file-{n:03}").as_bytes()).unwrap());
        }
        assert_eq!(form.collect(&block).unwrap(), []);
        assert_eq!(form.insert(&mut block, &named(&"x".repeat(255), 5), 0).unwrap(), Some(0));
        assert!(form.relink(&mut block, "x".repeat(255).as_bytes(), 6, 2).unwrap());
        assert_eq!(form.collect(&block).unwrap()[0].inode, 6);
        assert!(!form.remove(&mut block, b"y").unwrap());
    }

    #[test]
    fn entries_that_do_not_fit_are_refused() {
        let form = Form { tail: false, types: true };
        let entries: Vec<_> = (0..5).map(|n| named(&"n".repeat(250), n + 1)).collect();
        assert!(!form.fill(&mut vec![0; 1024], &entries));
        assert!(form.fill(&mut vec![0; 2048], &entries));
    }
}
