//! What a test asked for, what it is told, and the nouns that answers are made of.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use banger_proto::wire::daemon as wire;
use banger_proto::{
    Cpus, Image, Isolation, Mib, Network, Running, Vm, VmId, VmRef, VmState, VmmKind,
};

pub(crate) fn home() -> PathBuf {
    std::env::var_os("HOME").expect("HOME is set").into()
}

/// Whether the scenario holds this word.
pub(crate) fn told(word: &str) -> bool {
    let scenario = fs::read_to_string(home().join("scenario")).unwrap_or_default();
    scenario.lines().any(|line| line == word)
}

/// The port of the guest's sshd, when a test listens in its place.
pub(crate) fn port() -> u32 {
    let port = fs::read_to_string(home().join("port")).unwrap_or_default();
    port.trim().parse().unwrap_or(40_022)
}

pub(crate) fn called(line: &str) {
    let mut calls =
        OpenOptions::new().create(true).append(true).open(home().join("calls")).unwrap();
    calls.write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub(crate) fn vm(name: &str) -> Vm {
    Vm {
        id: VmId::random(),
        name: name.parse().unwrap(),
        image: "debian".parse().unwrap(),
        state: VmState::Running,
        state_reason: String::new(),
        isolation: Isolation::Rootless,
        vmm: VmmKind::Qemu,
        cpus: Cpus::new(2).unwrap(),
        memory: Mib::new(1024).unwrap(),
        disk: Mib::new(8192).unwrap(),
        created_at: 0,
        ephemeral: false,
        expires_at: None,
        network: Network::User,
        publish: vec!["8080:80".parse().unwrap()],
        shares: vec!["/home/ann/src:/src:ro".parse().unwrap()],
        running: Some(Running {
            started_at: 0,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            vmm_pid: 1,
            ssh: Some("127.0.0.1:40022".parse().unwrap()),
            ports: vec!["8080:80".parse().unwrap(), "0.0.0.0:53:53/udp".parse().unwrap()],
            address: Some([10, 0, 2, 15].into()),
            accelerator: "tcg".into(),
            network: "passt".into(),
            tap: String::new(),
            confinement: Vec::new(),
            missing_walls: Vec::new(),
            lost_shares: Vec::new(),
        }),
        directory: "/nowhere".into(),
        allocated_bytes: 0,
    }
}

pub(crate) fn image(name: &str) -> Image {
    Image {
        name: name.parse().unwrap(),
        id: "1".into(),
        created_at: 0,
        rootfs_size: Mib::new(1024).unwrap(),
        allocated_bytes: 640 << 20,
        kernel_release: "6.1".into(),
        has_initrd: true,
        work_seed_size: None,
        source: "tar".into(),
        directory: "/nowhere".into(),
        used_by: vec!["web".parse().unwrap()],
    }
}

/// The name that a reference has here: ids are not kept.
pub(crate) fn name(vm: Option<wire::VmRef>) -> String {
    match vm.unwrap().name_or_id.parse().unwrap() {
        VmRef::Name(name) => name.to_string(),
        VmRef::Id(_) => "calm-otter".into(),
    }
}
