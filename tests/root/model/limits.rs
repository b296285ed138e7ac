//! Numbers beyond which things are different: names of one file, bytes of one file.

use std::path::Path;

use banger_ext4::{
    Attributes, Batch, Content as Bytes, Entry, EntryKind, Error, Flush, ImagePath, Ownership,
    Result, Sink, Source, Timestamp,
};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::{engine, fsck, kernel, root};

use super::content::Content;
use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
/// Names that an inode can have.
const MOST_NAMES: u32 = 65_000;

#[test]
fn a_file_has_65_000_names_and_not_one_more() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("links.img");
    fsck::mke2fs(&image, 64 << 20, &["-b", "1024"]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.make_directory(&path("/d"), FOLDER).unwrap();
    batch.write_file(&path("/d/0"), FILE, b"one").unwrap();
    batch.write_file(&path("/other"), FILE, b"two").unwrap();
    for n in 1..MOST_NAMES {
        batch.hard_link(&path("/d/0"), &path(format!("/d/{n}"))).unwrap();
    }
    for at in ["/d/more", "/other"] {
        let refused = batch.hard_link(&path("/d/0"), &path(at)).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { limit: 65_000, .. }), "{refused}");
    }
    // It was refused before anything was changed: what stood there stands there still.
    assert_eq!(batch.read_file(&path("/other"), 3).unwrap(), b"two");
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    // The kernel has the same limit, and takes one away.
    kernel::mounted(&image, "rw", |top| {
        let script = r#"cd "$1/d"; [ "$(stat -c %h 7)" = 65000 ]
            ! ln 0 more 2>/dev/null; rm 7; ln 0 more; rm 8"#;
        root::script(script, &[top.as_os_str()]).unwrap();
    });
    fsck::assert_clean(&image);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.hard_link(&path("/d/0"), &path("/other")).unwrap();
    assert!(batch.hard_link(&path("/d/0"), &path("/d/again")).is_err());
    batch.remove_recursive(&path("/d")).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    let lines = assert_right(&image);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(engine::open(&image).stat(&path("/other")).unwrap().nlink, 1);
}

/// A file of one piece of data every so often, and holes between.
struct Sparse {
    len: u64,
    every: u64,
}

struct SparseBytes {
    at: u64,
    every: u64,
    len: u64,
}

const PIECE: u64 = 4096;

impl Bytes for SparseBytes {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let within = self.at % self.every;
        let left = if within < PIECE { PIECE - within } else { self.every - within };
        let len = buffer.len().min(left as usize).min((self.len - self.at) as usize);
        buffer[..len].fill(if within < PIECE { (self.at / self.every) as u8 | 1 } else { 0 });
        self.at += len as u64;
        Ok(len)
    }

    fn skip_hole(&mut self) -> Result<u64> {
        let within = self.at % self.every;
        if within < PIECE {
            return Ok(0);
        }
        let hole = (self.every - within).min(self.len - self.at);
        self.at += hole;
        Ok(hole)
    }
}

impl Source for Sparse {
    fn feed(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut content = SparseBytes { at: 0, every: self.every, len: self.len };
        sink.entry(Entry {
            path: b"sparse",
            kind: EntryKind::File { len: self.len, content: &mut content },
            mode: 0o600,
            uid: 1,
            gid: 2,
            times: Timestamp::default().into(),
            xattrs: Vec::new(),
        })
    }
}

fn holes(image: &Path, len: u64, every: u64) {
    let mut batch = Batch::open(disk(image)).unwrap();
    batch.ingest(&ImagePath::root(), &mut Sparse { len, every }, Ownership::Keep).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(image);
    // Too long to be read in full: what lies where, by both readers.
    let pieces = len.div_ceil(every);
    let fs = engine::open(image);
    let stat = fs.stat(&path("/sparse")).unwrap();
    assert_eq!(stat.size, len);
    assert!(stat.allocated < (pieces + 40) * PIECE, "{} bytes", stat.allocated);
    let spots: Vec<u64> = (0..pieces).step_by(pieces as usize / 7).collect();
    let expected = |n: u64, at: u64| if at < PIECE { n as u8 | 1 } else { 0 };
    for n in &spots {
        let mut bytes = vec![9; 2 * PIECE as usize];
        let read = fs.read_range(&path("/sparse"), n * every, &mut bytes).unwrap();
        assert!((0..read).all(|at| bytes[at] == expected(*n, at as u64)), "piece {n}");
    }
    kernel::mounted(image, "ro", |top| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(top.join("sparse")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), len);
        for n in &spots {
            let mut bytes = vec![9; PIECE as usize];
            file.read_exact_at(&mut bytes, n * every).unwrap();
            assert!(bytes.iter().all(|byte| *byte == expected(*n, 0)), "piece {n}");
        }
    });
}

#[test]
fn files_are_longer_than_a_group_and_longer_than_the_disk() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("long.img");
    // Groups of 8 MiB: some 20 of them for one file, and none in one piece.
    fsck::mke2fs(&image, 256 << 20, &["-b", "1024", "-O", "^flex_bg"]);
    let content = Content::Solid { seed: 5, len: 140 << 20 };
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.write_file(&path("/dense"), FILE, &content.bytes()).unwrap();
    assert!(batch.commit(Flush::ProcessSafe).unwrap().atomic);
    let lines = assert_right(&image);
    let hash = content.hash();
    assert!(lines.iter().any(|line| line.contains(&format!("sha256={hash}"))), "{lines:#?}");
    holes(&image, 3 << 30, 4 << 20);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.remove(&path("/dense")).unwrap();
    batch.remove(&path("/sparse")).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    fsck::mke2fs(&image, 64 << 20, &["-b", "4096"]);
    holes(&image, 15 << 40, 8 << 30);
}
