//! Users of the system who have VMs.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::login::user;
use crate::sh;

/// A user with a VMM that is a fake, and neither walls nor passt, which it does not need.
pub fn with_fake(name: &str) {
    user(name);
    sh(&format!(
        "cd ~{name}; mkdir -p vmm .config/banger; cp /payload/vmm/* vmm; touch vmm/mode; \
         for absent in bwrap passt; do printf '#!/bin/sh\\nexit 1\\n' >vmm/$absent; done; \
         chmod 755 vmm/*; echo ~{name}/vmm >.config/banger/programs; chown -R {name}: ."
    ));
}

/// A user with the payload's Firecracker, who may open `/dev/kvm`.
pub fn with_firecracker(name: &str) {
    user(name);
    sh(&format!(
        "gpasswd --add {name} kvm; cd ~{name}; mkdir -p vmm .config/banger; cp /payload/vmm/* vmm; touch vmm/mode; \
         chmod 755 vmm/*; echo ~{name}/vmm >.config/banger/programs; chown -R {name}: ."
    ));
}

/// The payload's images become this user's, who may open `/dev/kvm`.
pub fn with_guests(name: &str) {
    user(name);
    sh(&format!(
        "gpasswd --add {name} kvm; cd ~{name}; umask 077; mkdir -p .local/share/banger/images; \
         chown -R {name}: .; mount /dev/vdc .local/share/banger/images; \
         chown {name}: .local/share/banger/images; chmod 700 .local/share/banger/images"
    ));
}

/// What a user's line of shell prints, errors and notices too.
pub fn by(name: &str, line: &str) -> String {
    sh(&format!("{} 2>&1", as_user(name, line)))
}

/// A line of shell that runs another as this user.
pub fn as_user(name: &str, line: &str) -> String {
    format!(
        "cd ~{name}; setpriv --reuid={name} --regid={name} --init-groups env -i HOME=$PWD USER={name} \
         PATH=/payload/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -euc '{}'",
        line.replace('\'', r"'\''")
    )
}

/// What banger tells of a VM of ann's.
pub fn vm(name: &str) -> Value {
    vm_of("ann", name)
}

/// What banger tells of a VM.
pub fn vm_of(owner: &str, name: &str) -> Value {
    let text = by(owner, &format!("banger inspect --json {name} 2>/dev/null"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until a VM of ann's is in a state.
pub fn wait_for(name: &str, state: &str) {
    let begun = Instant::now();
    while vm(name)["state"] != state {
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} is {}", vm(name)["state"]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until something is so.
pub fn wait_until(what: &str, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Devices and taps of ours, and loops of our range, by name.
pub fn devices() -> String {
    sh(
        "ls /sys/class/net | grep '^bgr' || true; ls /sys/block | while read -r name; do case $name in loop1??????) echo $name;; \
        dm-*) cat /sys/block/$name/dm/name 2>/dev/null || true;; esac; done",
    )
}

/// The helper's overlay files: whose, mode, name.
pub fn overlays() -> String {
    sh("find /var/lib/banger -type f -printf '%U %m %f\\n'")
}

/// Waits until nothing of a VM's is left in the kernel.
pub fn wait_until_nothing_is_there() {
    let begun = Instant::now();
    while !devices().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "still there: {}", devices());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything that VMs are made of, after a moment to go: devices, overlays, taps, processes, folders.
pub fn left_of_vms() -> String {
    let look = || {
        let processes = "pgrep -l 'qemu|passt|bwrap' || true";
        let folders = "find ~ann/.local/state/banger/vms -mindepth 1 | head -5 || true";
        [devices(), overlays(), sh(processes), sh(folders)].join("\n").trim().to_owned()
    };
    let begun = Instant::now();
    loop {
        let left = look();
        if left.is_empty() || begun.elapsed() > Duration::from_secs(20) {
            return left;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
