//! What VMs may take of the host, where the user's systemd gives them cgroups.

use crate::owning::{by, vm, wait_until};
use crate::sh;
use crate::vm::inside;

/// Cgroups of this name, by their folders.
fn groups(name: &str) -> String {
    sh(&format!("find /sys/fs/cgroup -type d -name '{name}'"))
}

fn lines(vm: &serde_json::Value, key: &str) -> String {
    let lines = vm["running"][key].as_array().unwrap_or_else(|| panic!("{vm}")).iter();
    lines.filter_map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_vm_has_a_cgroup_with_its_limits_where_that_does_not_shorten_its_life() {
    inside(|| {
        // systemd would end it with the last session.
        by("ann", "banger create --name web --memory 128M --cpus 2; banger start web");
        let made = vm("web");
        assert!(lines(&made, "missing_walls").contains("loginctl enable-linger"), "{made}");
        let id = made["id"].as_str().unwrap();
        assert_eq!(groups(id), "");
        by("ann", "banger stop web");

        sh("loginctl enable-linger ann");
        let uid = sh("id -u ann");
        let bus = format!("/run/user/{uid}/bus");
        wait_until("ann's systemd has no bus", || std::fs::exists(&bus).unwrap());
        by("ann", "banger start web");
        let made = vm("web");
        let told = lines(&made, "confinement");
        assert!(told.contains("cgroup: at most 1664 MiB of memory, 258 processes"), "{made}");
        assert!(!lines(&made, "missing_walls").contains("cgroup"), "{made}");
        let group = groups(id);
        assert!(group.contains(&format!("user@{uid}.service")), "{group}");
        let read = |file: &str| sh(&format!("cat {group}/{file}"));
        assert_eq!(read("memory.max"), (1664u64 << 20).to_string());
        assert_eq!(read("pids.max"), "258");
        let vmm = sh("pgrep -f qemu-system-x86_64 | head -n 1");
        assert!(read("cgroup.procs").lines().any(|pid| pid == vmm), "{}", read("cgroup.procs"));

        // A bangerd that is killed takes nothing with it, and the next one clears up.
        sh("pkill -KILL -x bangerd");
        by("ann", "banger ls");
        assert!(read("cgroup.procs").lines().any(|pid| pid == vmm));
        by("ann", "banger stop web");
        wait_until("the cgroup stays", || groups(id).is_empty());
        by("ann", "banger start web");
        by("ann", "banger rm --force web");
        wait_until("the cgroup stays", || groups(id).is_empty());
        by("ann", "banger daemon stop");
        wait_until("a scope stays", || groups("banger-*.scope").is_empty());
    });
}
