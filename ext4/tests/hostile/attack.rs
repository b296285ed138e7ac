//! Everything the engine does, done to a damaged image.

use std::os::fd::AsFd;
use std::sync::Arc;

use banger_ext4::layout::inode::Inode;
use banger_ext4::{
    Attributes, Batch, Disk, Filesystem, Flush, ImagePath, Limits, Node, Ownership, Result, Times,
    Timestamp, Xattr, check, copy_subtree, grow, journal,
};

use crate::disks::Guarded;

/// How far walks go.
pub(crate) const LIMITS: Limits = Limits { depth: 20, entries: 2000, bytes: 16 << 20 };
const PLAIN: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
/// Paths that every image has, before it is damaged.
const PATHS: &[&str] = &[
    "/a/b/large",
    "/sparse",
    "/few",
    "/link",
    "/loop",
    "/dangling",
    "/many/nothing",
    "/many/a-name-of-some-length-so-that-blocks-fill-17",
    "/a/b/c/d",
    "/e",
    "/again",
];
/// The names of what a batch touches.
pub(crate) const TOUCHED: &[&[u8]] = &[
    b"small",
    b"again",
    b"link",
    b"sparse",
    b"few",
    b"large",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f",
    b"g",
    b"empty",
    b"of-a-block",
    b"dangling",
    b"loop",
    b"a",
    b"many",
    b"long",
    b"lost+found",
];

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// Opens, and asks for everything there is.
pub(crate) fn read(disk: &Arc<Guarded>, each: &mut dyn FnMut(&'static str)) {
    let Ok(fs) = Filesystem::open(Arc::clone(disk) as Arc<dyn Disk>) else {
        each("open");
        return;
    };
    each("open");
    let _ = check(&fs);
    each("check");
    let _ = fs.statfs();
    each("statfs");
    let mut found = Vec::new();
    let _ = fs.walk(&ImagePath::root(), &LIMITS, &mut |entry| {
        if found.len() < 60 || entry.stat.ino % 16 == 0 {
            found.push((entry.path.clone(), entry.stat.clone()));
        }
        Ok(())
    });
    each("walk");
    for (below, stat) in found.iter().take(80) {
        let Ok(path) = ImagePath::new([b"/", below.as_slice()].concat()) else { continue };
        let _ = fs.lstat(&path);
        let _ = fs.xattrs(&path);
        let _ = fs.read_link(&path);
        let _ = fs.read_file(&path, 1 << 20);
        let _ = fs.read_range(&path, stat.size / 2, &mut [0; 3000]);
        let map = |inode: &Inode| fs.block_map(stat.ino, inode).map(|mut m| m.tree_blocks(50_000));
        let _ = fs.inode(stat.ino).and_then(|inode| map(&inode));
        each("one entry");
    }
    for known in PATHS {
        let _ = fs.stat(&path(known));
        let _ = fs.read_dir(&path(known), 1000);
        let _ = fs.read_file(&path(known), 1 << 20);
        each("one path");
    }
}

/// Lays everything down on the host.
pub(crate) fn extract(disk: &Arc<Guarded>, folder: &std::path::Path) -> Result<()> {
    let fs = Filesystem::open(Arc::clone(disk) as Arc<dyn Disk>)?;
    let top = std::fs::File::open(folder).unwrap();
    fs.extract(&ImagePath::root(), top.as_fd(), &LIMITS).map(|_| ())
}

/// Replays the journal in place.
pub(crate) fn replay(disk: &Arc<Guarded>) -> Result<journal::Replayed> {
    journal::replay(&(Arc::clone(disk) as Arc<dyn Disk>))
}

/// Changes what there is, each kind of change once, and commits what went well.
pub(crate) fn change(
    disk: &Arc<Guarded>,
    which: u64,
    each: &mut dyn FnMut(&'static str),
) -> Result<()> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let opened = if which.is_multiple_of(2) { Batch::open(disk) } else { Batch::open_direct(disk) };
    each("open");
    let mut batch = opened?;
    let xattr = |len| Xattr { name: b"user.new".to_vec(), value: vec![b'x'; len] };
    let time = Timestamp { seconds: 5_000_000_000, nanoseconds: 7 };
    let times = Times { accessed: time, modified: time, changed: time };
    type Change<'a> = (&'static str, Box<dyn Fn(&mut Batch) -> Result<()> + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("write_file", Box::new(|b| b.write_file(&path("/a/small"), PLAIN, &[7; 20_000]))),
        ("write_file", Box::new(|b| b.write_file(&path("/link"), PLAIN, b"through a link"))),
        ("make_directories", Box::new(|b| b.make_directories(&path("/new/and/deep"), PLAIN))),
        (
            "insert",
            Box::new(|b| {
                (0..12).try_for_each(|n| {
                    b.write_file(&path(&format!("/many/another-{n}")), PLAIN, b"content")
                })
            }),
        ),
        (
            "insert",
            Box::new(|b| {
                (0..4).try_for_each(|n| {
                    b.hard_link(&path("/again"), &path(&format!("/long/{n:a>240}")))
                })
            }),
        ),
        ("symlink", Box::new(|b| b.symlink(&path("/e/new-link"), &[b't'; 100], 0, 0))),
        ("make_node", Box::new(|b| b.make_node(&path("/e/fifo"), PLAIN, Node::Fifo))),
        ("rename", Box::new(|b| b.rename(&path("/a/b/c"), &path("/e/f/c")))),
        ("rename", Box::new(|b| b.rename(&path("/e/of-a-block"), &path("/again")))),
        ("set_xattrs", Box::new(|b| b.set_xattrs(&path("/few"), &[xattr(300)]))),
        ("set_xattrs", Box::new(|b| b.set_xattrs(&path("/a/b/large"), &[xattr(30)]))),
        ("set_attributes", Box::new(|b| b.set_attributes(&path("/a/b"), PLAIN))),
        ("set_times", Box::new(|b| b.set_times(&path("/a"), times))),
        ("fix_root", Box::new(Batch::fix_root)),
        ("remove", Box::new(|b| b.remove(&path("/sparse")))),
        ("remove", Box::new(|b| b.remove(&path("/dangling")))),
        ("remove_recursive", Box::new(|b| b.remove_recursive(&path("/a/b")))),
        ("remove_recursive", Box::new(|b| b.remove_recursive(&path("/many")))),
        (
            "copy",
            Box::new(|b| {
                let fs = b.filesystem()?;
                let mut tree = copy_subtree(&fs, &path("/e")).limits(LIMITS);
                b.ingest(&path("/lost+found"), &mut tree, Ownership::Root).map(|_| ())
            }),
        ),
    ];
    // Not all of them each time: what one of them spoils, another may get by.
    for (n, (name, change)) in changes.iter().enumerate() {
        if which >> (n % 16) & 3 != 0 {
            let _ = change(&mut batch);
            each(name);
        }
    }
    let _ = batch.exists(&path("/a"));
    let _ = batch.lstat(&path("/a/small"));
    let _ = batch.read_file(&path("/a/small"), 1 << 20);
    each("read");
    let done = batch.commit(Flush::PowerSafe).map(|_| ());
    each("commit");
    done
}

/// Grows it to the whole of its disk.
pub(crate) fn enlarge(disk: &Arc<Guarded>) -> Result<()> {
    grow(&(Arc::clone(disk) as Arc<dyn Disk>), true, Flush::PowerSafe).map(|_| ())
}
