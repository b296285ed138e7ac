//! Trees taken in: from folders, from tar streams, from other images.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use banger_ext4::{
    Attributes, Batch, Error, Filesystem, Flush, FormatOptions, HostTree, ImagePath, Ownership,
    TarStream, Timestamp, copy_subtree,
};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

/// A tree with everything a filesystem can hold, made as root.
const TREE: &str = r#"cd "$1"; mkdir -p a/b/c empty dev 'quo"te' "$2"
    echo hello > a/b/file; chown 70000:80000 a/b/file; chmod 6751 a/b/file; ln a/b/file second
    ln -s ../nowhere a/link; ln -s "$(printf 'x/%.0s' $(seq 200))" a/long
    mknod dev/null c 1 3; mknod dev/far b 300 70000; mkfifo -m 600 dev/pipe
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("dev/socket")'
    printf content > "$(printf 'new\nline')"; : > ' spaces '; : > 'ümläut'; : > 'back\slash'
    truncate -s 5M sparse; printf middle | dd of=sparse bs=1 seek=3000000 conv=notrunc 2>/dev/null
    truncate -s 100k zeros; head -c 100000 /dev/zero > written-zeros
    setfattr -n user.note -v "two
lines" a/b/file; setfattr -n trusted.long -v "$(printf 'v%.0s' $(seq 600))" a
    touch -d '1969-12-31 12:00:00.25 UTC' empty; touch -d '2200-01-01 00:00:00.5 UTC' zeros
    chmod 1777 a/b; chmod 2770 empty; touch -d '2001-02-03 04:05:06.789 UTC' a/b a
    mkdir thousands; (cd thousands; seq -f 'file-with-a-name-%g' 3000 | xargs touch)
    setcap cap_net_raw+ep a/b/file 2>/dev/null || true
    setfacl -m u:1000:rw,g:7:r second 2>/dev/null || true"#;

fn source_tree(folder: &Path) -> PathBuf {
    let top = folder.join("tree");
    std::fs::create_dir(&top).unwrap();
    let long = "l".repeat(120);
    root::script(TREE, &[top.as_os_str(), format!("{long}/{long}").as_ref()]).unwrap();
    top
}

