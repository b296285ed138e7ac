//! `banger ext4`: filesystem images by hand, with the real programs.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, FileDisk, FileKind, Filesystem, Flush, FormatOptions, Journal, Node,
    Timestamp,
};
use banger_tests::image::{disk, path};
use banger_tests::owner::Owner;
use banger_tests::{engine, fsck, kernel, root};
use serde_json::Value;

const FILE: Attributes = Attributes { mode: 0o640, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o750, uid: 0, gid: 0 };

fn options() -> FormatOptions {
    FormatOptions::new([1; 16], [2; 16], Timestamp::now())
}

/// An owner with an image that has one of each.
struct Place {
    owner: Owner,
}

impl Place {
    fn new() -> Option<Self> {
        let place = Self { owner: Owner::new()? };
        File::create(place.path("image")).unwrap().set_len(24 << 20).unwrap();
        let mut batch = Batch::create(disk(&place.path("image")), &options()).unwrap();
        batch.make_directories(&path("/etc/deep/er"), FOLDER).unwrap();
        batch.write_file(&path("/etc/hostname"), FILE, b"web\n").unwrap();
        batch.write_file(&path("/etc/.hidden"), FILE, b"").unwrap();
        batch.write_file(&path("/etc/deep/er/file"), FILE, b"deep").unwrap();
        batch.write_file(&path("/etc/suid"), Attributes { mode: 0o4755, ..FILE }, b"s").unwrap();
        batch.write_file(&path("/odd\n\x1b[31m\u{ff}"), FILE, b"odd").unwrap();
        batch.write_file(&path(b"/\xff"), FILE, b"").unwrap();
        batch.symlink(&path("/etc/link"), b"hostname", 0, 0).unwrap();
        batch.symlink(&path("/config"), b"etc", 0, 0).unwrap();
        batch.symlink(&path("/out"), b"../../../../etc/passwd", 0, 0).unwrap();
        batch.make_node(&path("/etc/null"), FILE, Node::CharDevice(1, 3)).unwrap();
        let mut sparse = vec![0; 8 << 20];
        sparse[..5].copy_from_slice(b"start");
        *sparse.last_mut().unwrap() = 7;
        batch.write_file(&path("/sparse"), FILE, &sparse).unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        place.owner.give(&place.path("image"));
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.owner.home().join(name)
    }

    /// The words with names of files of the owner's written `~name`.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let home = |word: &str| self.path(word).to_str().unwrap().to_owned();
        let expand = |word: &&str| word.strip_prefix('~').map_or((*word).to_owned(), home);
        ["ext4".to_owned()].into_iter().chain(words.iter().map(expand)).collect()
    }

    fn ok(&self, words: &[&str]) -> String {
        self.owner.ok(self.words(words))
    }

    /// What a command that must fail says, with its exit code.
    fn fails(&self, words: &[&str]) -> (i32, String) {
        let output = self.owner.run(self.words(words));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{words:?} did not fail");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new(), "{words:?}");
        (output.status.code().unwrap(), said)
    }

    /// Runs a command that must fail and leave the image as it is.
    fn refused(&self, words: &[&str], because: &str) {
        let before = fs::read(self.path("image")).unwrap();
        let (code, said) = self.fails(words);
        assert!(code == 1 && said.contains(because), "{words:?}: {code} {said}");
        assert!(fs::read(self.path("image")).unwrap() == before, "{words:?}: the image changed");
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.owner.home()).unwrap().map(|entry| entry.unwrap().path());
        let temporary = |path: &PathBuf| path.to_string_lossy().contains("/.banger-");
        entries.filter(temporary).collect()
    }

    fn filesystem(&self) -> Filesystem {
        fsck::assert_clean(&self.path("image"));
        let fs = engine::open(&self.path("image"));
        assert!(banger_ext4::check(&fs).unwrap().is_clean());
        fs
    }

    fn read(&self, at: &str) -> Vec<u8> {
        self.filesystem().read_file(&path(at), 1 << 30).unwrap()
    }
}

