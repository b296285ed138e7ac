//! A VM's life: stop and start keep its data, kills lose nothing that was safe.

use std::process::Command;

use banger_tests::owner::Owner;
use banger_tests::{fsck, skip};

use crate::image::{self, Image};

/// A field of `vm inspect --json`, by its JSON pointer.
fn inspect(owner: &Owner, vm: &str, field: &str) -> serde_json::Value {
    let text = owner.ok(["vm", "inspect", "--json", vm]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("inspect prints JSON");
    value.pointer(field).unwrap_or_else(|| panic!("no {field} in {text}")).clone()
}

fn pid(owner: &Owner, vm: &str) -> String {
    inspect(owner, vm, "/running/vmm_pid").to_string()
}

#[test]
fn a_vm_whose_vmm_was_killed_while_writing_starts_again_with_its_data() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    owner.ok(["vm", "create", "--name", "crash"]);
    owner.ok(["vm", "start", "crash"]);
    owner.ok([
        "vm",
        "exec",
        "crash",
        "--",
        "sh",
        "-c",
        "echo safe >/root/safe; echo kept >/etc/kept; sync",
    ]);
    // Writers in both filesystems that never stop by themselves.
    let writer = "for d in /root /var/tmp; do (i=0; while :; do i=$((i+1)); \
        dd if=/dev/urandom of=$d/w$((i % 40)) bs=64k count=8 status=none; [ $((i % 5)) = 0 ] && sync; \
        rm -f $d/w$(((i + 20) % 40)); done) >/dev/null 2>&1 & done";
    owner.ok(["vm", "exec", "crash", "--", "sh", "-c", writer]);
    std::thread::sleep(std::time::Duration::from_secs(4));
    let killed = Command::new("kill").args(["-9", &pid(&owner, "crash")]).status().unwrap();
    assert!(killed.success());
    image::wait_for("the death to be noticed", || inspect(&owner, "crash", "/state") == "failed");

    owner.ok(["vm", "start", "crash"]);
    assert_eq!(
        owner.ok(["vm", "exec", "crash", "--", "cat", "/root/safe", "/etc/kept"]),
        "safe\nkept\n"
    );
    owner.ok(["vm", "stop", "crash"]);
    let folder = inspect(&owner, "crash", "/directory");
    let folder = std::path::Path::new(folder.as_str().unwrap());
    for disk in ["rootfs.ext4", "work.ext4"] {
        fsck::assert_clean(&folder.join(disk));
    }
    owner.ok(["vm", "rm", "crash"]);
}

#[test]
fn a_daemon_that_is_killed_finds_its_vms_again() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    owner.ok(["vm", "create", "--name", "on"]);
    owner.ok(["vm", "start", "on"]);
    let vmm = pid(&owner, "on");
    let daemon = Command::new("pgrep")
        .args(["-f", &format!("{}/bin/bangerd", owner.home().display())])
        .output()
        .unwrap();
    for daemon in String::from_utf8(daemon.stdout).unwrap().split_whitespace() {
        Command::new("kill").args(["-9", daemon]).status().unwrap();
        let process = std::path::Path::new("/proc").join(daemon);
        image::wait_for("the daemon to be gone", || !process.join("exe").exists());
    }
    // The next command starts a daemon, which finds the same VMM.
    assert_eq!(owner.ok(["vm", "exec", "on", "--", "hostname"]), "on\n");
    assert_eq!(pid(&owner, "on"), vmm);
    owner.ok(["vm", "stop", "on"]);
    assert_eq!(inspect(&owner, "on", "/state"), "stopped");
    owner.ok(["vm", "start", "on"]);
    owner.ok(["vm", "rm", "--force", "on"]);
    assert_eq!(owner.ok(["vm", "ls", "--json"]).trim(), "[]");
}

#[test]
fn the_guest_cannot_reach_what_listens_on_the_hosts_loopback() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    owner.ok(["vm", "create", "--name", "walled"]);
    owner.ok(["vm", "start", "walled"]);
    let network = inspect(&owner, "walled", "/running/network");
    if network != "passt" {
        skip(&format!("the network is {network}, which says at start what a guest can reach"));
        return;
    }
    let tried = format!("timeout 5 bash -c '</dev/tcp/10.0.2.2/{port}'");
    let output = owner.run(["vm", "exec", "walled", "--", "bash", "-c", &tried]);
    assert!(!output.status.success(), "the guest reached port {port} of the host");
    owner.ok(["vm", "rm", "--force", "walled"]);
}