fn tar_of(top: &Path, tar: &Path, format: &[&str]) {
    let status = root::command("tar")
        .unwrap()
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-C"])
        .arg(top)
        .args(format)
        .arg("-cf")
        .arg(tar)
        .arg(".")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

/// Lines without the sizes of directories, which every filesystem counts its own
/// way, and without `lost+found`, which is this one's own.
fn comparable(lines: &[String]) -> Vec<String> {
    let mut comparable: Vec<_> = lines
        .iter()
        .filter(|line| !line.starts_with("/lost+found "))
        .map(|line| {
            if !line.contains(" dir ") {
                return line.clone();
            }
            let words = line.split(' ').filter(|word| {
                let top_links = line.starts_with("/ ") && word.starts_with("links=");
                !word.starts_with("size=") && !top_links
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    comparable.sort();
    comparable
}

#[test]
fn trees_and_streams_arrive_as_they_were() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let top = source_tree(folder.path());
    let all = comparable(&kernel::list(&top));
    let tar = folder.path().join("tree.tar");
    let fresh = |name: &str, arguments: &[&str]| {
        let image = folder.path().join(name);
        fsck::mke2fs(&image, 64 << 20, arguments);
        image
    };
    let pax: &[&str] = &["--format=pax", "--pax-option=delete=ctime"];
    let sparse: &[&str] = &["--format=pax", "-S"];
    for (name, arguments, format) in [
        ("defaults", &[][..], Some(pax)),
        ("sparse", &["-b", "1024"], Some(sparse)),
        ("no checksums", &["-O", "^metadata_csum,^64bit"], Some(pax)),
        ("a folder", &[], None),
        ("a folder, 1k", &["-b", "1024"], None),
    ] {
        let image = fresh(name, arguments);
        // tar leaves sockets out.
        let kept = |line: &&String| format.is_none() || !line.contains(" socket ");
        let expected: Vec<String> = all.iter().filter(kept).cloned().collect();
        let mut batch = Batch::open_direct(disk(&image)).unwrap();
        let stats = match format {
            Some(format) => {
                tar_of(&top, &tar, format);
                let file = std::fs::File::open(&tar).unwrap();
                let mut source = TarStream::new(file);
                batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep).unwrap()
            }
            None => {
                let mut source = HostTree::open(&top).unwrap();
                batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep).unwrap()
            }
        };
        assert_eq!(stats.entries as usize, expected.len(), "{name}");
        batch.commit(Flush::ProcessSafe).unwrap();
        let lines = assert_right(&image);
        manifest::assert_same((name, &comparable(&lines)), ("the source", &expected));
        let holes = Filesystem::open(disk(&image)).unwrap();
        for file in ["/sparse", "/zeros", "/written-zeros"] {
            assert!(holes.lstat(&path(file)).unwrap().allocated <= 8192, "{name}: {file}");
        }
        // And from this image into another.
        let second = fresh("second", arguments);
        let mut batch = Batch::open_direct(disk(&second)).unwrap();
        let from = Filesystem::open(disk(&image)).unwrap();
        let mut source = copy_subtree(&from, &path("/a"));
        batch.make_directory(&path("/copy"), Attributes { mode: 0o700, ..FILE }).unwrap();
        batch.ingest(&path("/copy"), &mut source, Ownership::Root).unwrap();
        let mut whole = copy_subtree(&from, &ImagePath::root());
        batch.ingest(&ImagePath::root(), &mut whole, Ownership::Keep).unwrap();
        // The first image has what the kernel wrote, too.
        batch.remove_recursive(&path("/kernel-wrote")).unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        let copied = assert_right(&second);
        let (below, rest): (Vec<_>, Vec<_>) =
            copied.into_iter().partition(|line| line.starts_with("/copy"));
        let below_top = |lines: &[String]| -> Vec<String> {
            comparable(lines).into_iter().filter(|line| !line.starts_with("/ ")).collect()
        };
        let (rest, expected) = (below_top(&rest), below_top(&expected));
        manifest::assert_same(("the copy", &rest), ("the source", &expected));
        assert!(below.iter().all(|line| line.contains(" 0:0 ")), "{below:#?}");
        assert!(below.iter().any(|line| line.starts_with("/copy/b/file file 67")), "{below:#?}");
        assert!(below.iter().any(|line| line.starts_with("/copy dir 0755")), "{below:#?}");
    }
}

fn member(kind: tar::EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_entry_type(kind);
    header.set_mode(0o640);
    header.set_uid(5);
    header.set_gid(6);
    header.set_mtime(1_000_000_000);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn later_entries_replace_what_is_there() {
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("replace.img");
    fsck::mke2fs(&image, 16 << 20, &[]);
    let stream = [
        member(Regular, "missing/parents/file", "", b"1"),
        member(Regular, "twice", "", b"first"),
        member(Regular, "twice", "", b"second"),
        member(Symlink, "to-dir", "missing/parents", b""),
        member(Regular, "to-dir/through", "", b"link"),
        member(Symlink, "absolute", "/missing", b""),
        member(Regular, "absolute/inside", "", b"image"),
        member(Symlink, "becomes-file", "twice", b""),
        member(Regular, "becomes-file", "", b"file"),
        member(Directory, "becomes-pipe/", "", b""),
        member(Fifo, "becomes-pipe", "", b""),
        member(Regular, "becomes-dir", "", b"x"),
        member(Directory, "becomes-dir/", "", b""),
        member(Regular, "original", "", b"o"),
        member(Link, "name2", "original", b""),
        member(Link, "name3", "./name2", b""),
        member(Link, "name3", "original", b""),
        member(Regular, "original", "", b"replaced"),
        member(Regular, ".wh.plain", "", b""),
        vec![0; 1024],
    ]
    .concat();
    let mut batch = Batch::open(disk(&image)).unwrap();
    let mut source = TarStream::new(&stream[..]);
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep).unwrap();
    batch.commit(Flush::PowerSafe).unwrap();
    let lines = assert_right(&image);
    let has = |start: &str| {
        let found = lines.iter().any(|line| line.starts_with(start));
        assert!(found, "{start}: {lines:#?}");
    };
    has("/missing dir 0755 0:0");
    has("/missing/parents/through file 0640 5:6 size=4");
    has("/missing/inside file");
    has("/twice file 0640 5:6 size=6");
    has("/becomes-file file 0640 5:6 size=4 mtime=1000000000.000000000 links=1");
    has("/becomes-pipe fifo");
    has("/becomes-dir dir");
    has("/name3 file 0640 5:6 size=1 mtime=1000000000.000000000 links=2 same=/name2");
    has("/original file 0640 5:6 size=8 mtime=1000000000.000000000 links=1");
    has("/.wh.plain file");

    for bad in [
        member(Link, "name", "nothing", b""),
        member(Link, "name", "missing", b""),
        member(Regular, "missing", "", b"over a directory that is not empty"),
        member(Regular, "twice/below", "", b""),
        member(Regular, "broken", "", b"x")[..512].to_vec(),
    ] {
        let mut batch = Batch::open(disk(&image)).unwrap();
        let before = std::fs::read(&image).unwrap();
        let stream = [&bad[..], &[0; 1024]].concat();
        let stream = if bad.len() == 512 && bad[..6] == *b"broken" { &bad[..] } else { &stream };
        let refused = batch
            .ingest(&ImagePath::root(), &mut TarStream::new(stream), Ownership::Keep)
            .unwrap_err();
        assert!(matches!(refused, Error::Source { .. } | Error::WrongType { .. }), "{refused}");
        assert!(matches!(batch.commit(Flush::PowerSafe), Err(Error::Unfinished { .. })));
        assert!(std::fs::read(&image).unwrap() == before);
    }
}

#[test]
fn a_large_file_and_a_deep_tree_arrive() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("large.img");
    fsck::mke2fs(&image, 1 << 30, &[]);
    let top = folder.path().join("tree");
    std::fs::create_dir(&top).unwrap();
    let large = std::fs::File::create(top.join("large")).unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 253) as u8).collect();
    for n in 0..200 {
        large.write_all_at(&piece, n << 20).unwrap();
    }
    let deep: PathBuf = (0..300).map(|n| format!("d{n}")).collect();
    std::fs::create_dir_all(top.join(&deep)).unwrap();
    std::fs::write(top.join(&deep).join("bottom"), b"here").unwrap();
    let mut batch = Batch::open_direct(disk(&image)).unwrap();
    let started = Instant::now();
    let mut source = HostTree::open(&top).unwrap();
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Root).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    println!("200 MiB in {:?}", started.elapsed());
    let lines = assert_right(&image);
    let expected = kernel::list(&top);
    let content = |lines: &[String], start: &str| {
        let line = lines.iter().find(|line| line.starts_with(start)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(content(&lines, "/large file"), content(&expected, "/large file"));
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.remove_recursive(&path("/d0")).unwrap();
    batch.remove(&path("/large")).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
}

#[test]
fn a_file_beyond_two_gigabytes_takes_what_its_data_takes() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("sparse.img");
    fsck::mke2fs(&image, 64 << 20, &["-b", "4096", "-O", "^large_file"]);
    let top = folder.path().join("tree");
    std::fs::create_dir(&top).unwrap();
    let sparse = std::fs::File::create(top.join("sparse")).unwrap();
    sparse.set_len(100 << 30).unwrap();
    sparse.write_all_at(b"start", 5 << 30).unwrap();
    sparse.write_all_at(b"end", (100 << 30) - 3).unwrap();
    let mut batch = Batch::open_direct(disk(&image)).unwrap();
    let mut source = HostTree::open(&top).unwrap();
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Root).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    assert_eq!(engine::open(&image).lstat(&path("/sparse")).unwrap().allocated, 8192);
    let said = kernel::mounted(&image, "ro", |mounted| {
        let script = r#"cd "$1"; stat -c '%s %b' sparse; tail -c 4 sparse | od -An -c; set +o pipefail
            dd if=sparse bs=1M skip=5120 count=1 2>/dev/null | od -An -c -N5; true"#;
        root::script(script, &[mounted.as_os_str()]).unwrap()
    });
    assert_eq!(said, format!("{} 16\n  \\0   e   n   d\n   s   t   a   r   t\n", 100_u64 << 30));
}

