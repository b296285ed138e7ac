//! Which walls stand around a VMM that runs, and which do not: read from the process, and
//! where nobody outside can see a wall, from what the process said before it was the VMM.

use std::fs;

use banger_proto::{Share, VmmKind};

use super::firecracker;
use super::landlocked::Report;
use super::walls::Walls;
use crate::net::Backend;
use crate::share::Serving;

/// Namespaces by their file in `/proc/PID/ns` and their name for people.
const NAMESPACES: &[(&str, &str)] = &[
    ("user", "user"),
    ("mnt", "mount"),
    ("pid", "pid"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("net", "net"),
];

/// The walls around a VMM, each in one line for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Those that hold.
    pub(super) walls: Vec<String>,
    /// Those that do not, and why.
    pub(super) missing: Vec<String>,
}

/// What can be seen of a process from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// Namespaces that are not ours.
    own: Vec<&'static str>,
    seccomp: bool,
    /// How many filters of seccomp's there are, one upon the other.
    filters: u32,
    no_new_privs: bool,
    no_capabilities: bool,
}

fn see(pid: u32) -> Seen {
    let differs = |file: &str| {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{file}"));
        let ours = fs::read_link(format!("/proc/self/ns/{file}"));
        matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs != ours)
    };
    let own = NAMESPACES.iter().filter(|(file, _)| differs(file)).map(|(_, name)| *name).collect();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    Seen {
        own,
        seccomp: field("Seccomp") == Some("2"),
        filters: field("Seccomp_filters").and_then(|count| count.parse().ok()).unwrap_or_default(),
        no_new_privs: field("NoNewPrivs") == Some("1"),
        no_capabilities: field("CapEff").is_some_and(|caps| caps.bytes().all(|b| b == b'0')),
    }
}

/// How a VMM was started, as far as it bears on its walls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started<'a> {
    /// What this host has.
    pub(super) walls: &'a Walls,
    /// What was said by the process that became the VMM, where Landlock is around it.
    pub(super) landlock: Option<Report>,
    /// Which program it is.
    pub(super) kind: VmmKind,
    /// What carries the guest's network.
    pub(super) network: Backend,
    /// The network's process.
    pub(super) network_process: Option<u32>,
    /// The file servers of its shared folders.
    pub(super) shares: &'a [Serving],
}

/// Looks at the VMM `pid` and at what runs for it.
pub(super) fn observe(pid: u32, started: Started<'_>) -> Standing {
    let mut standing = tell(&see(pid), started, started.network_process.map(see).as_ref());
    for one in started.shares {
        standing.tell_server(&see(one.server.pid), &one.share);
    }
    standing
}

impl Standing {
    fn holds(&mut self, wall: impl Into<String>) {
        self.walls.push(wall.into());
    }

    fn lacks(&mut self, wall: impl Into<String>) {
        self.missing.push(wall.into());
    }

    /// What stands around the file server of a folder.
    fn tell_server(&mut self, seen: &Seen, share: &Share) {
        let Share { directory, read_only, .. } = share;
        let what = format!("file server of {directory}");
        if seen.own.contains(&"mount") {
            let how = if *read_only { ", read-only" } else { "" };
            self.holds(format!("{what}: no files but that folder{how}"));
        } else {
            self.lacks(format!("{what}: it may open whatever you may"));
        }
        self.either(
            !seen.own.is_empty(),
            &format!("{what}: own {} namespaces", seen.own.join(", ")),
        );
        self.either(seen.seccomp, &format!("{what}: its own seccomp sandbox"));
        self.either(seen.no_new_privs, &format!("{what}: no_new_privs"));
    }

    fn either(&mut self, stands: bool, wall: &str) {
        if stands { self.holds(wall) } else { self.lacks(wall) }
    }
}

