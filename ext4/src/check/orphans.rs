//! Inodes that wait to be freed or cut short: the list, and the file.

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use super::inodes::lenient;
use crate::Result;
use crate::layout::features::{Compat, RoCompat};
use crate::layout::inode::{FileKind, ROOT_INO};
use crate::layout::orphan;

impl Checker<'_> {
    pub(super) fn orphans(&mut self) -> Result<()> {
        self.orphan_list()?;
        self.orphan_file()
    }

    fn orphan_list(&mut self) -> Result<()> {
        let mut next = self.fs.superblock().s_last_orphan();
        // Every number occurs once, so that a chain that bites its tail ends.
        while next != 0 {
            if next < self.fs.geometry().first_ino || next > self.fs.geometry().inodes_count {
                let what = "the next of the list of orphans";
                self.findings.tell(Kind::Orphan, Object::Inode(next), what, "impossible", "");
                break;
            }
            if !self.orphans.insert(next) {
                let what = "the list of orphans";
                self.findings.tell(Kind::Orphan, Object::Inode(next), what, "a ring", "a chain");
                break;
            }
            let object = Object::Inode(next);
            let inode = self.fs.inode(next);
            let Some(inode) = self.findings.note(Kind::Orphan, &object, "an orphan", inode)? else {
                break;
            };
            next = inode.i_dtime();
        }
        Ok(())
    }

    fn orphan_file(&mut self) -> Result<()> {
        let sb = self.fs.superblock();
        let ino = sb.s_orphan_file_inum();
        let object = Object::Inode(ino);
        if ino == ROOT_INO {
            self.findings.tell(Kind::OrphanFile, object, "it", "the root", "a file of its own");
            return Ok(());
        }
        if !sb.features().compat.has(Compat::ORPHAN_FILE) {
            return Ok(());
        }
        let place = self.fs.inode_position(ino);
        let note = self.findings.note(Kind::OrphanFile, &object, "the orphan file", place)?;
        let Some(place) = note else { return Ok(()) };
        let mut raw = vec![0; self.fs.geometry().inode_size.into()];
        self.fs.disk().read_at(place, &mut raw)?;
        // What is wrong with the record itself is told with all others.
        let inode = lenient(ino, &raw, self.fs.checksums())?;
        if inode.i_links_count() == 0 {
            self.findings.tell(Kind::OrphanFile, object, "the orphan file", "not in use", "");
            return Ok(());
        }
        if inode.kind() != Some(FileKind::Regular) {
            self.findings.tell(Kind::OrphanFile, object, "its type", "another", "a regular file");
            return Ok(());
        }
        let block_size = u64::from(self.fs.geometry().block_size);
        if !inode.size().is_multiple_of(block_size) {
            let (found, whole) = (inode.size(), "whole blocks");
            self.findings.tell(Kind::OrphanFile, object.clone(), "i_size", found, whole);
        }
        let map = self.fs.block_map(ino, &inode);
        let Some(mut map) = self.findings.note(Kind::OrphanFile, &object, "its map", map)? else {
            return Ok(());
        };
        let seed = self.fs.inode_seed(ino, &inode);
        let blocks = (inode.size() / block_size).min(self.fs.geometry().blocks_count);
        let mut waiting = 0_u64;
        for number in 0..blocks {
            let run = self.findings.note(Kind::OrphanFile, &object, "its map", map.run(number))?;
            let Some(physical) = run.and_then(|run| run.physical) else {
                self.findings.tell(Kind::OrphanFile, object, "a block of it", "missing", "");
                return Ok(());
            };
            let listed =
                self.fs.block(physical).and_then(|block| orphan::parse(&block, physical, seed));
            let listed = self.findings.note(Kind::OrphanFile, &object, "a block of it", listed)?;
            for orphan in listed.unwrap_or_default() {
                waiting += 1;
                let (first, last) = (self.fs.geometry().first_ino, self.fs.geometry().inodes_count);
                if orphan < first || orphan > last || self.special.contains(&orphan) {
                    let what = "an orphan it lists";
                    self.findings.tell(Kind::OrphanFile, object.clone(), what, orphan, "");
                } else {
                    self.orphans.insert(orphan);
                }
            }
        }
        let present = sb.features().ro_compat.has(RoCompat::ORPHAN_PRESENT);
        if waiting > 0 && !present {
            self.findings.tell(Kind::OrphanFile, object, "its list", waiting, "empty");
        }
        Ok(())
    }
}
