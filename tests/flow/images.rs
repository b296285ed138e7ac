//! Images: taken in whole or not at all.

use std::io::Write;
use std::process::Stdio;

use banger_ext4::{FileDisk, Filesystem, ImagePath};
use banger_tests::fsck;
use serde_json::Value;

use crate::place::{Place, Tar};

fn image(place: &Place, name: &str) -> Value {
    let text = place.owner.ok(["image", "inspect", "--json", name]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_import_finds_the_newest_kernel_and_makes_a_seed() {
    let Some(place) = Place::with_image() else { return };
    let image = image(&place, "tiny");
    assert_eq!(image["kernel_release"], "6.1.0-25");
    assert_eq!(image["rootfs_size_mib"], 64);
    assert_eq!(image["work_seed_size_mib"], 512);
    let folder = place.owner.images().join("tiny");
    assert_eq!(std::fs::read(folder.join("initrd")).unwrap(), b"the new initrd");
    assert_eq!(std::fs::read(folder.join("vmlinuz")).unwrap(), Tar::kernel("6.1.0-25"));
    for disk in ["rootfs.ext4", "rootfs.work-seed.ext4"] {
        fsck::assert_clean(&folder.join(disk));
    }
    let open = |name: &str| {
        let file = std::fs::File::open(folder.join(name)).unwrap();
        Filesystem::open(std::sync::Arc::new(FileDisk::new(file).unwrap())).unwrap()
    };
    let stat = open("rootfs.ext4").stat(&ImagePath::new("/etc/fstab").unwrap()).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode), (1000, 1000, 0o644));
    let stat = open("rootfs.work-seed.ext4").stat(&ImagePath::new("/.profile").unwrap()).unwrap();
    assert_eq!((stat.uid, stat.gid, stat.mode), (0, 0, 0o644));
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());

    let said = place.fails(&["image", "import", "tiny", "/dev/null"]);
    assert!(said.contains("already") && said.contains("image rm tiny"), "{said}");
}

/// Imports a tar that must be refused, and checks that nothing of it is left.
fn refused(place: &Place, tar: &Tar, arguments: &[&str]) -> String {
    let file = place.tar(tar);
    let mut line = vec!["image", "import", "bad", file.to_str().unwrap()];
    line.extend(arguments);
    let said = place.fails(&line);
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    assert!(!place.owner.images().join("bad").exists());
    said
}

#[test]
fn what_is_no_whole_root_filesystem_is_refused_and_nothing_is_left() {
    let Some(place) = Place::new() else { return };
    let whole = Tar::tiny().0;

    let said = refused(&place, &Tar(whole[..whole.len() / 2].to_vec()), &[]);
    assert!(said.contains("try:"), "{said}");
    // Cut between two members: all that is missing is the end.
    let said = refused(&place, &Tar(whole[..whole.len() - 1024].to_vec()), &[]);
    assert!(said.contains("try:"), "{said}");
    refused(&place, &Tar(b"this is no tar at all".to_vec()), &[]);
    refused(&place, &Tar(vec![0x1f; 100_000]), &[]);

    let said = refused(&place, &Tar::of(&[("etc/", b""), ("etc/passwd", b"root")]), &[]);
    assert!(said.contains("no kernel") && said.contains("--kernel"), "{said}");
    let said = refused(&place, &Tar::of(&[("boot/", b""), ("boot/vmlinuz-1", b"#!/bin/sh")]), &[]);
    assert!(said.contains("kernel"), "{said}");
    let kernel = Tar::kernel("1");
    for hostile in ["../../etc/passwd", "a/../../x", "boot/../../../x"] {
        refused(&place, &Tar::of(&[("boot/vmlinuz-1", &kernel), (hostile, b"x")]), &[]);
    }
    let large = vec![1; 40 << 20];
    let said = refused(&place, &Tar::of(&[("large", &large)]), &["--size", "32M"]);
    assert!(said.contains("--size"), "{said}");
}

#[test]
fn a_stream_whose_sender_dies_is_a_cut_one() {
    let Some(place) = Place::new() else { return };
    let mut child = place
        .owner
        .banger(["image", "import", "cut", "-", "--size", "64M"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let tar = Tar::tiny().0;
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&tar[..tar.len() - 512]).unwrap();
    stdin.flush().unwrap();
    let begun = std::time::Instant::now();
    while place.unfinished().is_empty() && begun.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!place.unfinished().is_empty(), "the import has begun");
    place.kill_command_lines();
    child.wait().unwrap();
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
}

#[test]
fn an_import_survives_no_killed_daemon() {
    let Some(place) = Place::new() else { return };
    let mut child = place
        .owner
        .banger(["image", "import", "cut", "-", "--size", "64M"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&Tar::tiny().0[..4096]).unwrap();
    while place.unfinished().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    place.kill_daemon();
    assert!(!child.wait().unwrap().success());
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
    assert!(place.leftovers().is_empty(), "swept by the next daemon: {:?}", place.leftovers());
}

#[test]
fn kernels_of_the_users_own_are_taken_instead() {
    let Some(place) = Place::new() else { return };
    let (kernel, initrd) = (place.owner.home().join("k"), place.owner.home().join("i"));
    place.owner.write(&kernel, &Tar::kernel("9.9.9-own"));
    place.owner.write(&initrd, b"my initrd");
    let tar = place.tar(&Tar::tiny());
    let [tar, kernel, initrd] = [&tar, &kernel, &initrd].map(|path| path.to_str().unwrap());
    let size = ["--size", "64M"];
    let mut line = vec!["image", "import", "own", tar, "--kernel", kernel, "--initrd", initrd];
    line.extend(size);
    place.owner.ok(line);
    assert_eq!(image(&place, "own")["kernel_release"], "9.9.9-own");
    let folder = place.owner.images().join("own");
    assert_eq!(std::fs::read(folder.join("initrd")).unwrap(), b"my initrd");
    // The image's initial RAM disk belongs to the image's kernel.
    let mut line = vec!["image", "import", "bare", tar, "--kernel", kernel];
    line.extend(size);
    place.owner.ok(line);
    assert!(!place.owner.images().join("bare/initrd").exists());
    // One that was given is told from one that was found, which Firecracker's guests need not get.
    place.import_tiny();
    let record = |name: &str| {
        let text = std::fs::read(place.owner.images().join(name).join("image.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()
    };
    assert_eq!(record("own")["initrd_was_given"], true);
    assert_eq!(record("tiny")["initrd_was_given"], serde_json::Value::Null);
    assert_eq!(record("tiny")["has_initrd"], true);
}

#[test]
fn an_image_that_is_used_stays() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    let said = place.fails(&["image", "rm", "tiny"]);
    assert!(said.contains("used by web"), "{said}");
    place.owner.ok(["vm", "rm", "web"]);
    place.owner.ok(["image", "rm", "tiny"]);
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
    let said = place.fails(&["image", "rm", "tiny"]);
    assert!(said.contains("no image tiny"), "{said}");
}
