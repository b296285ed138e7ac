//! What a hostile guest may try, and what an honest one is owed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tar::{EntryType, Header};

use super::*;

/// A member of a tar that no honest program writes.
fn raw(kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_000_000_000);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    raw(EntryType::Regular, name, b"", 0o644, content)
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    raw(EntryType::Symlink, name, target, 0o777, b"")
}

fn folder(name: &[u8]) -> Vec<u8> {
    raw(EntryType::Directory, name, b"", 0o755, b"")
}

/// A folder `outside` with a secret in it, beside the folder `into` that is unpacked into.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("outside")).unwrap();
        fs::create_dir(place.path("into")).unwrap();
        fs::write(place.path("outside/secret"), "secret").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn unpack(&self, members: &[Vec<u8>]) -> Result<Unpacked, UnpackError> {
        let mut tar = members.concat();
        tar.extend([0; 1024]);
        unpack(tar.as_slice(), b"it", &self.path("into"), OsStr::new("it"), |_| {})
    }

    fn assert_untouched(&self, what: &str) {
        assert_eq!(fs::read_to_string(self.path("outside/secret")).unwrap(), "secret", "{what}");
        assert_eq!(fs::read_dir(self.path("outside")).unwrap().count(), 1, "{what}");
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 2, "{what}");
        let into = fs::read_dir(self.path("into")).unwrap();
        for entry in into {
            assert_eq!(entry.unwrap().file_name(), "it", "{what}");
        }
    }
}

#[test]
fn a_hostile_tar_does_not_leave_the_target() {
    let outside = "../outside";
    let long = |kind, name: &[u8]| raw(kind, b"././@LongLink", b"", 0o644, name);
    let attempts: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("above", vec![file(b"../outside/x", b"x")]),
        ("above, from below", vec![folder(b"it"), file(b"it/../../outside/x", b"x")]),
        ("absolute", vec![file(b"/tmp/banger-unpack-x", b"x")]),
        ("a neighbour", vec![file(b"other", b"x")]),
        ("a name that only begins like it", vec![file(b"it2/x", b"x")]),
        ("the folder itself", vec![file(b".", b"x")]),
        ("through a link", vec![link(b"it", b"../outside"), file(b"it/x", b"x")]),
        (
            "through a link below",
            vec![folder(b"it"), link(b"it/l", b"../../outside"), file(b"it/l/x", b"x")],
        ),
        (
            "a folder in the place of a link",
            vec![folder(b"it"), link(b"it/l", b"../../outside"), folder(b"it/l")],
        ),
        (
            "another name for a file outside",
            vec![folder(b"it"), raw(EntryType::Link, b"it/h", b"../outside/secret", 0o644, b"")],
        ),
        (
            "another name through a link",
            vec![
                folder(b"it"),
                link(b"it/l", b"../../outside"),
                raw(EntryType::Link, b"it/h", b"it/l/secret", 0o644, b""),
            ],
        ),
        (
            "a long name above",
            vec![long(EntryType::GNULongName, b"it/../../outside/x\0"), file(b"it", b"x")],
        ),
        (
            "an extended name above",
            vec![
                raw(EntryType::XHeader, b"pax", b"", 0o644, b"27 path=it/../../outside/x\n"),
                file(b"it", b"x"),
            ],
        ),
        (
            "headers without end",
            vec![long(EntryType::GNULongName, &vec![b'a'; 300 << 10]), file(b"it", b"x")],
        ),
        (
            "two sizes",
            vec![raw(EntryType::XHeader, b"pax", b"", 0o644, b"10 size=9\n"), file(b"it", b"x")],
        ),
    ];
    for (what, members) in attempts {
        let place = Place::new();
        let refused = place.unpack(&members);
        assert!(refused.is_err(), "{what}: {refused:?}");
        place.assert_untouched(what);
    }
    assert!(!fs::exists("/tmp/banger-unpack-x").unwrap());

    // A link that is there already is replaced, or refused as a folder on the way.
    let place = Place::new();
    fs::create_dir(place.path("into/it")).unwrap();
    symlink("../../outside/secret", place.path("into/it/f")).unwrap();
    symlink("../../outside", place.path("into/it/d")).unwrap();
    place.unpack(&[file(b"it/f", b"theirs")]).unwrap();
    assert_eq!(fs::read_to_string(place.path("into/it/f")).unwrap(), "theirs");
    assert!(place.unpack(&[file(b"it/d/x", b"x")]).is_err());
    place.assert_untouched(outside);
}

