//! Broken hosts, as facts: what each is told.

use std::path::PathBuf;
use std::time::Duration;

use banger_proto::{Check, CheckState, Distribution, Mib};

use super::super::facts::{
    Builds, Clock, Config, Facts, Filesystem, Image, Kvm, Leftover, Namespaces, Program, Records,
    Shares, Storage, System,
};
use super::super::proof::Proof;
use super::{all, proof};
use crate::config::Problem;
use crate::net::Backend;
use crate::verb::host_memory::Memory;
use crate::vmm::Accelerator;

fn works(path: &str, version: &str) -> Program {
    Program::Works { path: path.into(), version: version.into() }
}

fn broken(path: &str, reason: &str) -> Program {
    Program::Broken { path: path.into(), reason: reason.into() }
}

fn left(words: &str, removable: bool) -> Leftover {
    Leftover { words: words.into(), bytes: 3 << 20, removable }
}

fn filesystem(folder: &str) -> Filesystem {
    Filesystem {
        folder: folder.into(),
        trouble: None,
        free: 100 << 30,
        total: 200 << 30,
        free_inodes: Some(1 << 20),
        kind: "ext4",
    }
}

/// A host on which there is nothing to say.
pub(super) fn healthy() -> Facts {
    Facts {
        system: System {
            distribution: Distribution::of("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"),
            kernel: "6.1.0-25-amd64".into(),
            inside: None,
            open_files: 1024,
        },
        kvm: Kvm::Works,
        qemu: works("/usr/bin/qemu-system-x86_64", "QEMU emulator version 7.2.22"),
        qemu_networks: vec!["user".into(), "stream".into()],
        firecracker: works("/usr/bin/firecracker", "Firecracker v1.16.1"),
        passt: works("/usr/bin/passt", "passt 2025_01_21"),
        bubblewrap: works("/usr/bin/bwrap", "bubblewrap 0.8.0"),
        no_walls: None,
        namespaces: Namespaces::default(),
        landlock: true,
        storage: Storage {
            state: filesystem("/home/ann/.local/state/banger"),
            data: filesystem("/home/ann/.local/share/banger"),
            same: true,
            clones: Some(true),
            growth: 20 << 30,
            disks: 4,
            largest_image: 1 << 30,
        },
        memory: Some(Memory { total: 16_000, available: 9_000, swap: 2_000 }),
        usual_memory: Mib::new(1024).unwrap(),
        clock: Clock { now: 1_000_000, newest: 999_999 },
        config: Config { files: vec!["/etc/banger/10.toml".into()], problems: Vec::new() },
        records: Records { whole: 2, broken: Vec::new() },
        images: vec![Image { name: "debian".into(), missing: Vec::new() }],
        leftovers: Vec::new(),
        builds: Builds {
            mmdebstrap: works("/usr/bin/mmdebstrap", "mmdebstrap 1.3.5"),
            uidmap: true,
            user: "ann".into(),
            ids: true,
        },
        shares: Shares { virtiofsd: works("/usr/lib/qemu/virtiofsd", "virtiofsd version 7.2.22") },
        helper: None,
    }
}

pub(super) fn shown(check: &Check) -> String {
    let Check { group, name, state, found, remedy, .. } = check;
    let mut text = format!("{state:?} {group}/{name}: {found}\n");
    for step in remedy {
        text.push_str(&format!("    {step}\n"));
    }
    text
}

/// What a host is told that differs from a healthy one in this.
pub(super) fn told(spoil: impl Fn(&mut Facts)) -> String {
    let mut facts = healthy();
    spoil(&mut facts);
    let checks = all(&facts);
    for check in &checks {
        let lacks = matches!(check.state, CheckState::Warning | CheckState::Failed);
        assert_eq!(lacks, !check.remedy.is_empty(), "what is wrong has a remedy: {check:?}");
        assert!(!check.why.is_empty() && !check.found.is_empty(), "{check:?}");
        for line in [&check.found, &check.why].into_iter().chain(&check.remedy) {
            assert!(!line.contains('\n'), "{check:?}");
        }
    }
    checks.iter().filter(|check| check.state > CheckState::Skipped).map(shown).collect()
}

#[test]
fn a_healthy_host_is_told_nothing_but_what_was_found() {
    assert_eq!(told(|_| {}), "");
    let all: String = all(&healthy()).iter().map(shown).collect();
    insta::assert_snapshot!(all);
}

