//! An image that the host's disk has no room for: nothing of it is left.

use banger_tests::small_disk::SmallDisk;

use crate::place::{Place, Tar};

#[test]
fn a_disk_that_becomes_full_leaves_nothing_of_an_import() {
    let Some(place) = Place::new() else { return };
    let data = place.owner.home().join(".local/share");
    let Some(disk) = SmallDisk::mount(&place.owner, &data, 64) else { return };
    place.owner.ok(["image", "ls"]);
    let before = place.traces();
    let used = disk.used_kib();
    let (kernel, large) = (Tar::kernel("1"), vec![0x5a; 6 << 20]);
    let tar = place.tar(&Tar::of(&[
        ("boot/", b""),
        ("boot/vmlinuz-1", &kernel),
        ("root/", b""),
        ("root/large", &large),
    ]));
    let mut refused = 0;
    for kib in [64, 256, 1024, 4000, 6500, 6800, 7000, 7500, 9000, 12_000, 14_000, 60_000] {
        disk.resize(kib);
        let line = ["image", "import", "full", tar.to_str().unwrap(), "--size", "64M"];
        let output = place.owner.run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            break;
        }
        refused += 1;
        assert!(said.contains("free some space"), "{kib} KiB: {said}");
        assert_eq!(place.traces(), before, "{kib} KiB: {said}");
        assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
        assert!(disk.used_kib() <= used + 8, "{kib} KiB: {used} {}", disk.used_kib());
    }
    assert!(refused >= 6, "{refused}");
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "full\n");
}

#[test]
fn on_a_full_disk_a_daemon_still_starts_so_that_room_can_be_made() {
    let Some(place) = Place::new() else { return };
    let Some(disk) = SmallDisk::mount(&place.owner, &place.owner.state(), 1024) else { return };
    place.import_tiny();
    place.owner.ok(["vm", "create", "--name", "old"]);
    place.owner.ok(["daemon", "stop"]);
    let ballast = place.owner.state().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap_err();
    assert!(disk.used_kib() >= 1020, "{}", disk.used_kib());
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "old\n");
    assert!(place.daemon().is_some());
    place.owner.ok(["vm", "rm", "old"]);
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
}
