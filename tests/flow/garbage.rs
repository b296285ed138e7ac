//! `gc`: finds what has no owner, says why, removes that and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::Place;

/// What `gc` says, as (kind, path or empty, reason, fate).
fn gc(place: &Place, arguments: &[&str]) -> Vec<[String; 4]> {
    let text = place.owner.ok([&["gc", "--json"], arguments].concat());
    let all: Vec<Value> = serde_json::from_str(&text).expect("gc prints JSON");
    let field = |found: &Value, name: &str| found[name].as_str().unwrap_or_default().to_owned();
    all.iter().map(|found| ["kind", "path", "reason", "fate"].map(|n| field(found, n))).collect()
}

fn kinds(found: &[[String; 4]]) -> Vec<&str> {
    found.iter().map(|found| found[0].as_str()).collect()
}

/// Makes a file below a folder that is made too, both the owner's.
fn litter(place: &Place, path: &Path) {
    let folder = path.parent().unwrap();
    for folder in [folder.parent().unwrap(), folder] {
        if !folder.exists() {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            place.owner.give(folder);
        }
    }
    place.owner.write(path, &[1; 8192]);
}

#[test]
fn what_has_no_owner_is_told_and_then_removed_and_nothing_else() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "start", "web"]);
    place.owner.ok(["vm", "create", "--name", "old"]);
    assert_eq!(gc(&place, &["--dry-run"]), Vec::<[String; 4]>::new());
    let said = place.owner.run(["gc"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("nothing to remove"));

    let (state, images) = (place.owner.state(), place.owner.images());
    let no_record = state.join("vms/67e55044-10b1-426f-9247-bb680e5fe0c8");
    let gone = [
        state.join("vms/.new-1/record.json"),
        no_record.join("rootfs.ext4"),
        state.join("gone/1/disk"),
        images.join(".new-2/rootfs.ext4"),
    ];
    let kept = [
        state.join("vms/notes/todo.txt"),
        images.join("tiny/notes.txt"),
        images.join("mine/rootfs.ext4"),
    ];
    for path in gone.iter().chain(&kept) {
        litter(&place, path);
    }
    symlink("/etc", state.join("vms/link")).unwrap();

    let told = gc(&place, &["--dry-run"]);
    let removable: Vec<_> = told.iter().filter(|found| found[3] == "removable").cloned().collect();
    let mut removable_kinds = kinds(&removable);
    removable_kinds.sort_unstable();
    assert_eq!(removable_kinds, ["VM folder", "half-made VM", "half-made image", "removed"]);
    assert!(removable.iter().all(|found| !found[2].is_empty() && found[1].starts_with('/')));
    let left: Vec<_> = told.iter().filter(|found| found[3] == "left alone").collect();
    assert_eq!(left.len(), 4, "{told:?}");
    for path in gone.iter().chain(&kept) {
        assert!(path.exists(), "looking removes nothing: {}", path.display());
    }

    let said = place.owner.run(["gc"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("removed 4 things") && said.contains("free again"), "{said}");
    for path in &gone {
        assert!(!path.parent().unwrap().exists(), "{}", path.display());
    }
    for path in &kept {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(kinds(&gc(&place, &["-n"])).iter().all(|kind| ["unknown", "image"].contains(kind)));
    assert_eq!(place.state("web"), "running");
    assert_eq!(place.vmms().len(), 1);
    place.owner.ok(["vm", "start", "old"]);
}

#[test]
fn of_what_was_unpacked_for_another_vmm_what_is_not_in_use_is_removed() {
    let Some(place) = Place::with_image() else { return };
    let image = place.owner.images().join("tiny");
    let at = |name: &str| image.join(name);
    for name in ["vmlinux", "vmlinux.json", "vmlinux.initrd", ".new-vmlinux", ".new-vmlinux.initrd"]
    {
        place.owner.write(&at(name), &[1; 8192]);
    }
    place.owner.write(&at("vmlinux.json"), br#"{"made_from":"1","boots":"made"}"#);
    let removed = |found: &[[String; 4]]| {
        let mut names: Vec<_> =
            found.iter().map(|found| found[1].rsplit('/').next().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    };
    let told = gc(&place, &["--dry-run"]);
    assert_eq!(removed(&told), [".new-vmlinux", ".new-vmlinux.initrd"], "{told:?}");
    // One that boots by itself now has an initial RAM disk of before.
    place.owner.write(&at("vmlinux.json"), br#"{"made_from":"1","boots":"alone"}"#);
    gc(&place, &[]);
    assert!(!at("vmlinux.initrd").exists() && !at(".new-vmlinux").exists());
    assert!(at("vmlinux").exists() && at("vmlinux.json").exists() && at("initrd").exists());
    assert_eq!(gc(&place, &["--dry-run"]), Vec::<[String; 4]>::new());
}

/// A process that looks like a VMM of this VM.
fn vmm(place: &Place, folder: &Path) -> Child {
    let path = place.owner.home().join("qemu-system-x86_64");
    fs::copy("/bin/sleep", &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = place.owner.command(path);
    let log = fs::File::create(folder.join("vmm.log")).unwrap();
    command.arg("600").stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

#[test]
fn a_vmm_whose_vm_is_gone_is_ended() {
    let Some(place) = Place::with_image() else { return };
    for name in ["web", "on"] {
        place.owner.ok(["vm", "create", "--name", name]);
        place.owner.ok(["vm", "start", name]);
    }
    let pid = place.vm("web")["running"]["vmm_pid"].as_u64().unwrap();
    let folder = place.vm("web")["directory"].as_str().unwrap().to_owned();
    // As a person does it who has no patience, while no daemon looks.
    place.kill_daemon();
    fs::remove_dir_all(&folder).unwrap();
    let told = gc(&place, &["--dry-run"]);
    assert_eq!(kinds(&told), ["process qemu-system-x86_64"], "{told:?}");
    assert!(told[0][2].contains("gone"), "{told:?}");
    assert_eq!(place.vmms().len(), 2);
    gc(&place, &[]);
    assert!(!place.vmms().iter().any(|other| u64::from(*other) == pid));
    assert_eq!(place.vmms().len(), 1, "the other runs on");
    assert_eq!(place.state("on"), "running");
    assert!(gc(&place, &["--dry-run"]).is_empty());
}

#[test]
fn the_processes_of_another_daemon_of_this_user_are_left_alone() {
    let (Some(place), Some(other)) = (Place::new(), Place::with_image()) else { return };
    other.owner.ok(["vm", "create", "--name", "web"]);
    other.owner.ok(["vm", "start", "web"]);
    assert!(gc(&place, &[]).is_empty());
    assert_eq!(other.vmms().len(), 1);
    assert_eq!(other.state("web"), "running");
}

#[test]
fn a_vm_whose_record_cannot_be_read_is_shown_and_only_removed_by_force() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "create", "--name", "torn"]);
    let folders = ["web", "torn"].map(|name| {
        let folder = place.vm(name)["directory"].as_str().unwrap().to_owned();
        Path::new(&folder).to_owned()
    });
    place.owner.ok(["daemon", "stop"]);
    let record = folders[0].join("record.json");
    let text = fs::read_to_string(&record).unwrap();
    place.owner.write(&record, text.replace("\"version\": 1", "\"version\": 99").as_bytes());
    place.owner.write(&folders[1].join("record.json"), b"{\"vers");

    let output = place.owner.run(["vm", "ls"]);
    let (table, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(table.lines().any(|l| l.starts_with("web ") && l.contains("broken")), "{table}");
    assert!(notes.contains("newer banger") && notes.contains("rm --force web"), "{notes}");
    let said = place.fails(&["vm", "start", "web"]);
    assert!(said.contains("cannot be read") && said.contains("rm --force web"), "{said}");
    let said = place.fails(&["vm", "create", "--name", "web"]);
    assert!(said.contains("already"), "the name is taken: {said}");

    let mut vmm = vmm(&place, &folders[0]);
    let told = gc(&place, &[]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|found| found[3] == "left alone"), "{told:?}");
    assert!(vmm.try_wait().unwrap().is_none());
    place.fails(&["vm", "rm", "web"]);
    assert!(folders[0].exists());
    place.owner.ok(["vm", "rm", "--force", "web"]);
    assert!(!folders[0].exists());
    vmm.wait().unwrap();
    let id = folders[1].file_name().unwrap().to_str().unwrap();
    place.owner.ok(["vm", "rm", "--force", id]);
    assert!(gc(&place, &["-n"]).is_empty());
    place.owner.ok(["vm", "create", "--name", "web"]);
}

#[test]
fn what_a_killed_daemon_was_making_is_cleared_away_by_the_next() {
    let Some(place) = Place::with_image() else { return };
    let tar = place.owner.home().join("slow.tar");
    let feed = fs::File::create(&tar).unwrap();
    drop(feed);
    // A tar that never ends: its import is under way for as long as it is wanted.
    let mut import = place.owner.banger(["image", "import", "slow", "-", "--size", "64M"]);
    let mut import =
        import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while place.unfinished().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the import does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gc(&place, &["-n"]).is_empty(), "what is being made has an owner");
    gc(&place, &[]);
    assert!(!place.unfinished().is_empty());
    place.kill_daemon();
    import.wait().unwrap();
    assert!(place.owner.ok(["image", "ls", "-q"]).contains("tiny"));
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    assert!(gc(&place, &["-n"]).is_empty());
}