fn tell(vmm: &Seen, started: Started<'_>, network: Option<&Seen>) -> Standing {
    let Started { walls, landlock, network: backend, .. } = started;
    let mut standing = Standing::default();
    let own = |name: &str| vmm.own.contains(&name);
    if vmm.own.is_empty() {
        let why = walls.reason().unwrap_or("it did not make them");
        standing.lacks(format!("namespaces of its own: {why}"));
    } else {
        standing.holds(format!("bubblewrap: own {} namespaces", vmm.own.join(", ")));
    }
    if own("mount") {
        standing.holds("files: /usr read-only, the VM's own disks, kernel and console");
    } else if landlock.is_some() {
        standing.holds("landlock: no files but /usr, the VM's own disks, kernel and console");
    } else {
        standing.lacks("files: the VMM may open whatever you may");
    }
    let abi = landlock.map_or(0, |report| report.abi);
    if !own("pid") {
        match landlock {
            Some(_) if abi >= 6 => {
                standing.holds("landlock: no other process is traced or signalled");
            }
            Some(_) => {
                standing.holds("landlock: no other process is traced");
                standing.lacks("signals reach your other processes: Linux 6.12 has that wall");
            }
            None => standing.lacks("your other processes can be seen and traced"),
        }
    }
    if own("net") {
        standing.holds("network: none of this host's interfaces, nor its abstract sockets");
    } else {
        if landlock.is_some_and(|report| report.no_tcp) {
            standing.holds("landlock: no TCP");
        }
        if abi < 6 {
            standing.lacks("abstract sockets of this host can be reached");
        }
    }
    if !own("mount") && abi < 9 {
        standing.lacks("sockets in folders of yours can be reached, bangerd's among them");
    }
    if own("user") && *walls == (Walls::Bubblewrap { sealed: true }) {
        standing.holds("no further user namespaces");
    } else if !vmm.seccomp {
        // QEMU's own filter knows this call too.
        standing.lacks("user namespaces can be made inside: bubblewrap 0.8 forbids that");
    }
    match started.kind {
        VmmKind::Qemu => standing.either(vmm.seccomp, "qemu seccomp sandbox"),
        VmmKind::Firecracker => {
            standing.either(
                vmm.filters >= firecracker::FILTERS,
                "seccomp: no tap but its own, and no sockets but of files",
            );
            let own = vmm.filters > firecracker::FILTERS;
            standing.either(own, "Firecracker's own seccomp filters");
        }
    }
    standing.either(vmm.no_new_privs, "no_new_privs");
    standing.either(vmm.no_capabilities, "no capabilities");
    match (backend, network) {
        (Backend::Passt, Some(passt)) => {
            if !passt.own.is_empty() {
                standing.holds(format!("passt: own {} namespaces", passt.own.join(", ")));
            }
            standing.either(passt.seccomp, "passt: its own seccomp sandbox");
            standing.either(passt.no_capabilities, "passt: no capabilities");
            standing.holds("the guest does not reach this host's loopback interface (passt)");
        }
        (Backend::Passt, None) | (Backend::None, _) => {}
        (Backend::Bridge, _) => {
            standing.holds("the guest reaches no service of this host's (the root helper's rules)");
        }
        (Backend::Slirp, _) => standing.lacks(
            "the guest reaches services on this host's loopback interface, as 10.0.2.2: install passt",
        ),
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(walls: &Walls, network: Backend) -> Started<'_> {
        Started {
            walls,
            landlock: None,
            kind: VmmKind::Qemu,
            network,
            network_process: None,
            shares: &[],
        }
    }

    fn text(standing: &Standing) -> String {
        let walls = standing.walls.iter().map(|wall| format!("+ {wall}\n"));
        let missing = standing.missing.iter().map(|wall| format!("- {wall}\n"));
        walls.chain(missing).collect()
    }

    #[test]
    fn all_walls() {
        let own = NAMESPACES.iter().map(|(_, name)| *name).collect();
        let vmm =
            Seen { own, seccomp: true, filters: 1, no_new_privs: true, no_capabilities: true };
        let walls = Walls::Bubblewrap { sealed: true };
        let standing = tell(&vmm, started(&walls, Backend::Passt), Some(&vmm));
        assert_eq!(standing.missing, [""; 0]);
        insta::assert_snapshot!(text(&standing));
        let slirp = Seen { own: vec!["user", "mount", "pid"], ..vmm };
        insta::assert_snapshot!(
            "with_slirp",
            text(&tell(&slirp, started(&walls, Backend::Slirp), None))
        );
    }

    #[test]
    fn landlock_alone() {
        let vmm = Seen {
            own: vec![],
            seccomp: true,
            filters: 1,
            no_new_privs: true,
            no_capabilities: true,
        };
        let walls = Walls::Landlock("bubblewrap is not there".into());
        let mut how = started(&walls, Backend::Passt);
        how.landlock = Some(Report { abi: 7, no_tcp: true });
        insta::assert_snapshot!("landlock_alone", text(&tell(&vmm, how, Some(&vmm))));
        how.landlock = Some(Report { abi: 1, no_tcp: false });
        let old = tell(&vmm, how, Some(&vmm));
        assert!(old.missing.iter().any(|wall| wall.contains("signals")), "{old:?}");
        assert!(old.missing.iter().any(|wall| wall.contains("abstract")), "{old:?}");
    }

    #[test]
    fn the_file_servers_are_looked_at_too() {
        let own = NAMESPACES.iter().map(|(_, name)| *name).collect();
        let seen =
            Seen { own, seccomp: true, filters: 1, no_new_privs: true, no_capabilities: false };
        let mut standing = Standing::default();
        standing.tell_server(&seen, &"/home/ann/src:/src:ro".parse().unwrap());
        assert_eq!(standing.missing, [""; 0]);
        standing.tell_server(&Seen::default(), &"/srv:/srv".parse().unwrap());
        insta::assert_snapshot!(text(&standing));
    }

    #[test]
    fn a_process_of_ours_has_none_and_that_is_said() {
        let walls = Walls::Bare("nothing works here".into());
        let standing = observe(std::process::id(), started(&walls, Backend::None));
        assert!(!standing.walls.iter().any(|wall| wall.contains("namespaces")), "{standing:?}");
        let missing = standing.missing.join("\n");
        assert!(missing.contains("nothing works here"), "{missing}");
        assert!(missing.contains("may open whatever you may"), "{missing}");
    }
}
