//! An image as our own reader sees it, in the lines of a manifest.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{FileDisk, FileKind, Filesystem, ImagePath, Limits};

use crate::manifest::{Record, hash};

/// Opens an image file read-only.
pub fn open(image: &Path) -> Filesystem {
    let file = std::fs::File::open(image).expect("the image can be opened");
    let disk = FileDisk::new(file).expect("the image has a length");
    Filesystem::open(Arc::new(disk)).expect("our reader opens the image")
}

/// The whole tree in an image, as our reader sees it.
pub fn tree(image: &Path) -> Vec<String> {
    let fs = open(image);
    let found = banger_ext4::check(&fs).expect("the image can be checked");
    assert!(found.is_clean(), "our check of {}: {:#?}", image.display(), found.problems);
    tree_of(&fs)
}

/// The whole tree of an open filesystem.
pub fn tree_of(fs: &Filesystem) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: HashMap<u32, Vec<u8>> = HashMap::new();
    let limits = Limits { depth: 5000, ..Limits::default() };
    fs.walk(&ImagePath::root(), &limits, &mut |entry| {
        let stat = &entry.stat;
        let inside = [b"/", entry.path.as_slice()].concat();
        let path = ImagePath::new(&inside)?;
        assert_eq!(fs.lstat(&path)?, *stat, "a path and a walk lead to the same inode");
        let mut record = Record {
            path: inside.clone(),
            mode: stat.mode.into(),
            uid: stat.uid,
            gid: stat.gid,
            size: stat.size,
            mtime: (stat.mtime.seconds, stat.mtime.nanoseconds.into()),
            links: stat.nlink.into(),
            xattrs: fs.xattrs(&path)?.into_iter().map(|x| (x.name, x.value)).collect(),
            ..Record::default()
        };
        record.kind = match stat.kind {
            FileKind::Directory => "dir",
            FileKind::Regular => {
                let mut content = Vec::new();
                fs.read_file_to(&path, limits.bytes, &mut content)?;
                record.content = Some(hash(content.as_slice()).expect("memory can be read"));
                "file"
            }
            FileKind::Symlink => {
                record.target = Some(fs.read_link(&path)?);
                "link"
            }
            FileKind::CharDevice | FileKind::BlockDevice => {
                record.rdev = stat.rdev;
                if stat.kind == FileKind::CharDevice { "char" } else { "block" }
            }
            FileKind::Fifo => "fifo",
            FileKind::Socket => "socket",
        };
        if stat.kind != FileKind::Directory && stat.nlink > 1 {
            record.group = Some(seen.entry(stat.ino).or_insert(inside).clone());
        }
        lines.push(record.line());
        Ok(())
    })
    .expect("our reader walks the image");
    lines.sort();
    lines
}
