//! A VM's life, from create to rm.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;

use banger_ext4::{FileDisk, Filesystem, ImagePath};
use banger_tests::fsck;

use crate::place::Place;

fn read(disk: PathBuf, path: &str) -> String {
    let file = std::fs::File::open(disk).unwrap();
    let filesystem = Filesystem::open(std::sync::Arc::new(FileDisk::new(file).unwrap())).unwrap();
    let bytes = filesystem.read_file(&ImagePath::new(path).unwrap(), 1 << 20).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn from_create_to_rm() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web", "--disk", "512M"]);
    assert_eq!(place.state("web"), "created");
    let folder = PathBuf::from(place.vm("web")["directory"].as_str().unwrap());
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }

    place.owner.ok(["vm", "start", "web"]);
    let vm = place.vm("web");
    assert_eq!(vm["state"], "running");
    assert_eq!(vm["running"]["accelerator"], "tcg");
    assert_eq!(vm["running"]["network"], "slirp");
    assert_eq!(vm["running"]["vmm_pid"], place.vmms()[0]);
    let port = vm["running"]["ssh_port"].as_u64().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).is_ok());
    let said = place.fails(&["vm", "start", "web"]);
    assert!(said.contains("runs already"), "{said}");
    let said = place.fails(&["vm", "rm", "web"]);
    assert!(said.contains("--force"), "{said}");

    let (rootfs, work) = (folder.join("rootfs.ext4"), folder.join("work.ext4"));
    place.owner.ok(["vm", "stop", "web"]);
    assert_eq!(place.state("web"), "stopped");
    assert!(place.vmms().is_empty());
    for disk in [&rootfs, &work] {
        fsck::assert_clean(disk);
    }
    assert_eq!(read(rootfs.clone(), "/etc/hostname"), "web\n");
    let fstab = read(rootfs.clone(), "/etc/fstab");
    let id = vm["id"].as_str().unwrap();
    assert!(fstab.starts_with("# the image's own\n") && !fstab.contains("/home"), "{fstab}");
    assert!(fstab.contains(&format!("UUID={id} /root")), "{fstab}");
    assert_eq!(read(work.clone(), "/.profile"), "# of root\n");
    let public = std::fs::read_to_string(folder.join("id_ed25519.pub")).unwrap();
    assert_eq!(read(work.clone(), "/.ssh/authorized_keys"), public);

    // Disks are the user's data: the same files, started again.
    let inodes = [&rootfs, &work].map(|disk| disk.metadata().unwrap().ino());
    place.owner.ok(["vm", "start", "web"]);
    assert_eq!([&rootfs, &work].map(|disk| disk.metadata().unwrap().ino()), inodes);
    assert!(place.owner.ok(["vm", "logs", "web"]).contains("fake guest boots"));
    place.owner.ok(["vm", "rm", "--force", "web"]);
    assert!(!folder.exists());
    assert!(place.vmms().is_empty());
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
    assert!(place.leftovers().is_empty());
}

/// The names and details of the stages in a table of `--timings`.
fn stages(table: &str) -> Vec<String> {
    let rows = table.lines().filter(|line| line.ends_with(" ms") && line.contains("   "));
    rows.map(|line| {
        let words: Vec<_> =
            line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        words[..words.len() - 1].join(": ")
    })
    .collect()
}

