//! Sources of entries against trees and streams made by GNU tar.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use banger_ext4::{Entry, EntryKind, HostTree, Result, Sink, Source, TarStream};
use tar::EntryType;

/// Entries as text, contents expanded.
#[derive(Default)]
struct Collected {
    entries: BTreeMap<String, String>,
    contents: BTreeMap<String, Vec<u8>>,
    /// Bytes that were skipped as holes.
    holes: u64,
    /// Leaves contents unread.
    lazy: bool,
}

impl Sink for Collected {
    fn entry(&mut self, mut entry: Entry<'_>) -> Result<()> {
        let path = entry.path.escape_ascii().to_string();
        let mut line = format!("{:?} {:04o}", entry.kind, entry.mode);
        for xattr in &entry.xattrs {
            line += &format!(" {}={}", xattr.name.escape_ascii(), xattr.value.escape_ascii());
        }
        line +=
            &format!(" {}.{:09}", entry.times.modified.seconds, entry.times.modified.nanoseconds);
        if let EntryKind::File { len, content } = &mut entry.kind {
            let mut bytes = Vec::new();
            let mut buffer = [0; 1000];
            while !self.lazy {
                let hole = content.skip_hole()?;
                self.holes += hole;
                bytes.resize(bytes.len() + usize::try_from(hole).unwrap(), 0);
                let read = content.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                bytes.extend_from_slice(&buffer[..read]);
            }
            assert!(self.lazy || bytes.len() as u64 == *len, "{path}");
            self.contents.insert(path.clone(), bytes);
        }
        self.entries.insert(path, line);
        Ok(())
    }
}

/// A tree with everything an ordinary user can make.
fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    std::fs::create_dir_all(top.join("dir/deep")).unwrap();
    std::fs::write(top.join("dir/plain"), b"plain\n").unwrap();
    std::fs::set_permissions(top.join("dir/plain"), PermissionsExt::from_mode(0o4750)).unwrap();
    std::fs::hard_link(top.join("dir/plain"), top.join("second")).unwrap();
    symlink("dir/nowhere", top.join("link")).unwrap();
    for name in ["new\nline", "quo\"te'", "back\\slash", "\u{fc}ml\u{e4}ut", " space "] {
        std::fs::write(top.join(name), name).unwrap();
    }
    let long = "x".repeat(200);
    std::fs::create_dir_all(top.join(&long)).unwrap();
    std::fs::write(top.join(&long).join(format!("{}\nend", "y".repeat(150))), b"long").unwrap();
    symlink("t/".repeat(300), top.join("longlink")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("fifo"),
        rustix::fs::FileType::Fifo,
        0o640.into(),
        0,
    )
    .unwrap();
    let sparse = std::fs::File::create(top.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    sparse.write_all_at(&[b'a'; 70_000], 1_000_000).unwrap();
    sparse.write_all_at(b"end", 4_999_997).unwrap();
    std::fs::write(top.join("attributes"), b"").unwrap();
    let value = b"one\ntwo=\0three";
    let flags = rustix::fs::XattrFlags::empty();
    let set = rustix::fs::setxattr(top.join("attributes"), "user.a=b%", value, flags);
    if let Err(errno) = set {
        assert_eq!(errno, rustix::io::Errno::NOTSUP);
    }
    folder
}

fn of_host(top: &Path) -> Collected {
    let mut collected = Collected::default();
    HostTree::open(top).unwrap().feed(&mut collected).unwrap();
    collected
}