#[test]
fn what_is_in_an_image_is_listed_shown_and_checked() {
    let Some(place) = Place::new() else { return };
    fs::set_permissions(place.path("image"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(place.ok(&["ls", "~image", "/etc"]), "deep\nhostname\nlink\nnull\nsuid\n");
    assert_eq!(place.ok(&["ls", "~image", "/config/", "-a"]).lines().next(), Some(".hidden"));
    assert_eq!(place.ok(&["ls", "~image", "/etc/hostname"]), "/etc/hostname\n");
    let all = place.ok(&["ls", "-R", "~image", "/etc/deep"]);
    assert_eq!(all, "er\ner/file\n");
    let long = place.ok(&["ls", "-l", "~image", "/etc"]);
    assert!(long.contains("-rw-r----- 1 0 0    4 "), "{long}");
    assert!(long.contains("lrwxrwxrwx 1 0 0    8 ") && long.contains(" link -> hostname\n"));
    assert!(long.contains("crw-r----- 1 0 0 1, 3 "), "{long}");
    // Into a pipe names go as they are.
    let output = place.owner.run(place.words(&["ls", "~image"]));
    assert!(output.stdout.windows(6).any(|bytes| bytes == b"\n\x1b[31m"), "{output:?}");
    let json: Value = serde_json::from_str(&place.ok(&["ls", "~image", "--json"])).unwrap();
    let hex: Vec<_> =
        json.as_array().unwrap().iter().filter_map(|e| e["path_hex"].as_str()).collect();
    assert_eq!(hex, ["ff"]);
    let stat = place.ok(&["stat", "~image", "/out"]);
    assert!(stat.contains("symlink") && stat.contains("../../../../etc/passwd"), "{stat}");
    let stat: Value =
        serde_json::from_str(&place.ok(&["stat", "~image", "/sparse", "--json"])).unwrap();
    assert_eq!(stat["size_bytes"], 8 << 20);
    assert!(stat["allocated_bytes"].as_u64().unwrap() < 100_000, "{stat}");
    assert_eq!(place.ok(&["cat", "~image", "/etc/link", "/config/deep/er/file"]), "web\ndeep");
    assert!(place.ok(&["check", "~image"]).starts_with("in order: "));
    let check: Value = serde_json::from_str(&place.ok(&["check", "~image", "--json"])).unwrap();
    assert_eq!((&check["clean"], &check["problem_count"]), (&true.into(), &0.into()));
    assert!(!place.path(".local").exists(), "no daemon was started");
}

#[test]
fn files_and_folders_come_out_whole_and_harmless() {
    let Some(place) = Place::new() else { return };
    fs::create_dir(place.path("into")).unwrap();
    fs::write(place.path("old"), "old").unwrap();
    for name in ["into", "old"] {
        place.owner.give(&place.path(name));
    }
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    place.ok(&["cp", "~image", "/etc/hostname", "/etc/link", "~into"]);
    assert_eq!(
        read("into/hostname") + &read("into/link"),
        "web\nweb\n",
        "a named link is followed"
    );
    assert!(!place.path("into/link").is_symlink());
    place.ok(&["cp", "~image", "/etc/deep/er/file", "~old"]);
    assert_eq!(read("old"), "deep", "a file is replaced");
    place.ok(&["cp", "~image", "/etc/suid", "~suid"]);
    assert_eq!(fs::metadata(place.path("suid")).unwrap().mode() & 0o7777, 0o755);
    place.ok(&["cp", "~image", "/sparse", "~sparse"]);
    let sparse = fs::metadata(place.path("sparse")).unwrap();
    assert_eq!(sparse.len(), 8 << 20);
    assert!(sparse.blocks() * 512 < 1 << 20, "holes stay holes");
    let output = place.owner.run(place.words(&["cp", "~image", "/config", "~tree"]));
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither file nor folder: null"));
    assert_eq!(read("tree/deep/er/file") + &read("tree/.hidden"), "deep");
    assert_eq!(fs::read_link(place.path("tree/link")).unwrap(), Path::new("hostname"));
    assert_eq!(fs::metadata(place.path("tree/deep")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(place.ok(&["cp", "~image", "/etc/hostname", "-"]), "web\n");
    // A folder that nobody may write to, whole and again in pieces.
    let mut batch = Batch::open(disk(&place.path("image"))).unwrap();
    let closed = Attributes { mode: 0o555, ..FOLDER };
    batch.set_attributes(&path("/etc/deep/er"), closed).unwrap();
    batch.set_attributes(&path("/etc/deep"), closed).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    place.ok(&["cp", "~image", "/etc/deep", "~into"]);
    assert_eq!(fs::metadata(place.path("into/deep")).unwrap().mode() & 0o7777, 0o555);
    for (words, because) in [
        (&["cp", "~image", "/etc/deep", "~into"][..], "there is a folder of this name already"),
        (&["cp", "~image", "/etc", "~old"], "cannot write"),
        (&["cp", "~image", "/etc/hostname", "~into/deep"], "Permission denied"),
        (&["cp", "~image", "/etc/hostname", "/etc/suid", "~old"], "need a folder to go into"),
        (&["cp", "~image", "/none", "~new"], "/none: no such file or directory"),
        (&["cp", "~image", "/out", "~new"], "no such file or directory"),
        (&["cp", "~image", "/etc/null", "~new"], "neither a file nor a folder"),
        (&["cp", "~image", "/", "~into"], "the root of an image has no name"),
        (&["cp", "~image", "/etc", "~no/where"], "there is no folder to hold it"),
        (&["cp", "~image", "/etc", "~no/"], "there is no such folder"),
    ] {
        place.refused(words, because);
        assert!(!place.path("new").exists(), "{words:?}");
    }
    assert_eq!(read("old"), "deep");
}

#[test]
fn what_is_put_into_an_image_is_there_as_a_whole() {
    let Some(place) = Place::new() else { return };
    let tree = place.path("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/file"), "content").unwrap();
    fs::write(tree.join("run"), "#!").unwrap();
    fs::set_permissions(tree.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run", tree.join("link")).unwrap();
    symlink("tree/run", place.path("named")).unwrap();
    File::create(place.path("sparse")).unwrap().set_len(1 << 30).unwrap();
    for name in ["tree", "tree/sub", "tree/sub/file", "tree/run", "sparse"] {
        place.owner.give(&place.path(name));
    }
    place.ok(&["put", "~image", "~tree/run", "/etc/hostname"]);
    place.ok(&["put", "~image", "~named", "/etc/link", "--mode", "0600", "--owner", "7:8"]);
    place.ok(&["put", "~image", "~tree", "/config"]);
    place.ok(&["put", "~image", "~tree", "/new", "--owner", "1000"]);
    place.ok(&["put", "~image", "~tree/.", "/etc/deep"]);
    place.ok(&["put", "~image", "~sparse", "/"]);
    let mut command = place.owner.banger(place.words(&["put", "~image", "-", "/etc/typed"]));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[b'x'; 300_000]).unwrap();
    assert!(child.wait().unwrap().success());
    let fs = place.filesystem();
    let is = |at: &str| {
        let stat = fs.lstat(&path(at)).unwrap();
        (stat.kind, stat.mode, stat.uid, stat.gid)
    };
    assert_eq!(is("/etc/hostname"), (FileKind::Regular, 0o755, 0, 0));
    assert_eq!(is("/etc/link"), (FileKind::Regular, 0o600, 7, 8), "a link is replaced");
    assert_eq!(is("/etc/typed"), (FileKind::Regular, 0o644, 0, 0));
    assert_eq!(is("/etc/tree/link").0, FileKind::Symlink);
    assert_eq!(is("/new/sub/file").2, 1000);
    assert_eq!(is("/etc/deep").1, 0o750, "the directory stays as it is");
    assert_eq!(fs.stat(&path("/sparse")).unwrap().allocated, 0);
    assert_eq!(place.read("/etc/deep/sub/file"), b"content");
    assert_eq!(place.read("/etc/typed").len(), 300_000);
    let mtime = fs::metadata(tree.join("run")).unwrap().mtime();
    assert_eq!(fs.stat(&path("/etc/hostname")).unwrap().mtime.seconds, mtime);
    // What is refused or does not fit leaves every byte as it was.
    let fifo = place.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    place.owner.give(&fifo);
    File::create(place.path("large")).unwrap().write_all_at(&vec![1; 30 << 20], 0).unwrap();
    place.owner.give(&place.path("large"));
    for (words, because) in [
        (&["put", "~image", "~tree", "/etc/hostname"][..], "/etc/hostname"),
        (&["put", "~image", "~tree/run", "/no/where"], "no such file or directory"),
        (&["put", "~image", "~tree/run", "/etc/typed/x"], "no directory"),
        (&["put", "~image", "~tree", "/x", "--mode", "600"], "a mode is for a single file"),
        (&["put", "~image", "~fifo", "/x"], "neither a file nor a folder"),
        (&["put", "~image", "~missing", "/x"], "No such file"),
        (&["put", "~image", "-", "/etc"], "it is a directory"),
        (&["put", "~image", "~tree/run", "/a/../b"], "not allowed"),
        (&["ls", "~image", "/a//b"], "component is empty"),
    ] {
        place.refused(words, because);
    }
    let (_, said) = place.fails(&["put", "~image", "~large", "/etc/hostname"]);
    assert!(said.contains("no space left in the filesystem"), "{said}");
    assert_eq!(place.read("/etc/hostname"), b"#!");
    for words in [
        &["put", "~image", "~tree", "x"][..],
        &["put", "~image", "~tree", "/x", "--owner", "root"],
        &["put", "~image", "~tree", "/x", "--mode", "9"],
        &["ls", "~image", "etc"],
        &["cat", "~image"],
    ] {
        assert_eq!(place.fails(words).0, 2, "{words:?}");
    }
}

#[test]
fn an_image_that_somebody_uses_is_left_alone() {
    let Some(place) = Place::new() else { return };
    let image = place.path("image");
    let put = ["put", "~image", "~image", "/x"];
    // Another banger.
    let held = File::open(&image).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockShared).unwrap();
    place.ok(&["ls", "~image", "/etc"]);
    place.refused(&put, "another banger is working on the image");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    place.refused(&["ls", "~image", "/etc"], "another banger is working on the image");
    drop(held);
    // A VMM: shared locks on single bytes, as QEMU has them.
    let hold = "import fcntl, sys\nfile = open(sys.argv[1], 'rb')\n\
                fcntl.lockf(file, fcntl.LOCK_SH, 1, 201)\nprint('held', flush=True)\n\
                sys.stdin.read()";
    let mut vmm = Command::new("python3")
        .args(["-c", hold])
        .arg(&image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(vmm.stdout.take().unwrap()).read_line(&mut line).unwrap();
    for words in [&put[..], &["ls", "~image", "/etc"], &["check", "~image"]] {
        place.refused(words, "another program has the image locked");
    }
    drop(vmm.stdin.take());
    vmm.wait().unwrap();
    place.ok(&["ls", "~image", "/etc"]);
    // A loop device: read beside it only where it does not write.
    if kernel::missing().is_none() {
        for (options, reads) in [(&["--read-only"][..], true), (&[], false)] {
            let mut attach = root::command("losetup").unwrap();
            let device =
                attach.args(["--find", "--show"]).args(options).arg(&image).output().unwrap();
            let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
            assert!(!device.is_empty());
            let detach = || {
                root::command("losetup").unwrap().args(["--detach", &device]).status().unwrap();
            };
            let ls = place.owner.run(place.words(&["ls", "~image", "/etc"]));
            let put = place.owner.run(place.words(&put));
            let block = place.owner.run(["ext4", "ls", &device]);
            detach();
            assert_eq!(ls.status.success(), reads, "{ls:?}");
            let said = String::from_utf8_lossy(&put.stderr);
            assert!(said.contains(&format!("attached as {device}")), "{said}");
            assert!(!block.status.success());
        }
    }
}

#[test]
fn what_is_no_image_or_a_broken_one_is_refused_with_the_reason() {
    let Some(place) = Place::new() else { return };
    let good = fs::read(place.path("image")).unwrap();
    let write = |name: &str, bytes: &[u8]| place.owner.write(&place.path(name), bytes);
    write("empty", b"");
    write("junk", &[0x5a; 100_000]);
    write("cut", &good[..1 << 20]);
    fs::create_dir(place.path("folder")).unwrap();
    for (image, because) in [
        ("~missing", "No such file"),
        ("~folder", "the image is a folder"),
        ("/dev/null", "the image is no file"),
        ("~empty", "0 bytes are too few"),
        ("~junk", "the filesystem is damaged"),
        ("~cut", "its device has only"),
    ] {
        for verb in
            [&["ls"][..], &["stat", "/"], &["cat", "/etc/hostname"], &["cp", "/etc", "~out"]]
        {
            let words = [&verb[..1], &[image], &verb[1..]].concat();
            place.refused(&words, because);
        }
        let (code, said) = place.fails(&["put", image, "~junk", "/x"]);
        assert_eq!(code, 1, "{said}");
    }
    assert!(!place.path("out").exists());
    // Damage is what a check is for: an exit code, and words on standard output.
    let fs = engine::open(&place.path("image"));
    let bitmap = fs.descriptors()[0].block_bitmap() * u64::from(fs.geometry().block_size);
    File::options()
        .write(true)
        .open(place.path("image"))
        .unwrap()
        .write_all_at(&[0; 64], bitmap)
        .unwrap();
    for image in ["~image", "~junk"] {
        let output = place.owner.run(place.words(&["check", image]));
        assert_eq!(output.status.code(), Some(1));
        assert!(!output.stdout.is_empty(), "{output:?}");
        let output = place.owner.run(place.words(&["check", image, "--json"]));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &found["clean"]), (Some(1), &false.into()));
    }
    let (_, said) = place.fails(&["put", "~image", "~junk", "/x"]);
    assert!(said.contains("banger ext4 check"), "{said}");
}

#[test]
fn without_a_journal_it_is_said_that_it_was_not_one_unit() {
    let Some(place) = Place::new() else { return };
    let options = FormatOptions { journal: Journal::None, ..options() };
    let image = File::options().read(true).write(true).open(place.path("image")).unwrap();
    let disk = Arc::new(FileDisk::new(image).unwrap());
    Batch::create(disk, &options).unwrap().commit(Flush::ProcessSafe).unwrap();
    std::fs::write(place.path("note"), "a few bytes").unwrap();
    let output = place.owner.run(place.words(&["put", "~image", "~note", "/"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("no journal"), "{said}");
    place.filesystem();
}
