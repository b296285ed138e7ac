//! What the host cannot carry is refused with figures, and `--force` insists.

use std::path::{Path, PathBuf};

use banger_tests::small_disk::SmallDisk;

use crate::place::Place;

#[test]
fn more_memory_than_the_host_has_is_refused_unless_forced() {
    let Some(place) = Place::with_image() else { return };
    for verb in ["create", "run"] {
        let said = place.fails(&["vm", verb, "--name", "big", "--memory", "16T"]);
        assert!(said.contains("16 TiB") && said.contains("this computer has"), "{said}");
        assert!(said.contains("try:") && said.contains("--force"), "{said}");
        assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
    }
    place.owner.ok(["vm", "create", "--name", "big", "--memory", "16T", "--force"]);
    let said = place.fails(&["vm", "start", "big"]);
    assert!(said.contains("not enough memory for big") && said.contains("to spare"), "{said}");
    assert!(said.contains("banger vm start --force big"), "{said}");
    assert_eq!(place.state("big"), "created");
    assert!(place.vmms().is_empty());
    assert!(!folder(&place, "big").join("rootfs.ext4").exists());
    let output = place.owner.run(["vm", "start", "--force", "big"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("to spare"), "{said}");
    place.owner.ok(["vm", "stop", "--timeout", "0", "big"]);
    place.owner.ok(["vm", "set", "big", "--memory", "256M"]);
    let said = place.fails(&["vm", "set", "big", "--memory", "16T"]);
    assert!(said.contains("this computer has") && said.contains("--force"), "{said}");
    assert_eq!(place.vm("big")["memory_mib"], 256);
    place.owner.ok(["vm", "set", "big", "--memory", "16T", "--force"]);
    place.owner.ok(["vm", "rm", "--force", "big"]);
}

fn folder(place: &Place, name: &str) -> PathBuf {
    PathBuf::from(place.vm(name)["directory"].as_str().unwrap())
}

fn disks(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".ext4") || name.starts_with(".new-")).collect()
}

/// The same start again and again, with the disk full a little later each time.
#[test]
fn a_disk_that_becomes_full_leaves_a_start_as_it_was() {
    let Some(place) = Place::new() else { return };
    let Some(disk) = SmallDisk::mount(&place.owner, &place.owner.state(), 4096) else { return };
    place.import_tiny();
    place.owner.ok(["vm", "create", "--name", "web", "--disk", "64M"]);
    let before = disk.used_kib();
    let (mut refused, mut insisted) = (0, false);
    for more in [8, 24, 64, 150, 250, 300, 350, 400, 450, 500, 550, 600, 800, 1600, 20_000] {
        let kib = before + more;
        disk.resize(kib);
        let output = place.owner.run(["vm", "start", "web"]);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            // A work disk of 64 MiB and the image's 64 MiB, of which little is in use.
            assert!(said.contains("its disks may grow by"), "{said}");
            break;
        }
        refused += 1;
        assert!(said.contains("try:") && said.contains("free some space"), "{kib} KiB: {said}");
        insisted |= said.contains("banger vm start --force web");
        assert!(place.vmms().is_empty(), "{kib} KiB");
        assert_eq!(place.state("web"), "created", "{kib} KiB: {said}");
        assert_eq!(disks(&folder(&place, "web")), [""; 0], "{kib} KiB: {said}");
        assert!(disk.used_kib() <= before + 32, "{kib} KiB: {before} {}", disk.used_kib());
    }
    assert!(refused >= 4, "{refused}");
    assert!(insisted, "what would not fit is told before it is tried");
    assert_eq!(place.state("web"), "running");
    place.owner.ok(["vm", "rm", "--force", "web"]);
    assert!(place.leftovers().is_empty());
}

#[test]
fn a_full_disk_takes_no_new_vm_and_lets_the_old_ones_go() {
    let Some(place) = Place::with_image() else { return };
    let Some(disk) = SmallDisk::mount(&place.owner, &place.owner.state().join("vms"), 512) else {
        return;
    };
    place.owner.ok(["vm", "create", "--name", "old"]);
    let ballast = place.owner.state().join("vms/.ballast");
    let full = std::fs::write(&ballast, vec![1; 512 << 10]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let used = disk.used_kib();
    let said = place.fails(&["vm", "create", "--name", "new"]);
    assert!(said.contains("free some space"), "{said}");
    assert_eq!(disk.used_kib(), used);
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "old\n");
    place.owner.ok(["vm", "rm", "old"]);
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
}