#[test]
fn only_permission_bits_cross_and_devices_stay() {
    let place = Place::new();
    let device = |kind, name: &[u8]| raw(kind, name, b"", 0o666, b"");
    let unpacked = place
        .unpack(&[
            raw(EntryType::Directory, b"it", b"", 0o2555, b""),
            raw(EntryType::Regular, b"it/suid", b"", 0o6755, b"x"),
            device(EntryType::Char, b"it/null"),
            device(EntryType::Block, b"it/sda"),
            device(EntryType::Fifo, b"it/pipe"),
            link(b"it/out", b"/etc/passwd"),
            link(b"it/up", b".."),
            link(b"it/in", b"suid"),
            raw(EntryType::Link, b"it/same", b"it/suid", 0o6755, b""),
        ])
        .unwrap();
    assert_eq!(unpacked.left_out, ["it/null", "it/sda", "it/pipe"]);
    assert_eq!(unpacked.links_out, ["it/out", "it/up"]);
    assert_eq!(unpacked.files, 5);
    let metadata = |name: &str| place.path(name).symlink_metadata().unwrap();
    assert_eq!(metadata("into/it").permissions().mode() & 0o7777, 0o555);
    assert_eq!(metadata("into/it/suid").permissions().mode() & 0o7777, 0o755);
    assert_eq!(metadata("into/it/suid").mtime(), 1_000_000_000);
    assert_eq!(metadata("into/it").mtime(), 1_000_000_000);
    assert_eq!(metadata("into/it/same").ino(), metadata("into/it/suid").ino());
    assert_eq!(fs::read_link(place.path("into/it/out")).unwrap(), Path::new("/etc/passwd"));
    fs::set_permissions(place.path("into/it"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_that_is_cut_never_gets_its_name() {
    let place = Place::new();
    fs::write(place.path("into/it"), "before").unwrap();
    let mut tar = file(b"it", &[b'x'; 4000]);
    tar.truncate(2000);
    let cut = unpack(tar.as_slice(), b"it", &place.path("into"), OsStr::new("it"), |_| {});
    assert!(cut.is_err());
    assert_eq!(fs::read_to_string(place.path("into/it")).unwrap(), "before");
    place.assert_untouched("cut");
}

#[test]
fn what_is_packed_here_is_unpacked_the_same() {
    let place = Place::new();
    let source = place.path("outside");
    let odd: Vec<OsString> = [&b"-a b\n"[..], b"\xff'\"", &[b'l'; 200]]
        .map(|name| OsString::from_vec(name.to_vec()))
        .into();
    let deep = odd.iter().fold(source.clone(), |path, name| {
        let path = path.join(name);
        fs::create_dir(&path).unwrap();
        path
    });
    fs::write(deep.join("file"), vec![7; 100_000]).unwrap();
    symlink("x".repeat(300), deep.join("link")).unwrap();
    symlink("./a//../b", deep.join("odd")).unwrap();
    let mut tar = Vec::new();
    let count = |_| {};
    let mut packer = super::super::pack::Packer::new(&mut tar, &count);
    packer.tree(&source, b"it", true).unwrap();
    packer.finish().unwrap();
    unpack(tar.as_slice(), b"it", &place.path("into"), OsStr::new("it"), |_| {}).unwrap();
    let copy = odd.iter().fold(place.path("into/it"), |path, name| path.join(name));
    assert_eq!(fs::read(copy.join("file")).unwrap(), vec![7; 100_000]);
    for name in ["link", "odd"] {
        let target = |folder: &Path| fs::read_link(folder.join(name)).unwrap();
        assert_eq!(target(&copy), target(&deep));
    }
    // Any other tar reads it the same.
    let names = std::process::Command::new("tar")
        .args(["-tf", "-", "--quoting-style=literal"])
        .stdin(std::process::Stdio::from({
            use std::io::Seek;
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &tar).unwrap();
            file.rewind().unwrap();
            file
        }))
        .output()
        .unwrap();
    assert!(names.status.success(), "{names:?}");
}
