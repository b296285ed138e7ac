//! Orphans: inodes whose last name was gone, or that were being shortened, when
//! the machine stopped. They are dealt with before anything else is changed.

use std::collections::HashSet;

use super::volume::Volume;
use crate::layout::features::{Compat, RoCompat};
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind, Inode};
use crate::layout::{inline, orphan};
use crate::{Disk, Error, Result};

impl Volume {
    /// Finishes what both lists of orphans say was begun; the lists are empty then.
    /// Returns how many there were.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a list cannot be right.
    pub(crate) fn reap_orphans(&mut self) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut next = self.sb.s_last_orphan();
        while next != 0 {
            let inode = self.orphan(next, &mut seen)?;
            let following = inode.i_dtime();
            self.reap(next, inode)?;
            next = following;
        }
        self.sb.set_s_last_orphan(0);
        if self.has_compat(Compat::ORPHAN_FILE) && self.has_ro_compat(RoCompat::ORPHAN_PRESENT) {
            self.reap_orphan_file(&mut seen)?;
            let mut features = self.sb.features();
            features.ro_compat = features.ro_compat.without(RoCompat::ORPHAN_PRESENT);
            self.sb.set_features(features);
        }
        Ok(seen.len() as u64)
    }

    fn reap_orphan_file(&mut self, seen: &mut HashSet<u32>) -> Result<()> {
        let ino = self.sb.s_orphan_file_inum();
        let inode = self.read_inode(ino)?;
        let seed = self.seed(ino, &inode);
        let map = self.load_map(ino, &inode)?;
        let runs = map.extents.iter().map(|e| e.start..e.start + u64::from(e.len));
        for block in runs.flatten() {
            let listed = orphan::parse(self.blocks.read(block)?, block, seed)?;
            if listed.is_empty() {
                continue;
            }
            for number in listed {
                let inode = self.orphan(number, seen)?;
                self.reap(number, inode)?;
            }
            orphan::put_empty(self.blocks.edit(block)?, block, seed);
        }
        Ok(())
    }

    fn orphan(&mut self, ino: u32, seen: &mut HashSet<u32>) -> Result<Inode> {
        if ino < self.geometry.first_ino || !seen.insert(ino) {
            return Err(Error::Corrupt {
                what: format!("inode {ino} cannot be an orphan (again)"),
            });
        }
        self.read_inode(ino)
    }

    fn reap(&mut self, ino: u32, mut inode: Inode) -> Result<()> {
        // The field was a link of the list and no time.
        inode.set_i_dtime(0);
        if inode.i_links_count() == 0 {
            return self.delete(ino, inode);
        }
        if inode.kind() == Some(FileKind::Regular) {
            self.shorten(ino, &mut inode)?;
        }
        self.write_inode(ino, &inode)
    }

    /// Takes back the blocks behind a file's size and clears the rest of the last.
    fn shorten(&mut self, ino: u32, inode: &mut Inode) -> Result<()> {
        if inode.has_flag(FLAG_INLINE_DATA) {
            return shorten_inline(inode);
        }
        let block_size = u64::from(self.geometry.block_size);
        let keep = inode.size().div_ceil(block_size);
        let mut map = self.load_map(ino, inode)?;
        let mut kept = Vec::new();
        for extent in std::mem::take(&mut map.extents) {
            let from = keep.clamp(extent.block.into(), extent.end()) - u64::from(extent.block);
            let end = extent.start + u64::from(extent.len);
            if extent.start + from < end {
                self.free_run(extent.start + from..end)?;
            }
            if from > 0 {
                let len = u16::try_from(from).unwrap_or(extent.len);
                kept.push(crate::layout::extent::Extent { len, ..extent });
            }
        }
        map.extents = kept;
        let within = inode.size() % block_size;
        let last = u32::try_from(inode.size() / block_size).ok();
        let written = |logical: u32| {
            map.extents.iter().any(|e| {
                !e.unwritten && (u64::from(e.block)..e.end()).contains(&u64::from(logical))
            })
        };
        if let Some(logical) = last.filter(|logical| within > 0 && written(*logical))
            && let Some(block) = map.block(logical)
        {
            let rest = vec![0; (block_size - within) as usize];
            self.blocks.overlay().write_at(block * block_size + within, &rest)?;
        }
        self.store_map(ino, inode, &mut map)
    }
}

/// Takes back the room behind the size of data inside an inode, and clears the rest.
fn shorten_inline(inode: &mut Inode) -> Result<()> {
    let mut bytes = inline::read(inode)?;
    let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
    if size >= bytes.len() {
        return Ok(());
    }
    bytes.get_mut(size..).unwrap_or_default().fill(0);
    bytes.truncate(size.max(inline::IN_BLOCK));
    inline::write(inode, &bytes)
}
