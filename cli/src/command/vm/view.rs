//! How a VM is shown: rows, fields, JSON.

use banger_proto::{BrokenVm, PortForward, Protocol, Running, Share, Vm, VmState};
use serde::Serialize;

use super::port;
use crate::terminal::{age, bytes, fields, left, moment, table};

/// A VM as JSON. Names and units are a promise to scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Vm"))]
pub(crate) struct Json<'a> {
    id: String,
    name: &'a str,
    image: &'a str,
    state: &'static str,
    state_reason: &'a str,
    isolation: &'static str,
    vmm: &'static str,
    cpus: u8,
    memory_mib: u64,
    disk_mib: u64,
    /// Seconds since the epoch.
    created_at: i64,
    ephemeral: bool,
    /// Seconds since the epoch at which it is removed; `null`: never.
    expires_at: Option<i64>,
    network: &'static str,
    /// What is to be published, as `--publish` takes it.
    publish: Vec<String>,
    /// Folders of this computer that the guest has.
    shares: Vec<JsonShare<'a>>,
    directory: String,
    allocated_bytes: u64,
    /// `null` while it does not run.
    running: Option<JsonRunning<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Share"))]
struct JsonShare<'a> {
    /// Folder of this computer, without symlinks.
    directory: &'a str,
    /// Where the guest has it.
    path: &'a str,
    read_only: bool,
    /// `null` while the VM does not run; `false` when the folder's file server has ended before
    /// the VM, and what the guest does there hangs.
    served: Option<bool>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Running"))]
struct JsonRunning<'a> {
    /// Seconds since the epoch.
    started_at: i64,
    /// What it runs with; the VM's own are from the next start on.
    cpus: u8,
    memory_mib: u64,
    vmm_pid: u32,
    /// Where this computer reaches the guest's sshd; `null` without a network, as the address.
    ssh_host: Option<String>,
    ssh_port: Option<u16>,
    address: Option<String>,
    ports: Vec<port::Json>,
    accelerator: &'a str,
    network: &'a str,
    /// The network interface of this computer that leads to the guest; `null` where it has none.
    tap: Option<&'a str>,
    confinement: &'a [String],
    missing_walls: &'a [String],
}

impl<'a> From<&'a Vm> for Json<'a> {
    fn from(vm: &'a Vm) -> Self {
        Self {
            id: vm.id.to_string(),
            name: vm.name.as_str(),
            image: vm.image.as_str(),
            state: vm.state.as_str(),
            state_reason: &vm.state_reason,
            isolation: vm.isolation.as_str(),
            vmm: vm.vmm.as_str(),
            cpus: vm.cpus.get(),
            memory_mib: vm.memory.get(),
            disk_mib: vm.disk.get(),
            created_at: vm.created_at,
            ephemeral: vm.ephemeral,
            expires_at: vm.expires_at,
            network: vm.network.as_str(),
            publish: vm.publish.iter().map(ToString::to_string).collect(),
            shares: vm.shares.iter().map(|share| JsonShare::of(share, vm)).collect(),
            directory: vm.directory.to_string_lossy().into_owned(),
            allocated_bytes: vm.allocated_bytes,
            running: vm.running.as_ref().map(JsonRunning::from),
        }
    }
}

impl<'a> JsonShare<'a> {
    fn of(share: &'a Share, vm: &Vm) -> Self {
        Self {
            directory: &share.directory,
            path: &share.path,
            read_only: share.read_only,
            served: vm.running.as_ref().map(|running| !running.lost_shares.contains(share)),
        }
    }
}

impl<'a> From<&'a Running> for JsonRunning<'a> {
    fn from(running: &'a Running) -> Self {
        Self {
            started_at: running.started_at,
            cpus: running.cpus.get(),
            memory_mib: running.memory.get(),
            vmm_pid: running.vmm_pid,
            ssh_host: running.ssh.map(|ssh| ssh.ip().to_string()),
            ssh_port: running.ssh.map(|ssh| ssh.port()),
            address: running.address.map(|address| address.to_string()),
            ports: running.ports.iter().map(port::Json::from).collect(),
            accelerator: &running.accelerator,
            network: &running.network,
            tap: Some(running.tap.as_str()).filter(|tap| !tap.is_empty()),
            confinement: &running.confinement,
            missing_walls: &running.missing_walls,
        }
    }
}

