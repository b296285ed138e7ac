//! The judges: our reader and check, e2fsck, another reader, and the kernel's mount.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_ext4::layout::features::Incompat;
use banger_ext4::layout::superblock::FLAG_UNSIGNED_HASH;
use banger_tests::image::path;
use banger_tests::{engine, fsck, kernel, manifest};
use ext4_view::{Ext4, Ext4Error, Ext4Read};

use super::content::Content;
use super::tree::{Kind, Tree, without_times};

/// Our reader sees the model, and our check finds nothing. Gives back what it saw.
pub fn ours(image: &Path, tree: &Tree) -> Vec<String> {
    let lines = engine::tree(image);
    let mut found: Vec<String> = lines.iter().map(|line| without_times(line)).collect();
    found.sort();
    manifest::assert_same(("the model", &tree.lines()), ("our reader", &found));
    let fs = engine::open(image);
    for (at, id) in tree.paths() {
        if let Some(modified) = tree.entry(id).modified.filter(|_| tree.names(id).is_none()) {
            let stat = fs.lstat(&path(&at)).unwrap();
            assert_eq!(stat.mtime, modified, "{}", at.escape_ascii());
        }
    }
    lines
}

/// All of them, where they are to be had. Gives back whether the other reader is one; it
/// knows no times before 1970.
pub fn all(image: &Path, tree: &Tree, kernel: bool, old_times: bool) -> bool {
    let lines = ours(image, tree);
    fsck::assert_clean(image);
    if kernel {
        let theirs = kernel::tree(image);
        manifest::assert_same(("our reader", &lines), ("the kernel", &theirs));
    }
    !old_times && view(image, tree).unwrap()
}

struct ImageFile(File);

impl Ext4Read for ImageFile {
    fn read(
        &mut self,
        offset: u64,
        to: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read_exact_at(to, offset)?)
    }
}

/// Another reader in safe Rust sees the model; false when it does not know such filesystems.
fn view(image: &Path, tree: &Tree) -> Result<bool, Ext4Error> {
    let fs = engine::open(image);
    // It takes short inodes for damaged, and hashes characters beyond ASCII in one way only.
    let unsigned = fs.superblock().s_flags() & FLAG_UNSIGNED_HASH != 0;
    if fs.geometry().inode_size == 128 || unsigned {
        return Ok(false);
    }
    // It takes a pointer to no block of pointers for one to block 0.
    let extents = fs.superblock().features().incompat.has(Incompat::EXTENTS);
    let holes = |id| matches!(&tree.entry(id).kind, Kind::File(Content::Mixed { .. }));
    if !extents && tree.paths().into_iter().any(|(_, id)| holes(id)) {
        return Ok(false);
    }
    match compare(image, tree) {
        Err(Ext4Error::Incompatible(_)) => Ok(false),
        compared => compared.map(|()| true),
    }
}

fn compare(image: &Path, tree: &Tree) -> Result<(), Ext4Error> {
    let view = Ext4::load(Box::new(ImageFile(File::open(image).unwrap())))?;
    for (at, id) in tree.paths() {
        let entry = tree.entry(id);
        let shown = at.escape_ascii();
        let at = at.as_slice();
        let found = match view.symlink_metadata(at) {
            Err(Ext4Error::NotFound) => panic!("{shown} is not found"),
            found => found?,
        };
        let is = (found.mode(), found.uid(), found.gid());
        let attributes = entry.attributes;
        assert_eq!(is, (attributes.mode, attributes.uid, attributes.gid), "{shown}");
        match &entry.kind {
            Kind::Directory(names) => {
                let mut listed = Vec::new();
                for entry in view.read_dir(at)? {
                    listed.push(entry?.file_name().as_ref().to_vec());
                }
                listed.retain(|name| name != b"." && name != b"..");
                listed.sort();
                assert!(listed.iter().eq(names.keys()), "{shown}: other names");
            }
            Kind::File(content) => {
                assert!(view.read(at)? == content.bytes(), "{shown}: other content");
            }
            Kind::Link(target) => {
                assert_eq!(view.read_link(at)?.as_ref() as &[u8], target, "{shown}");
            }
            Kind::Node(_) => assert!(!found.is_dir() && !found.is_symlink(), "{shown}"),
        }
    }
    Ok(())
}