fn tar(top: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--sort=name", "--xattrs", "-cf", "-"])
        .args(arguments)
        .arg("-C")
        .arg(top)
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn feed(bytes: &[u8]) -> Result<Collected> {
    let mut collected = Collected::default();
    TarStream::new(bytes).feed(&mut collected).map(|()| collected)
}

#[test]
fn a_tree_of_the_host_is_given_as_it_is() {
    let folder = tree();
    let found = of_host(folder.path());
    assert!(found.entries[""].starts_with("Directory "), "{}", found.entries[""]);
    assert!(found.entries["dir/plain"].starts_with("File(6) 4750"));
    assert!(found.entries["second"].starts_with("Hardlink(dir/plain)"));
    assert!(found.entries["link"].starts_with("Symlink(dir/nowhere)"));
    assert!(found.entries["fifo"].starts_with("Fifo 0640"));
    assert_eq!(found.contents["new\\nline"], b"new\nline");
    assert_eq!(found.contents["sparse"].len(), 5_000_000);
    assert_eq!(&found.contents["sparse"][999_999..1_000_002], b"\0aa");
    assert!(found.contents["sparse"].ends_with(b"\0end"));
}

#[test]
fn streams_of_gnu_tar_say_what_the_tree_says() {
    let folder = tree();
    let told = of_host(folder.path());
    let formats: &[&[&str]] = &[
        &["--format=pax"],
        &["--format=pax", "-S", "--sparse-version=0.0"],
        &["--format=pax", "-S", "--sparse-version=0.1"],
        &["--format=pax", "-S", "--sparse-version=1.0"],
    ];
    for format in formats {
        let found = feed(&tar(folder.path(), format)).unwrap();
        assert_eq!(found.contents, told.contents, "{format:?}");
        assert_eq!(found.entries, told.entries, "{format:?}");
        assert_eq!(found.holes > 4_000_000, format.contains(&"-S"), "{format:?}");
    }
    // Without PAX headers there are no fractions of seconds and no attributes.
    for format in [&["--no-xattrs", "--format=gnu"][..], &["--no-xattrs", "--format=gnu", "-S"]] {
        let found = feed(&tar(folder.path(), format)).unwrap();
        assert_eq!(found.contents, told.contents, "{format:?}");
        assert!(found.entries.keys().eq(told.entries.keys()), "{format:?}");
    }
}

#[test]
fn what_the_sink_does_not_read_is_passed_over() {
    let folder = tree();
    let told = of_host(folder.path());
    let bytes = tar(folder.path(), &["--format=pax", "-S"]);
    let mut found = Collected { lazy: true, ..Collected::default() };
    TarStream::new(&bytes[..]).feed(&mut found).unwrap();
    assert_eq!(found.entries, told.entries);
}

#[test]
fn a_stream_that_breaks_off_is_refused_wherever_it_does() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), [b'a'; 1500]).unwrap();
    std::fs::write(folder.path().join("b"), b"b").unwrap();
    let bytes = tar(folder.path(), &["--format=pax", "-b1"]);
    feed(&bytes).unwrap();
    // Two blocks of zeros end it; the first is enough.
    for len in (0..=bytes.len() - 1024).step_by(100).chain([bytes.len() - 1024]) {
        assert!(feed(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
    }
}

#[test]
fn damage_and_escapes_are_refused() {
    fn stream(path: &[u8], kind: EntryType, link: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        header.set_cksum();
        [&header.as_bytes()[..], &[0; 1024]].concat()
    }
    for path in [&b"../a"[..], b"a/../../b", b"/..", b"a/.."] {
        assert!(feed(&stream(path, EntryType::Regular, b"")).is_err());
        assert!(feed(&stream(b"a", EntryType::Link, path)).is_err());
    }
    let found = feed(&stream(b"/a//./b", EntryType::Regular, b"")).unwrap();
    assert!(found.entries.contains_key("a/b"));
    assert!(feed(&stream(b"a", EntryType::Symlink, b"../../up")).is_ok());
    assert!(feed(&stream(b"a", EntryType::Symlink, b"")).is_err());
    assert!(feed(&stream(b"a", EntryType::new(b'M'), b"")).is_err());
    let mut damaged = stream(b"a", EntryType::Regular, b"");
    damaged[0] ^= 1;
    assert!(feed(&damaged).is_err());
    let mut huge = stream(b"a", EntryType::XHeader, b"");
    huge[124..136].copy_from_slice(b"77777777777\0");
    let mut header = tar::Header::from_byte_slice(&huge[..512]).clone();
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    assert!(feed(&huge).is_err(), "an extended header of 8 GiB");
}