/// One row a VM, those that cannot be used last.
pub(super) fn rows(vms: &[Vm], broken: &[BrokenVm]) -> String {
    let limited = vms.iter().any(|vm| vm.expires_at.is_some());
    let rows = vms
        .iter()
        .map(|vm| {
            let since = match (&vm.running, vm.state) {
                (Some(running), VmState::Running) => {
                    let lost = if running.lost_shares.is_empty() { "" } else { ", share lost" };
                    format!("running {}{lost}", age(running.started_at))
                }
                (_, state) => state.to_string(),
            };
            let mut row = vec![
                vm.name.to_string(),
                since,
                vm.image.to_string(),
                vm.cpus.to_string(),
                vm.memory.to_string(),
                ports(vm),
                age(vm.created_at),
            ];
            if limited {
                row.push(vm.expires_at.map(left).unwrap_or_default());
            }
            row
        })
        .chain(broken.iter().map(|vm| {
            let unknown = || "-".to_owned();
            let [image, cpus, memory, ports, age] = [(); 5].map(|()| unknown());
            vec![vm.label(), "broken".to_owned(), image, cpus, memory, ports, age]
        }))
        .collect();
    let mut heading = vec!["NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "PORTS", "AGE"];
    heading.extend(limited.then_some("TTL"));
    table(&heading, rows)
}

/// `8080->80`, with all that is not the usual: another address, UDP.
fn ports(vm: &Vm) -> String {
    let short = |port: &PortForward| {
        let address = match port.address.is_loopback() {
            true => String::new(),
            false => format!("{}:", port.address),
        };
        let protocol = if port.protocol == Protocol::Udp { "/udp" } else { "" };
        format!("{address}{}->{}{protocol}", port.host.unwrap_or(0), port.guest)
    };
    let bound = vm.running.iter().flat_map(|running| &running.ports);
    bound.map(short).collect::<Vec<_>>().join(" ")
}

/// Every field of one VM.
pub(super) fn details(vm: &Vm) -> String {
    let running = vm.running.as_ref();
    let text = |value: fn(&Running) -> String| running.map(value).unwrap_or_default();
    let mut rows = vec![
        ("name", vm.name.to_string()),
        ("id", vm.id.to_string()),
        ("state", vm.state.to_string()),
        ("reason", vm.state_reason.clone()),
        ("image", vm.image.to_string()),
        ("isolation", vm.isolation.to_string()),
        ("cpus", now_and_next(running.map(|r| &r.cpus), &vm.cpus)),
        ("memory", now_and_next(running.map(|r| &r.memory), &vm.memory)),
        ("disk", vm.disk.to_string()),
        ("created", moment(vm.created_at)),
        ("started", text(|r| moment(r.started_at))),
        ("accelerator", text(|r| r.accelerator.clone())),
        ("network", running.map_or_else(|| vm.network.to_string(), |r| r.network.clone())),
        ("tap", text(|r| r.tap.clone())),
        ("address", text(|r| r.address.map(|address| address.to_string()).unwrap_or_default())),
        (
            "ssh",
            text(|r| {
                r.ssh.map(|ssh| format!("{} port {}", ssh.ip(), ssh.port())).unwrap_or_default()
            }),
        ),
        (
            "vmm",
            running.map_or_else(
                || vm.vmm.to_string(),
                |running| format!("{}, process {}", vm.vmm, running.vmm_pid),
            ),
        ),
        ("files", vm.directory.display().to_string()),
        ("on host", bytes(vm.allocated_bytes)),
        ("kept", kept(vm)),
    ];
    match running {
        Some(running) => {
            rows.extend(running.ports.iter().map(|port| ("published", port.arrow())));
        }
        None => rows.extend(vm.publish.iter().map(|port| ("publishes", port.to_string()))),
    }
    rows.extend(vm.shares.iter().map(|share| ("shares", shared(share, vm))));
    if let Some(running) = running {
        rows.extend(running.confinement.iter().map(|wall| ("confined", wall.clone())));
        rows.extend(running.missing_walls.iter().map(|wall| ("no wall", wall.clone())));
    }
    fields(&rows)
}

/// A folder that the guest has, or would have.
fn shared(share: &Share, vm: &Vm) -> String {
    let lost = vm.running.as_ref().is_some_and(|running| running.lost_shares.contains(share));
    match lost {
        true => format!(
            "{}: its file server has ended, and what the guest does there hangs; \
             try: banger restart {}",
            share.arrow(),
            vm.name
        ),
        false => share.arrow(),
    }
}

/// What it has, and what it has from its next start on where that is something else.
fn now_and_next<T: PartialEq + std::fmt::Display>(now: Option<&T>, next: &T) -> String {
    match now {
        Some(now) if now != next => format!("{now}, and {next} from the next start on"),
        _ => next.to_string(),
    }
}

fn kept(vm: &Vm) -> String {
    match (vm.ephemeral, vm.expires_at) {
        (true, _) => "no: it goes with its command".into(),
        (false, None) => "yes".into(),
        (false, Some(moment)) => format!("for {} more", left(moment)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use banger_proto::{Cpus, Isolation, Mib, Network, VmmKind};

    use super::*;

    pub(in super::super) fn vm() -> Vm {
        Vm {
            id: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap(),
            name: "web".parse().unwrap(),
            image: "debian".parse().unwrap(),
            state: VmState::Running,
            state_reason: String::new(),
            isolation: Isolation::Rootless,
            vmm: VmmKind::Qemu,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            disk: Mib::new(8192).unwrap(),
            created_at: 1_795_219_512,
            ephemeral: false,
            expires_at: None,
            network: Network::User,
            publish: vec!["8080:80".parse().unwrap(), "0.0.0.0:53:53/udp".parse().unwrap()],
            shares: vec![
                "/home/ann/src:/src".parse().unwrap(),
                "/srv/data:/mnt/data:ro".parse().unwrap(),
            ],
            running: Some(Running {
                started_at: 1_795_219_520,
                cpus: Cpus::new(2).unwrap(),
                memory: Mib::new(512).unwrap(),
                vmm_pid: 4711,
                ssh: Some("127.0.0.1:40022".parse().unwrap()),
                ports: vec!["8080:80".parse().unwrap(), "0.0.0.0:53:53/udp".parse().unwrap()],
                address: Some(std::net::Ipv4Addr::new(10, 0, 2, 15)),
                accelerator: "tcg".into(),
                network: "passt".into(),
                tap: String::new(),
                confinement: vec!["seccomp".into(), "bubblewrap".into()],
                missing_walls: vec!["no further user namespaces".into()],
                lost_shares: vec!["/srv/data:/mnt/data:ro".parse().unwrap()],
            }),
            directory: "/home/ann/.local/state/banger/vms/web".into(),
            allocated_bytes: 300 << 20,
        }
    }

    #[test]
    fn a_running_vm_in_full() {
        insta::assert_snapshot!(details(&vm()));
    }

    #[test]
    fn a_stopped_vm_and_a_broken_one_as_rows() {
        let stopped = Vm { running: None, state: VmState::Stopped, ..vm() };
        let broken = BrokenVm {
            id: vm().id,
            name: Some("old".parse().unwrap()),
            reason: "of a newer version".into(),
            directory: "/d".into(),
            allocated_bytes: 4096,
        };
        let shown = rows(&[stopped], &[broken]).replace(&age(vm().created_at), "3 hours");
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_row_says_what_is_published_and_when_it_goes() {
        assert_eq!(ports(&vm()), "8080->80 0.0.0.0:53->53/udp");
        assert!(!rows(&[vm()], &[]).contains("TTL"));
        let limited = Vm { expires_at: Some(0), ..vm() };
        let shown = rows(&[vm(), limited], &[]);
        assert!(shown.lines().next().unwrap().ends_with("TTL"), "{shown}");
        assert!(shown.trim_end().ends_with("0 s"), "{shown}");
    }

    #[test]
    fn json_for_scripts() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Json::from(&vm())).unwrap());
    }
}