#[test]
fn a_new_image_is_made_and_filled_in_one_go() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let top = source_tree(folder.path());
    let expected = comparable(&kernel::list(&top));
    for (size, block_size) in [(24 << 20, None), (40 << 20, Some(2048)), (20 << 30, Some(4096))] {
        let image = folder.path().join("new.img");
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        let mut options = FormatOptions::new([7; 16], [9; 16], Timestamp::now());
        options.block_size = block_size;
        options.zeroed = true;
        let mut batch = Batch::create(disk(&image), &options).unwrap();
        let mut source = HostTree::open(&top).unwrap();
        batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep).unwrap();
        batch.fix_root().unwrap();
        let committed = batch.commit(Flush::PowerSafe).unwrap();
        assert!(!committed.atomic, "there was nothing before");
        let lines = assert_right(&image);
        manifest::assert_same((&format!("{size}"), &comparable(&lines)), ("the source", &expected));
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn thousands_of_files_take_tens_of_milliseconds() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("tree");
    for n in 0..2000 {
        let inner = top.join(format!("d{}", n % 40));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join(format!("file-{n}")), vec![b'x'; n % 9000]).unwrap();
    }
    let tar = folder.path().join("tree.tar");
    let status = Command::new("tar").arg("-C").arg(&top).arg("-cf").arg(&tar).arg(".").status();
    assert!(status.unwrap().success());
    let image = folder.path().join("speed.img");
    std::fs::File::create(&image).unwrap().set_len(8 << 30).unwrap();
    let started = Instant::now();
    let options = FormatOptions::new([7; 16], [9; 16], Timestamp::now());
    let mut batch = Batch::create(disk(&image), &options).unwrap();
    let opened = started.elapsed();
    let file = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(&tar).unwrap());
    let mut source = TarStream::new(file);
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep).unwrap();
    let taken = started.elapsed();
    batch.commit(Flush::ProcessSafe).unwrap();
    println!("formatted {opened:?}, with tar {taken:?}, with commit {:?}", started.elapsed());
    let mut batch = Batch::open(disk(&image)).unwrap();
    let started = Instant::now();
    for n in 0..8 {
        batch.write_file(&path(format!("/d0/patched-{n}")), FILE, b"patch\n").unwrap();
    }
    let committed = batch.commit(Flush::PowerSafe).unwrap();
    println!("8 files patched in {:?}, {committed:?}", started.elapsed());
    fsck::assert_clean(&image);
}
