//! How directories hang together, and how often each inode is named.

use std::collections::BTreeSet;

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::features::RoCompat;
use crate::layout::inode::{FileKind, ROOT_INO};

/// Names beyond which a directory says 1, with the feature `dir_nlink`.
const MOST_LINKS: u32 = 65_000;

impl Checker<'_> {
    pub(super) fn links(&mut self) {
        self.parents();
        self.values();
        let uncounted = self.fs.superblock().features().ro_compat.has(RoCompat::DIR_NLINK);
        for (ino, met) in &self.inodes {
            if met.value && met.names > 0 {
                let what = "the flag `ea_inode`, with a name,";
                self.findings.tell(Kind::InodeField, Object::Inode(*ino), what, "set", "clear");
            }
            if met.nameless {
                continue;
            }
            let directory = met.kind == Some(FileKind::Directory);
            self.findings.inodes += u64::from(met.names > 0 || *ino == ROOT_INO);
            let object = Object::Inode(*ino);
            let found = u32::from(met.links);
            if directory {
                // Its own `.`; and the root is in itself.
                let expected = met.names + 1 + u32::from(*ino == ROOT_INO);
                let many = uncounted && found == 1 && expected > MOST_LINKS;
                if found != expected && !many {
                    let what = "i_links_count";
                    self.findings.tell(Kind::LinkCount, object, what, found, expected);
                }
            } else if met.names == 0 {
                self.findings.tell(Kind::Unreachable, object, "it", "in use without a name", "");
            } else if found != met.names {
                let what = "i_links_count";
                self.findings.tell(Kind::LinkCount, object, what, found, met.names);
            }
        }
        for (block, shared) in &self.shared {
            if shared.users != shared.says {
                let what = "h_refcount of a block of attributes";
                let (found, expected) = (shared.says, shared.users);
                let object = Object::Block(*block);
                self.findings.tell(Kind::XattrReferences, object, what, found, expected);
            }
        }
    }

    /// Every directory has one parent, which its `..` names, and from each the root is reached.
    fn parents(&mut self) {
        let mut reached = BTreeSet::from([ROOT_INO]);
        for (ino, place) in &self.directories {
            let met = self.inodes.get(ino).copied().unwrap_or_default();
            let object = Object::Inode(*ino);
            let parent = if *ino == ROOT_INO { ROOT_INO } else { place.parent };
            if parent == 0 && !met.nameless {
                let found = "a directory without a name";
                self.findings.tell(Kind::Unreachable, object.clone(), "it", found, "");
            } else if place.above != parent && !met.unmapped && !met.nameless {
                let (found, expected) = (place.above, parent);
                self.findings.tell(Kind::Dots, object.clone(), "`..`", found, expected);
            }
            // Upwards until something known; a ring comes back to itself.
            let mut way = BTreeSet::from([*ino]);
            let mut at = parent;
            while at != 0 && !reached.contains(&at) && way.insert(at) {
                at = self.directories.get(&at).map_or(0, |place| place.parent);
            }
            if at != 0 && !reached.contains(&at) {
                let found = "in a ring of directories, or below one";
                self.findings.tell(Kind::Unreachable, object, "it", found, "");
            }
            reached.extend(way);
        }
    }

    /// Inodes that hold values of attributes: each is named, and is one.
    fn values(&mut self) {
        let named: Vec<u32> = self.values.keys().copied().collect();
        for ino in named {
            let met = self.inodes.get(&ino).copied().unwrap_or_default();
            if !met.nameless || met.kind != Some(FileKind::Regular) {
                let what = "the value of an attribute in it";
                self.findings.tell(Kind::XattrEntry, Object::Inode(ino), what, "missing", "");
            }
        }
    }
}