/// A name, and what is wrong there.
type Host = (&'static str, fn(&mut Facts));

#[test]
fn every_broken_host_is_told_what_and_how_to_mend_it() {
    let hosts: &[Host] = &[
        ("no KVM, the processor can", |f| {
            f.kvm = Kvm::Absent { virtualization: Some("svm"), nested: false };
        }),
        ("no KVM, in a VM", |f| {
            f.kvm = Kvm::Absent { virtualization: None, nested: true };
        }),
        ("no KVM, switched off", |f| {
            f.kvm = Kvm::Absent { virtualization: None, nested: false };
        }),
        ("KVM of a group", |f| {
            f.kvm = Kvm::Forbidden { group: Some("kvm".into()), joined: false };
        }),
        ("KVM of a group joined since", |f| {
            f.kvm = Kvm::Forbidden { group: Some("kvm".into()), joined: true };
        }),
        ("KVM of root", |f| {
            f.kvm = Kvm::Forbidden { group: Some("root".into()), joined: false };
        }),
        ("KVM opens and does not run", |f| {
            f.kvm = Kvm::Broken("a guest does not run: KVM internal error".into());
        }),
        ("Firecracker that guests get out of", |f| {
            f.firecracker = works("/usr/bin/firecracker", "Firecracker v1.14.2");
        }),
        ("old Firecracker", |f| f.firecracker = works("/opt/firecracker", "Firecracker v1.3.1")),
        ("no Firecracker at all", |f| f.firecracker = works("/opt/firecracker", "jailer 1.2.3")),
        ("broken Firecracker", |f| {
            f.firecracker = broken("/opt/firecracker", "cannot execute binary file");
        }),
        ("no QEMU", |f| f.qemu = Program::Missing),
        ("QEMU does not run", |f| {
            f.qemu = broken("/opt/qemu", "libz.so.1: cannot open");
        }),
        ("old QEMU", |f| f.qemu = works("/usr/bin/q", "QEMU emulator version 6.2.0")),
        ("old QEMU, no passt", |f| {
            f.qemu = works("/usr/bin/q", "QEMU emulator version 6.2.0");
            f.passt = Program::Missing;
        }),
        ("no passt, on Fedora", |f| {
            f.system.distribution = Distribution::of("ID=fedora");
            f.passt = Program::Missing;
        }),
        ("no passt and no slirp", |f| {
            f.passt = Program::Missing;
            f.qemu_networks = vec!["socket".into()];
        }),
        ("no bubblewrap, on Arch", |f| {
            f.system.distribution = Distribution::of("ID=arch");
            f.bubblewrap = Program::Missing;
            f.no_walls = Some("bwrap is not there".into());
        }),
        ("no user namespaces", |f| {
            f.namespaces.most = Some(0);
            f.no_walls = Some("bwrap: No space left on device".into());
        }),
        ("user namespaces of root's", |f| {
            f.namespaces.unprivileged_clone = Some(0);
            f.no_walls = Some("bwrap: No permissions".into());
        }),
        ("AppArmor", |f| {
            f.namespaces.apparmor_restricts = Some(1);
            f.no_walls = Some("bwrap: setting up uid map: Permission denied".into());
        }),
        ("in a container", |f| {
            f.system.inside = Some("docker".into());
            f.no_walls = Some("bwrap: Creating new namespace failed".into());
        }),
        ("no Landlock", |f| f.landlock = false),
        ("hardly any room", |f| f.storage.state.free = 100 << 20),
        ("no room for a copy", |f| {
            f.storage.clones = Some(false);
            f.storage.state.free = 1 << 30;
            f.storage.growth = 0;
        }),
        ("disks may outgrow the host's", |f| f.storage.growth = 300 << 30),
        ("no inodes", |f| f.storage.state.free_inodes = Some(3)),
        ("read-only", |f| {
            f.storage.state.trouble = Some("/home/ann cannot be written to: EROFS".into());
        }),
        ("NFS for images only", |f| {
            f.storage.same = false;
            f.storage.clones = Some(false);
            f.storage.data.kind = "nfs";
        }),
        ("little memory, with swap", |f| {
            f.memory = Some(Memory { total: 2_000, available: 700, swap: 2_000 });
        }),
        ("little memory", |f| {
            f.memory = Some(Memory { total: 2_000, available: 700, swap: 0 });
        }),
        ("the clock jumped back", |f| f.clock.newest += 3 * 86_400),
        ("few descriptors", |f| f.system.open_files = 64),
        ("mistakes in the configuration", |f| {
            let problem = |path: &str, line| Problem {
                path: PathBuf::from(path),
                line,
                text: "unknown key `memroy` in [vm]: did you mean `memory`?".into(),
            };
            f.config.problems =
                vec![problem("/etc/banger/a.toml", None), problem("/h/c.toml", Some(3))];
        }),
        ("a record that cannot be read", |f| {
            f.records.broken = vec!["/s/vms/1/record.json: it is of version 9".into()];
        }),
        ("an image that is not whole", |f| {
            f.images[0].missing = vec!["vmlinuz".into(), "initrd".into()];
        }),
        ("no image", |f| f.images.clear()),
        ("leftovers", |f| {
            f.leftovers =
                vec![left("an unknown thing (/y)", false), left("half-made VM (/x)", true)];
        }),
        ("no file server", |f| f.shares.virtiofsd = Program::Missing),
        ("a file server that does not run", |f| {
            f.shares.virtiofsd = broken("/usr/libexec/virtiofsd", "libcap-ng.so.0: cannot open");
        }),
        ("a file server without ids", |f| {
            f.builds.ids = false;
            f.shares.virtiofsd = broken("/usr/libexec/virtiofsd", "no line in /etc/subuid");
        }),
        ("nothing to build with", |f| {
            f.builds.mmdebstrap = Program::Missing;
            f.builds.uidmap = false;
            f.builds.ids = false;
        }),
    ];
    let mut text = String::new();
    for (name, spoil) in hosts {
        let words = told(spoil);
        assert!(!words.is_empty(), "{name}");
        text.push_str(&format!("== {name}\n{words}"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn without_firecracker_nothing_is_wrong() {
    assert_eq!(told(|facts| facts.firecracker = Program::Missing), "");
}

#[test]
fn what_came_of_the_guest() {
    let ran = Proof::Ran {
        accelerator: Accelerator::Tcg,
        network: Backend::Passt,
        notices: Vec::new(),
        walls: vec!["bubblewrap: own user namespaces".into()],
        took: Duration::from_millis(312),
    };
    let slirp = Proof::Ran {
        accelerator: Accelerator::Kvm,
        network: Backend::Slirp,
        notices: vec!["network by slirp (passt does not work here: x): ...".into()],
        walls: Vec::new(),
        took: Duration::from_secs(1),
    };
    let log = "qemu: could not load PC BIOS".to_owned();
    let failed = Proof::Failed { reason: "the VMM ended at once".into(), log };
    let text: String = [ran, slirp, failed, Proof::Skipped, Proof::Impossible]
        .iter()
        .map(|result| shown(&proof(result, &healthy())))
        .collect();
    insta::assert_snapshot!(text);
}
