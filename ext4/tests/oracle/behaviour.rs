//! What the toolkit promises its callers, sentence by sentence, on a filesystem of mke2fs.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;

use banger_ext4::{
    Acl, Attributes, Batch, Disk, Error, FileDisk, FileKind, Filesystem, Flush, HostTree,
    ImagePath, Limits, MemoryDisk, Ownership, Xattr, copy_subtree,
};

use crate::support::{Image, content, filled, missing, mke2fs, open};

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

fn path(text: impl AsRef<[u8]>) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn batch(image: &Image) -> Batch {
    Batch::open(Arc::new(open(&image.path))).unwrap()
}

/// Opened for reading alone: nothing could be written even by mistake.
fn read(image: &Image) -> Filesystem {
    let file = File::open(&image.path).unwrap();
    Filesystem::open(Arc::new(FileDisk::new(file).unwrap())).unwrap()
}

/// Commits; then e2fsck and our own check must find nothing.
fn commit(image: &Image, batch: Batch) {
    assert!(batch.commit(Flush::ProcessSafe).unwrap().atomic);
    let out = Command::new("e2fsck").arg("-fn").arg(&image.path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    let found = banger_ext4::check(&read(image)).unwrap();
    assert!(found.is_clean(), "{found:#?}");
}

fn mode_and_owner(fs: &Filesystem, at: &str) -> (FileKind, u16, u32, u32) {
    let stat = fs.lstat(&path(at)).unwrap();
    (stat.kind, stat.mode, stat.uid, stat.gid)
}

#[test]
fn making_a_directory_twice_resets_its_mode_and_owner() {
    if missing("mke2fs") {
        return;
    }
    let image = mke2fs(16 << 20, &[]);
    let mut first = batch(&image);
    first
        .make_directory(&path("/d"), Attributes { mode: 0o1777, uid: 70_000, gid: 80_000 })
        .unwrap();
    first.write_file(&path("/d/kept"), FILE, b"x").unwrap();
    commit(&image, first);
    let mut second = batch(&image);
    // Bits of a type in the mode mean nothing: the type is what was asked for.
    let odd = Attributes { mode: 0o100_700, uid: 1, gid: 2 };
    second.make_directory(&path("/d"), odd).unwrap();
    second.make_directory(&path("/new"), odd).unwrap();
    // So for the root, and for a link that leads to a directory.
    second.symlink(&path("/link"), b"d", 0, 0).unwrap();
    second.make_directory(&path("/link"), Attributes { mode: 0o711, ..FOLDER }).unwrap();
    second.make_directory(&path("/"), Attributes { mode: 0o700, uid: 5, gid: 6 }).unwrap();
    for taken in ["/d/kept", "/no/where"] {
        assert!(second.make_directory(&path(taken), FOLDER).is_err());
    }
    commit(&image, second);
    let fs = read(&image);
    assert_eq!(mode_and_owner(&fs, "/d"), (FileKind::Directory, 0o711, 0, 0));
    assert_eq!(mode_and_owner(&fs, "/new"), (FileKind::Directory, 0o700, 1, 2));
    assert_eq!(mode_and_owner(&fs, "/"), (FileKind::Directory, 0o700, 5, 6));
    assert_eq!(fs.read_file(&path("/d/kept"), 1).unwrap(), b"x");
}

#[test]
fn a_file_is_made_or_replaced_and_its_type_is_always_right() {
    if missing("mke2fs") {
        return;
    }
    let image = filled(32 << 20, &[], 10);
    let mut one = batch(&image);
    // A bare mode, and one that claims to be a directory.
    one.write_file(&path("/new"), Attributes { mode: 0o755, uid: 3, gid: 4 }, b"1").unwrap();
    one.write_file(&path("/odd"), Attributes { mode: 0o040_755, ..FILE }, b"2").unwrap();
    // What is replaced may have been of any type, and of two names one.
    let large = content(900_000);
    one.write_file(&path("/link"), FILE, &large).unwrap();
    one.write_file(&path("/dangling"), FILE, b"").unwrap();
    one.write_file(&path("/loop"), FILE, b"3").unwrap();
    one.write_file(&path("/again"), FILE, b"4").unwrap();
    one.set_attributes(&path("/new"), Attributes { mode: 0o020_640, uid: 7, gid: 8 }).unwrap();
    assert!(matches!(one.write_file(&path("/a"), FILE, b""), Err(Error::WrongType { .. })));
    assert!(matches!(one.write_file(&path("/"), FILE, b""), Err(Error::WrongType { .. })));
    commit(&image, one);
    let fs = read(&image);
    assert_eq!(mode_and_owner(&fs, "/new"), (FileKind::Regular, 0o640, 7, 8));
    assert_eq!(mode_and_owner(&fs, "/odd"), (FileKind::Regular, 0o755, 0, 0));
    for (at, expected) in [("/link", &large[..]), ("/dangling", b""), ("/loop", b"3")] {
        assert_eq!(mode_and_owner(&fs, at).0, FileKind::Regular, "{at}");
        assert_eq!(fs.read_file(&path(at), u64::MAX).unwrap(), expected, "{at}");
    }
    assert_eq!(fs.read_file(&path("/again"), 1).unwrap(), b"4");
    assert_eq!(fs.read_file(&path("/a/small"), 5).unwrap(), b"hello", "the other name");
}

#[test]
fn setting_the_owner_creates_nothing_and_fixing_the_root_needs_nothing() {
    if missing("mke2fs") {
        return;
    }
    let image = filled(32 << 20, &[], 0);
    let before = read(&image).statfs();
    let mut one = batch(&image);
    for absent in ["/none", "/none/below"] {
        let refused = one.set_attributes(&path(absent), FILE).unwrap_err();
        assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    }
    // The link itself, and not what it leads to.
    one.set_attributes(&path("/link"), Attributes { mode: 0o777, uid: 9, gid: 9 }).unwrap();
    one.set_attributes(&path("/"), Attributes { mode: 0o1777, uid: 12, gid: 13 }).unwrap();
    assert!(!one.exists(&path("/none")).unwrap());
    commit(&image, one);
    let fs = read(&image);
    assert_eq!(fs.statfs(), before);
    assert_eq!(mode_and_owner(&fs, "/link"), (FileKind::Symlink, 0o777, 9, 9));
    assert_ne!(mode_and_owner(&fs, "/a/small").2, 9);
    let mut one = batch(&image);
    one.fix_root().unwrap();
    commit(&image, one);
    assert_eq!(mode_and_owner(&read(&image), "/"), (FileKind::Directory, 0o755, 0, 0));
}

#[test]
fn existing_is_yes_or_no_or_an_error() {
    if missing("mke2fs") {
        return;
    }
    let image = filled(32 << 20, &[], 300);
    let fs = read(&image);
    for (at, expected) in [
        ("/", true),
        ("/a/b/large", true),
        ("/link", true),
        ("/none", false),
        ("/a/none/x", false),
        ("/a/small/x", false),
        ("/dangling", false),
        ("/many/none", false),
    ] {
        assert_eq!(fs.exists(&path(at)).unwrap(), expected, "{at}");
        assert_eq!(batch(&image).exists(&path(at)).unwrap(), expected, "{at}");
    }
    // What cannot be known is no "no": a loop, and a directory that cannot be read.
    assert!(fs.exists(&path("/loop")).is_err());
    let many = fs.stat(&path("/many")).unwrap().ino;
    let block = fs.block_map(many, &fs.inode(many).unwrap()).unwrap().run(0).unwrap();
    let offset = block.physical.unwrap() * u64::from(fs.geometry().block_size);
    Disk::write_at(&open(&image.path), offset, &[0xa5; 512]).unwrap();
    for at in ["/many/none", "/many/below/none"] {
        assert!(matches!(read(&image).exists(&path(at)), Err(Error::Corrupt { .. })));
        assert!(matches!(batch(&image).exists(&path(at)), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn reading_has_the_callers_limit() {
    if missing("mke2fs") {
        return;
    }
    let image = filled(32 << 20, &[], 0);
    let fs = read(&image);
    let at = path("/a/b/large");
    assert_eq!(fs.read_file(&at, 700_000).unwrap(), content(700_000));
    let refused = fs.read_file(&at, 699_999).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: 699_999, .. }), "{refused}");
    assert!(refused.to_string().contains("/a/b/large (700000 bytes)"), "{refused}");
    assert_eq!(fs.read_file(&path("/a/b/c/empty"), 0).unwrap(), b"");
    assert_eq!(fs.read_file(&path("/link"), 5).unwrap(), b"hello", "links are followed");
    for wrong in ["/a", "/", "/loop", "/none", "/dangling"] {
        assert!(fs.read_file(&path(wrong), u64::MAX).is_err(), "{wrong}");
    }
    assert_eq!(batch(&image).read_file(&at, 700_000).unwrap(), content(700_000));
    assert_eq!(fs.read_dir(&path("/a"), 2).unwrap().len(), 2);
    assert!(matches!(fs.read_dir(&path("/a"), 1), Err(Error::TooLarge { .. })));
}

#[test]
fn symlinks_lead_inside_the_image_only_and_the_last_is_followed_or_replaced() {
    if missing("mke2fs") {
        return;
    }
    let image = mke2fs(16 << 20, &[]);
    let mut one = batch(&image);
    one.make_directories(&path("/usr/sbin"), FOLDER).unwrap();
    one.make_directories(&path("/run/resolve"), FOLDER).unwrap();
    one.make_directories(&path("/etc"), FOLDER).unwrap();
    one.symlink(&path("/sbin"), b"usr/sbin", 0, 0).unwrap();
    one.symlink(&path("/etc/resolv.conf"), b"/run/resolve/stub", 0, 0).unwrap();
    one.symlink(&path("/etc/up"), b"../../../../etc", 0, 0).unwrap();
    // A parent is followed, as far up as there is an image.
    one.write_file(&path("/sbin/tool"), FILE, b"tool").unwrap();
    one.write_file(&path("/etc/up/deep"), FILE, b"deep").unwrap();
    one.write_file(&path("/run/resolve/stub"), FILE, b"theirs").unwrap();
    assert_eq!(one.read_file(&path("/etc/resolv.conf"), 9).unwrap(), b"theirs");
    // Writing replaces the link.
    one.write_file(&path("/etc/resolv.conf"), FILE, b"ours").unwrap();
    commit(&image, one);
    let fs = read(&image);
    assert_eq!(mode_and_owner(&fs, "/etc/resolv.conf").0, FileKind::Regular);
    for (at, expected) in [
        ("/etc/resolv.conf", &b"ours"[..]),
        ("/run/resolve/stub", b"theirs"),
        ("/usr/sbin/tool", b"tool"),
        ("/etc/deep", b"deep"),
    ] {
        assert_eq!(fs.read_file(&path(at), 9).unwrap(), expected, "{at}");
    }
    assert_eq!(mode_and_owner(&fs, "/sbin").0, FileKind::Symlink);
}

#[test]
fn paths_that_name_nothing_are_refused_and_odd_names_work() {
    let long = format!("/{}", "x".repeat(256));
    for bad in ["", "x", "//", "/x/", "/x//y", "/.", "/x/../y", "/x\0y", &long] {
        assert!(matches!(ImagePath::new(bad), Err(Error::InvalidPath { .. })), "{bad}");
    }
    if missing("mke2fs") {
        return;
    }
    let image = mke2fs(16 << 20, &[]);
    let names: [&[u8]; 10] = [
        b"with space",
        b"new\nline",
        b"tab\tand\\slash",
        b"'single'",
        b"\"double\"",
        b"$(id); `id` & *?[x]",
        b"-rf",
        b"\xff\xfe not UTF-8",
        "\u{1f980} \u{fc}".as_bytes(),
        &[b'l'; 255],
    ];
    let mut one = batch(&image);
    for (n, name) in names.iter().enumerate() {
        let folder = path("/").join(name).unwrap();
        one.make_directory(&folder, FOLDER).unwrap();
        one.write_file(&folder.join(name).unwrap(), FILE, name).unwrap();
        one.symlink(
            &path(format!("/to-{n}")),
            &[&folder.as_bytes()[1..], b"/", name].concat(),
            0,
            0,
        )
        .unwrap();
        one.set_attributes(&folder.join(name).unwrap(), Attributes { uid: 5, ..FILE }).unwrap();
    }
    commit(&image, one);
    let fs = read(&image);
    for (n, name) in names.iter().enumerate() {
        assert_eq!(fs.read_file(&path(format!("/to-{n}")), 999).unwrap(), *name);
    }
    let host = tempfile::tempdir().unwrap();
    let into = File::open(host.path()).unwrap();
    let done = fs.extract(&ImagePath::root(), into.as_fd(), &Limits::default()).unwrap();
    assert_eq!((done.files, done.symlinks), (10, 10));
    let mut again = batch(&image);
    for name in &names {
        again.remove_recursive(&path("/").join(name).unwrap()).unwrap();
    }
    commit(&image, again);
}

#[test]
fn a_tree_of_the_host_goes_in_as_roots_with_its_bits() {
    if missing("mke2fs") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let host = tempfile::tempdir().unwrap();
    let image = mke2fs(16 << 20, &[]);
    for (name, mode) in [("suid", 0o4755), ("private", 0o600), ("sticky", 0o1644)] {
        std::fs::write(host.path().join(name), name).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(host.path().join(name), mode).unwrap();
    }
    std::os::unix::fs::symlink("suid", host.path().join("link")).unwrap();
    let mut one = batch(&image);
    one.make_directory(&path("/in"), FOLDER).unwrap();
    let mut tree = HostTree::open(host.path()).unwrap();
    let stats = one.ingest(&path("/in"), &mut tree, Ownership::Root).unwrap();
    assert_eq!(stats.entries, 5, "the top is one");
    commit(&image, one);
    let fs = read(&image);
    assert_eq!(mode_and_owner(&fs, "/in/suid"), (FileKind::Regular, 0o4755, 0, 0));
    assert_eq!(mode_and_owner(&fs, "/in/private"), (FileKind::Regular, 0o600, 0, 0));
    assert_eq!(mode_and_owner(&fs, "/in/sticky"), (FileKind::Regular, 0o1644, 0, 0));
    assert_eq!(mode_and_owner(&fs, "/in/link").0, FileKind::Symlink);
    // And from image to image, owners kept or not.
    let other = mke2fs(16 << 20, &["-b", "1024"]);
    let mut two = batch(&other);
    two.ingest(&ImagePath::root(), &mut copy_subtree(&fs, &path("/in")), Ownership::Root).unwrap();
    commit(&other, two);
    assert_eq!(mode_and_owner(&read(&other), "/suid"), (FileKind::Regular, 0o4755, 0, 0));
}

#[test]
fn what_is_refused_leaves_the_batch_as_it_was_and_what_fails_half_way_spoils_it() {
    if missing("mke2fs") {
        return;
    }
    let image = filled(16 << 20, &[], 0);
    let mut one = batch(&image);
    let huge = vec![b'x'; 5000];
    assert!(one.set_xattr(&path("/a/small"), b"user.huge", &huge).is_err());
    assert!(one.set_xattr(&path("/a/small"), b"nonsense", b"x").is_err());
    assert!(one.symlink(&path("/s"), &huge, 0, 0).is_err());
    assert!(one.symlink(&path("/s"), b"", 0, 0).is_err());
    assert!(one.hard_link(&path("/a"), &path("/h")).is_err());
    assert!(one.rename(&path("/a"), &path("/a/b/c/x")).is_err());
    one.write_file(&path("/after"), FILE, b"x").unwrap();
    commit(&image, one);
    assert!(read(&image).exists(&path("/after")).unwrap());
    let before = std::fs::read(&image.path).unwrap();
    let mut one = batch(&image);
    one.write_file(&path("/first"), FILE, b"x").unwrap();
    let much = vec![b'x'; 20 << 20];
    assert!(matches!(one.write_file(&path("/much"), FILE, &much), Err(Error::NoSpace { .. })));
    assert!(matches!(one.commit(Flush::PowerSafe), Err(Error::Unfinished { .. })));
    assert!(std::fs::read(&image.path).unwrap() == before, "nothing was written");
}

#[test]
fn attributes_are_set_read_and_removed_one_by_one() {
    if missing("mke2fs") {
        return;
    }
    for options in [&["-I", "128"][..], &["-I", "256"], &["-b", "1024"]] {
        let image = filled(32 << 20, options, 0);
        let free = read(&image).statfs().blocks_free;
        let mut one = batch(&image);
        let (small, folder) = (path("/a/small"), path("/a"));
        // The last ones do not fit the inode, and lie in a block in order.
        let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let values: [(&[u8], Vec<u8>); 5] = [
            (b"user.z", vec![b'z'; 300]),
            (b"security.capability", capability.to_vec()),
            (b"user.a", Vec::new()),
            (b"trusted.middle", vec![7; 100]),
            (b"user.z", b"replaced".repeat(20)),
        ];
        for (name, value) in &values {
            one.set_xattr(&small, name, value).unwrap();
        }
        one.set_xattr(&folder, b"user.on-a-folder", b"yes").unwrap();
        one.set_xattr(&path("/dangling"), b"trusted.on-a-link", b"yes").unwrap();
        let listed: Vec<_> = one.xattrs(&small).unwrap().into_iter().map(|x| x.name).collect();
        assert_eq!(listed, [&b"security.capability"[..], b"trusted.middle", b"user.a", b"user.z"]);
        commit(&image, one);
        let fs = read(&image);
        assert_eq!(fs.xattr(&small, b"security.capability").unwrap().unwrap(), capability);
        assert_eq!(fs.xattr(&small, b"user.z").unwrap().unwrap(), b"replaced".repeat(20));
        assert_eq!(fs.xattr(&small, b"user.none").unwrap(), None);
        assert_eq!(fs.xattr(&folder, b"user.on-a-folder").unwrap().unwrap(), b"yes");
        let mut two = batch(&image);
        assert!(!two.remove_xattr(&small, b"user.none").unwrap());
        for Xattr { name, .. } in two.xattrs(&small).unwrap() {
            assert!(two.remove_xattr(&small, &name).unwrap());
        }
        two.remove_xattr(&folder, b"user.on-a-folder").unwrap();
        two.remove_xattr(&path("/dangling"), b"trusted.on-a-link").unwrap();
        commit(&image, two);
        assert_eq!(read(&image).xattrs(&small).unwrap(), []);
        assert_eq!(read(&image).statfs().blocks_free, free, "the blocks are free again");
    }
}

#[test]
fn an_access_list_and_the_mode_say_the_same() {
    if missing("mke2fs") {
        return;
    }
    const ACCESS: &[u8] = b"system.posix_acl_access";
    const DEFAULT: &[u8] = b"system.posix_acl_default";
    let image = filled(32 << 20, &[], 0);
    let list = |text: &str| text.parse::<Acl>().unwrap().to_system();
    let long = list("u::rwx,u:1000:rwx,g::r,g:7:rx,m::rx,o::");
    let (small, folder) = (path("/a/small"), path("/a"));
    let mut one = batch(&image);
    one.set_xattr(&small, ACCESS, &long).unwrap();
    one.set_xattr(&folder, DEFAULT, &long).unwrap();
    one.set_xattr(&path("/sparse"), ACCESS, &list("u::rw,g::r,o::r")).unwrap();
    for (at, name, value) in [
        (&small, DEFAULT, &long[..]),
        (&path("/dangling"), ACCESS, &long),
        (&small, ACCESS, &long[..10]),
        (&small, ACCESS, b""),
    ] {
        assert!(one.set_xattr(at, name, value).is_err());
    }
    commit(&image, one);
    let fs = read(&image);
    assert_eq!(mode_and_owner(&fs, "/a/small").1, 0o750, "the mask counts for the group");
    assert_eq!(mode_and_owner(&fs, "/sparse").1, 0o644);
    assert_eq!(fs.xattrs(&path("/sparse")).unwrap(), [], "the mode says it all");
    let mut two = batch(&image);
    two.set_attributes(&small, Attributes { mode: 0o604, uid: 1, gid: 1 }).unwrap();
    commit(&image, two);
    let fs = read(&image);
    let value = fs.xattr(&small, ACCESS).unwrap().unwrap();
    let text = Acl::from_system(&value).unwrap().to_string();
    assert_eq!(
        text, "user::rw-,user:1000:rwx,group::r--,group:7:r-x,mask::---,other::r--",
        "a mode that is set leaves nobody more than it says"
    );
    // debugfs shows what lies on the disk.
    let out = Command::new("debugfs").args(["-R", "ea_list /a"]).arg(&image.path).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("system.posix_acl_default"), "{said}");
}

#[test]
fn without_a_journal_a_filesystem_is_clean_after_each_batch() {
    if missing("mke2fs") {
        return;
    }
    let image = mke2fs(16 << 20, &["-O", "^has_journal"]);
    let until = std::time::Instant::now() + std::time::Duration::from_millis(1200);
    let mut mode = 0o700;
    // Within one second nothing of the superblock is new but that it is clean again.
    while std::time::Instant::now() < until {
        mode ^= 0o070;
        let mut one = batch(&image);
        one.set_attributes(&path("/lost+found"), Attributes { mode, uid: 0, gid: 0 }).unwrap();
        assert!(!one.commit(Flush::ProcessSafe).unwrap().atomic);
    }
    let out = Command::new("e2fsck").arg("-fn").arg(&image.path).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && !said.contains("not cleanly"), "{said}");
}