#[test]
fn the_stages_of_a_start_are_told_in_their_order() {
    let Some(place) = Place::with_image() else { return };
    let start = |name: &str| {
        let output = place.owner.run(["vm", "start", "--timings", name]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    place.owner.ok(["vm", "create", "--name", "one"]);
    let told = start("one");
    let expected = [
        "probe_host: what this host runs VMs with",
        "check_image",
        "prepare_rootfs_overlay",
        "patch_rootfs",
        "prepare_work_disk: applying work seed",
        "start_vmm",
        "boot_guest",
    ];
    assert_eq!(stages(&told)[..expected.len()], expected, "{told}");
    assert!(told.contains("network by slirp"), "what the guest can reach is said: {told}");
    place.owner.ok(["vm", "stop", "one"]);
    let told = start("one");
    assert_eq!(stages(&told)[..4], ["check_image", "patch_rootfs", "start_vmm", "boot_guest"]);

    let seed = place.owner.images().join("tiny/rootfs.work-seed.ext4");
    std::fs::remove_file(seed).unwrap();
    place.owner.ok(["vm", "create", "--name", "two"]);
    let told = start("two");
    assert!(
        stages(&told).contains(&"prepare_work_disk: creating empty work disk".into()),
        "{told}"
    );
    assert!(told.contains("no work seed"), "{told}");
    let folder = PathBuf::from(place.vm("two")["directory"].as_str().unwrap());
    place.owner.ok(["vm", "stop", "two"]);
    fsck::assert_clean(&folder.join("work.ext4"));
}

#[test]
fn a_name_is_one_vms_and_is_made_up_when_none_is_given() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    let said = place.fails(&["vm", "create", "--name", "web"]);
    assert!(said.contains("already"), "{said}");
    place.owner.ok(["vm", "create"]);
    let names = place.owner.ok(["vm", "ls", "-q"]);
    assert_eq!(names.lines().count(), 2, "{names}");
}

#[test]
fn of_two_starts_at_once_one_wins_and_the_other_is_told() {
    let Some(place) = Place::with_image() else { return };
    place.mode("slow");
    place.owner.ok(["vm", "create", "--name", "web"]);
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = place.owner.banger(["vm", "start", "web"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let won = outputs.iter().filter(|output| output.status.success()).count();
    assert_eq!(won, 1);
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("already") && said.contains("try:"), "{said}");
    }
    assert_eq!(place.vmms().len(), 1);
}

#[test]
fn a_start_that_fails_says_at_which_stage_and_leaves_nothing_running() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.mode("ends-at-once");
    let said = place.fails(&["vm", "start", "web"]);
    assert!(said.contains("start_vmm") && said.contains("told to end"), "{said}");
    place.mode("panics no-ssh");
    let said = place.fails(&["vm", "start", "web"]);
    assert!(said.contains("panicked") && said.contains("fake guest boots"), "{said}");
    assert_eq!(place.state("web"), "failed");
    let reason = place.vm("web")["state_reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("boot_guest"), "{reason}");
    assert!(place.vmms().is_empty());
    place.mode("");
    place.owner.ok(["vm", "start", "web"]);
    assert_eq!(place.state("web"), "running");
}

#[test]
fn a_start_says_how_far_the_guest_came() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    let fails = |mode: &str, console: &str, words: &[&str]| {
        place.mode(mode);
        place.console(console);
        let begun = std::time::Instant::now();
        // What ends by itself has time to.
        let timeout = if console.is_empty() && mode != "no-ssh" { "4s" } else { "1s" };
        let said = place.fails(&["vm", "start", "--timeout", timeout, "web"]);
        assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
        for word in words {
            assert!(said.contains(word), "{mode}: no `{word}` in:\n{said}");
        }
        assert!(said.contains("try:"), "{said}");
        assert_eq!(place.state("web"), "failed");
        assert!(place.vmms().is_empty());
    };
    let up = "banger-network: up: eth0 has 10.0.2.15, and its way out is 10.0.2.2";
    let tail = "fake guest boots";
    fails("ends-at-once", "", &["the VMM would not start", "because: qemu: the fake was told"]);
    fails("dies no-ssh", "", &["the VMM died while the guest booted", "told to die", tail]);
    fails("panics no-ssh", "", &["kernel panicked", "because: told to", tail]);
    fails("powers-off no-ssh", "", &["shut itself down while it booted", tail]);
    fails("no-ssh", up, &["its network came up, but its sshd did not answer within 1 s", tail]);
    let failed = "banger-network: failed: neither ip nor ifconfig is there";
    fails("no-ssh", failed, &["network did not come up", "because: neither ip", tail]);
    fails("no-ssh", "", &["reached no init within 1 s", "--timeout 10m", tail]);
    place.mode("silent no-ssh");
    fails("silent no-ssh", "", &["said nothing at all within 4 s"]);

    // What can be reached, and reaches nothing itself, is there all the same.
    place.mode("");
    place.console("banger-network: no way out: eth0 has 10.0.2.15, and no route by 10.0.2.2");
    let output = place.owner.run(["vm", "start", "web"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no way out") && said.contains("no route by 10.0.2.2"), "{said}");
}

#[test]
fn a_guest_that_has_given_up_is_not_waited_for() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.mode("no-ssh");
    for (console, words) in [
        ("[    1.2] Kernel panic - not syncing: Attempted to kill init!", "kernel panicked"),
        ("You are in emergency mode. After logging in, type", "emergency shell"),
        ("ALERT!  UUID=1 does not exist.  Dropping to a shell!", "the root filesystem"),
    ] {
        place.console(console);
        let begun = std::time::Instant::now();
        let said = place.fails(&["vm", "start", "web"]);
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
        assert!(said.contains(words) && said.contains(console), "{said}");
        assert!(place.vmms().is_empty());
    }
}

#[test]
fn a_start_is_broken_off_by_a_stop() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.mode("no-ssh");
    let mut start = place.owner.banger(["vm", "start", "web"]);
    let start = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while place.vmms().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.owner.ok(["vm", "stop", "web"]);
    let output = start.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("broken off"), "{said}");
    assert!(place.vmms().is_empty());
}

#[test]
fn a_start_that_cannot_be_recorded_is_none() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.mode("waits");
    let mut start = place.owner.banger(["vm", "start", "web"]);
    let start = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while place.vmms().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // As on a disk without room: its record cannot be written anew.
    let folder = PathBuf::from(place.vm("web")["directory"].as_str().unwrap());
    let mode = |mode| fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    place.owner.write(&place.programs().join("go"), b"");
    let output = start.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("record") && said.contains("make room"), "{said}");
    assert!(place.vmms().is_empty() && place.state("web") != "running");
    // Nor does a daemon that begins now take it for one that ran.
    place.kill_daemon();
    mode(0o700);
    assert_ne!(place.state("web"), "running");
    place.mode("");
    place.owner.ok(["vm", "start", "web"]);
    assert_eq!(place.state("web"), "running");
}

#[test]
fn a_guest_that_does_not_shut_down_is_killed_at_the_deadline() {
    let Some(place) = Place::with_image() else { return };
    place.mode("deaf");
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "start", "web"]);
    let begun = std::time::Instant::now();
    place.owner.ok(["vm", "stop", "--timeout", "1", "web"]);
    assert!((1..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let vm = place.vm("web");
    assert_eq!(vm["state"], "stopped");
    assert!(vm["state_reason"].as_str().unwrap().contains("killed"), "{vm}");
}

#[test]
fn an_end_that_nobody_asked_for_is_noticed() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "start", "web"]);
    place.kill(place.vmms()[0]);
    place.wait_for("web", "failed");
    assert!(place.vm("web")["running"].is_null());
    place.mode("powers-off");
    place.owner.ok(["vm", "start", "web"]);
    place.wait_for("web", "stopped");
    let reason = place.vm("web")["state_reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("shut itself down"), "{reason}");
}