#[test]
fn a_name_goes_into_a_gap_where_the_end_of_its_folder_is_full() {
    if missing("mke2fs") {
        return;
    }
    for options in [&["-b", "1024"][..], &["-b", "1024", "-O", "^dir_index"]] {
        let image = mke2fs(16 << 20, options);
        let at = |name: &str| path(format!("/d/{name}"));
        let mut one = batch(&image);
        one.make_directory(&path("/d"), FOLDER).unwrap();
        for name in ["a", "b", "c"] {
            one.write_file(&at(&name.repeat(100)), FILE, b"").unwrap();
        }
        one.remove(&at(&"b".repeat(100))).unwrap();
        // Behind the gap of 108 bytes the block is filled up to 40 that are left.
        for name in ["d", "e", "f"] {
            one.write_file(&at(&name.repeat(200)), FILE, b"").unwrap();
        }
        for name in 0..12 {
            one.write_file(&at(&name.to_string()), FILE, b"").unwrap();
        }
        assert_eq!(one.lstat(&path("/d")).unwrap().size, 1024, "{options:?}");
        one.write_file(&at("one more"), FILE, b"").unwrap();
        assert!(one.lstat(&path("/d")).unwrap().size > 1024, "{options:?}");
        commit(&image, one);
        assert_eq!(read(&image).read_dir(&path("/d"), 100).unwrap().len(), 18);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.0 >> 33) as usize % end
    }

    /// One of a few paths of few names.
    fn path(&mut self) -> ImagePath {
        let names = (0..=self.below(3)).map(|_| ["a", "b", "c"][self.below(3)]);
        path(format!("/{}", names.collect::<Vec<_>>().join("/")))
    }

    /// A link's target: such a path, or one from where the link is.
    fn target(&mut self) -> String {
        let path = self.path().to_string();
        match self.below(3) {
            0 => format!("..{path}"),
            1 => path.trim_start_matches('/').to_owned(),
            _ => path,
        }
    }

    /// Does one thing or another.
    fn change(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let (one, other) = (self.path(), self.path());
        match self.below(12) {
            0..=2 => batch.make_directory(&one, FOLDER),
            3..=5 => batch.write_file(&one, FILE, other.as_bytes()),
            6..=7 => batch.symlink(&one, self.target().as_bytes(), 0, 0),
            8..=9 => batch.rename(&one, &other),
            10 => batch.hard_link(&one, &other),
            _ if self.below(3) == 0 => batch.remove_recursive(&one),
            _ => batch.remove(&one),
        }
    }
}

/// Everything there, with what it holds.
fn all(disk: &Arc<MemoryDisk>) -> Vec<String> {
    let fs = Filesystem::open(Arc::clone(disk) as Arc<dyn Disk>).unwrap();
    assert!(banger_ext4::check(&fs).unwrap().is_clean());
    let mut found = Vec::new();
    fs.walk(&ImagePath::root(), &Limits::default(), &mut |entry| {
        let at = path([b"/", entry.path.as_slice()].concat());
        let holds = match entry.stat.kind {
            FileKind::Regular => fs.read_file(&at, 1000)?,
            FileKind::Symlink => fs.read_link(&at)?,
            _ => Vec::new(),
        };
        found.push(format!("{at} {:?} {} {holds:?}", entry.stat.kind, entry.stat.nlink));
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn many_changes_in_one_batch_do_what_each_does_in_its_own() {
    if missing("mke2fs") {
        return;
    }
    for (seed, options) in [(1, &[][..]), (2, &["-O", "inline_data"]), (3, &[]), (4, &[])] {
        let bytes = std::fs::read(&mke2fs(4 << 20, options).path).unwrap();
        let disks = [(); 2].map(|()| Arc::new(MemoryDisk::from(bytes.clone())));
        let [apart, together] = &disks;
        let open = |disk: &Arc<MemoryDisk>| Batch::open(Arc::clone(disk) as Arc<dyn Disk>).unwrap();
        let mut random = Random(seed);
        let (mut done, mut refused) = (0, 0);
        for _ in 0..60 {
            let mut batch = open(together);
            for _ in 0..random.below(50) {
                let mut again = Random(random.0);
                let here = random.change(&mut batch);
                let mut alone = open(apart);
                let there = again.change(&mut alone);
                assert_eq!(format!("{here:?}"), format!("{there:?}"), "seed {seed}");
                if there.is_ok() {
                    alone.commit(Flush::ProcessSafe).unwrap();
                    done += 1;
                } else {
                    refused += 1;
                }
            }
            batch.commit(Flush::ProcessSafe).unwrap();
            assert_eq!(all(together), all(apart), "seed {seed}");
        }
        assert!(done > 200 && refused > 200, "{done} {refused}");
    }
}
