//! A VM as people see it, and what makes a new one.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use crate::{
    Cpus, ImageName, Invalid, Isolation, Lifetime, Mib, Network, PortForward, Share, VmId, VmName,
    VmState, VmmChoice, VmmKind, wire::daemon as wire,
};

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// Its identity.
    pub id: VmId,
    /// Its name, which is the guest's host name.
    pub name: VmName,
    /// The image it was made from.
    pub image: ImageName,
    /// Where it is in its life.
    pub state: VmState,
    /// Why it is there, when that is not plain; empty otherwise.
    pub state_reason: String,
    /// How it runs.
    pub isolation: Isolation,
    /// What runs it.
    pub vmm: VmmKind,
    /// Virtual processors.
    pub cpus: Cpus,
    /// Memory.
    pub memory: Mib,
    /// Size of the work disk.
    pub disk: Mib,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Whether it is removed with the command that holds it.
    pub ephemeral: bool,
    /// When it is removed whatever it does, in seconds since the epoch.
    pub expires_at: Option<i64>,
    /// Which network it has.
    pub network: Network,
    /// What is to be published.
    pub publish: Vec<PortForward>,
    /// Folders of the host that the guest has.
    pub shares: Vec<Share>,
    /// What is only known while the VMM runs.
    pub running: Option<Running>,
    /// Folder on the host with its files.
    pub directory: PathBuf,
    /// Bytes that its disks take on the host.
    pub allocated_bytes: u64,
}

/// What is known of a VM while its VMM runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Seconds since the epoch.
    pub started_at: i64,
    /// Virtual processors that it runs with.
    pub cpus: Cpus,
    /// Memory that it runs with.
    pub memory: Mib,
    /// Process id of the VMM.
    pub vmm_pid: u32,
    /// Where this host reaches the guest's sshd; nowhere without a network.
    pub ssh: Option<SocketAddrV4>,
    /// What is published, each with its port of the host.
    pub ports: Vec<PortForward>,
    /// The guest's address; none without a network.
    pub address: Option<Ipv4Addr>,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `passt`, `slirp`, `bridge` or `none`.
    pub network: String,
    /// Its tap on this host; empty where it has none.
    pub tap: String,
    /// The walls around the VMM, a line each.
    pub confinement: Vec<String>,
    /// The walls that are missing, and why, a line each.
    pub missing_walls: Vec<String>,
    /// The shares whose file server has ended: what the guest does there hangs.
    pub lost_shares: Vec<Share>,
}

/// What a new VM is to be; what is absent is the daemon's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVm {
    /// Its name.
    pub name: Option<VmName>,
    /// The image; the only one there is when absent.
    pub image: Option<ImageName>,
    /// Virtual processors.
    pub cpus: Option<Cpus>,
    /// Memory.
    pub memory: Option<Mib>,
    /// Size of the work disk.
    pub disk: Option<Mib>,
    /// Removed with the command that holds it.
    pub ephemeral: bool,
    /// Also with more memory than the host has.
    pub force: bool,
    /// When it is removed whatever it does, counted from now.
    pub lifetime: Option<Lifetime>,
    /// Which network it has.
    pub network: Option<Network>,
    /// What is to be published.
    pub publish: Vec<PortForward>,
    /// Folders of the host that the guest is to have.
    pub shares: Vec<Share>,
    /// Which way it runs in.
    pub isolation: Option<Isolation>,
    /// What is to run it.
    pub vmm: Option<VmmChoice>,
}

/// How a VM is to be started; what is absent is the daemon's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// How long the guest may take until its sshd answers.
    pub timeout: Option<Duration>,
    /// Also where the host has not the memory, or not the disk, that it seems to need.
    pub force: bool,
}

impl From<&wire::StartVmRequest> for StartOptions {
    fn from(wire: &wire::StartVmRequest) -> Self {
        Self {
            timeout: wire.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            force: wire.force,
        }
    }
}

impl StartOptions {
    /// The request to start `vm` so.
    #[must_use]
    pub fn request(self, vm: wire::VmRef) -> wire::StartVmRequest {
        let timeout_ms = self.timeout.map(|t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX));
        wire::StartVmRequest { vm: Some(vm), timeout_ms, force: self.force }
    }
}

fn shares(wire: Vec<wire::Share>) -> Result<Vec<Share>, Invalid> {
    wire.into_iter().map(Share::try_from).collect()
}

fn forwards(wire: Vec<wire::PortForward>) -> Result<Vec<PortForward>, Invalid> {
    wire.into_iter().map(PortForward::try_from).collect()
}

impl TryFrom<wire::CreateVmRequest> for NewVm {
    type Error = Invalid;

    fn try_from(wire: wire::CreateVmRequest) -> Result<Self, Invalid> {
        let mib = |value| (value != 0).then(|| Mib::new(value)).transpose();
        let network = match wire.network() {
            wire::Network::Unspecified => None,
            network => Some(network.try_into()?),
        };
        let isolation = match wire.isolation() {
            wire::Isolation::Unspecified => None,
            isolation => Some(isolation.try_into()?),
        };
        let vmm = match wire.vmm() {
            wire::VmmChoice::Unspecified => None,
            vmm => Some(vmm.try_into()?),
        };
        let publish = forwards(wire.publish)?;
        PortForward::check(&publish)?;
        if let (Some(Network::None), Some(first)) = (network, publish.first()) {
            return Err(Invalid::new(
                "published port",
                &first.to_string(),
                "a VM without a network publishes none",
            ));
        }
        let shares = shares(wire.shares)?;
        Share::check(&shares)?;
        Ok(Self {
            isolation,
            vmm,
            network,
            publish,
            shares,
            name: (!wire.name.is_empty()).then(|| wire.name.parse()).transpose()?,
            image: (!wire.image.is_empty()).then(|| wire.image.parse()).transpose()?,
            cpus: (wire.cpus != 0).then(|| Cpus::new(wire.cpus)).transpose()?,
            memory: mib(wire.memory_mib)?,
            disk: mib(wire.disk_mib)?,
            ephemeral: wire.ephemeral,
            force: wire.force,
            lifetime: wire.ttl_s.map(Lifetime::from_seconds).transpose()?,
        })
    }
}

impl From<NewVm> for wire::CreateVmRequest {
    fn from(new: NewVm) -> Self {
        Self {
            name: new.name.map(|name| name.to_string()).unwrap_or_default(),
            image: new.image.map(|image| image.to_string()).unwrap_or_default(),
            cpus: new.cpus.map_or(0, |cpus| cpus.get().into()),
            memory_mib: new.memory.map_or(0, Mib::get),
            disk_mib: new.disk.map_or(0, Mib::get),
            ephemeral: new.ephemeral,
            force: new.force,
            ttl_s: new.lifetime.map(Lifetime::seconds),
            network: new.network.map_or(0, |network| wire::Network::from(network).into()),
            publish: new.publish.into_iter().map(Into::into).collect(),
            shares: new.shares.into_iter().map(Into::into).collect(),
            isolation: new.isolation.map_or(0, |isolation| wire::Isolation::from(isolation).into()),
            vmm: new.vmm.map_or(0, |vmm| wire::VmmChoice::from(vmm).into()),
        }
    }
}

impl TryFrom<wire::Vm> for Vm {
    type Error = Invalid;

    fn try_from(wire: wire::Vm) -> Result<Self, Invalid> {
        let port = |port: u32| {
            u16::try_from(port)
                .map_err(|_| Invalid::new("port", &port.to_string(), "use at most 65535"))
        };
        let address = |text: &str| {
            text.parse::<Ipv4Addr>()
                .map_err(|_| Invalid::new("address", text, "use an IPv4 address"))
        };
        let running = (wire.vmm_pid != 0)
            .then(|| {
                Ok(Running {
                    started_at: wire.started_at,
                    cpus: Cpus::new(wire.running_cpus)?,
                    memory: Mib::new(wire.running_memory_mib)?,
                    vmm_pid: wire.vmm_pid,
                    ssh: match port(wire.ssh_port)? {
                        0 => None,
                        port => Some(SocketAddrV4::new(address(&wire.ssh_host)?, port)),
                    },
                    ports: forwards(wire.ports.clone())?,
                    address: (!wire.guest_address.is_empty())
                        .then(|| address(&wire.guest_address))
                        .transpose()?,
                    accelerator: wire.accelerator.clone(),
                    network: wire.network.clone(),
                    tap: wire.tap.clone(),
                    confinement: wire.confinement.clone(),
                    missing_walls: wire.missing_walls.clone(),
                    lost_shares: shares(wire.lost_shares.clone())?,
                })
            })
            .transpose()?;
        Ok(Self {
            id: wire.id.parse()?,
            name: wire.name.parse()?,
            image: wire.image.parse()?,
            state: wire.state().try_into()?,
            isolation: wire.isolation().try_into()?,
            vmm: wire.vmm().try_into()?,
            network: wire.network_mode().try_into()?,
            publish: forwards(wire.publish)?,
            shares: shares(wire.shares)?,
            state_reason: wire.state_reason,
            cpus: Cpus::new(wire.cpus)?,
            memory: Mib::new(wire.memory_mib)?,
            disk: Mib::new(wire.disk_mib)?,
            created_at: wire.created_at,
            ephemeral: wire.ephemeral,
            expires_at: (wire.expires_at != 0).then_some(wire.expires_at),
            running,
            directory: wire.directory.into(),
            allocated_bytes: wire.allocated_bytes,
        })
    }
}

impl From<Vm> for wire::Vm {
    fn from(vm: Vm) -> Self {
        let mut wire = Self {
            id: vm.id.to_string(),
            name: vm.name.to_string(),
            image: vm.image.to_string(),
            state: wire::VmState::from(vm.state).into(),
            state_reason: vm.state_reason,
            isolation: wire::Isolation::from(vm.isolation).into(),
            vmm: wire::VmmKind::from(vm.vmm).into(),
            cpus: vm.cpus.get().into(),
            memory_mib: vm.memory.get(),
            disk_mib: vm.disk.get(),
            created_at: vm.created_at,
            ephemeral: vm.ephemeral,
            expires_at: vm.expires_at.unwrap_or(0),
            network_mode: wire::Network::from(vm.network).into(),
            publish: vm.publish.into_iter().map(Into::into).collect(),
            shares: vm.shares.into_iter().map(Into::into).collect(),
            directory: vm.directory.to_string_lossy().into_owned(),
            allocated_bytes: vm.allocated_bytes,
            ..Self::default()
        };
        if let Some(running) = vm.running {
            wire.started_at = running.started_at;
            wire.running_cpus = running.cpus.get().into();
            wire.running_memory_mib = running.memory.get();
            wire.vmm_pid = running.vmm_pid;
            wire.ssh_port = running.ssh.map_or(0, |ssh| ssh.port()).into();
            wire.ssh_host = running.ssh.map(|ssh| ssh.ip().to_string()).unwrap_or_default();
            wire.ports = running.ports.into_iter().map(Into::into).collect();
            wire.guest_address =
                running.address.map(|address| address.to_string()).unwrap_or_default();
            wire.accelerator = running.accelerator;
            wire.network = running.network;
            wire.tap = running.tap;
            wire.confinement = running.confinement;
            wire.missing_walls = running.missing_walls;
            wire.lost_shares = running.lost_shares.into_iter().map(Into::into).collect();
        }
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> Vm {
        Vm {
            id: VmId::random(),
            name: "web".parse().unwrap(),
            image: "debian".parse().unwrap(),
            state: VmState::Running,
            state_reason: String::new(),
            isolation: Isolation::Rootless,
            vmm: VmmKind::Firecracker,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            disk: Mib::new(8192).unwrap(),
            created_at: 1,
            ephemeral: true,
            expires_at: Some(7_201),
            network: Network::User,
            publish: vec!["80".parse().unwrap()],
            shares: vec!["/a:/b".parse().unwrap(), "/c:/d:ro".parse().unwrap()],
            running: Some(Running {
                started_at: 2,
                cpus: Cpus::new(1).unwrap(),
                memory: Mib::new(512).unwrap(),
                vmm_pid: 3,
                ssh: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4)),
                ports: vec!["8080:80".parse().unwrap()],
                address: Some(Ipv4Addr::new(10, 0, 2, 15)),
                accelerator: "tcg".into(),
                network: "passt".into(),
                tap: "tap".into(),
                confinement: vec!["no_new_privs".into()],
                missing_walls: vec!["seccomp".into()],
                lost_shares: vec!["/a:/b".parse().unwrap()],
            }),
            directory: "/d".into(),
            allocated_bytes: 5,
        }
    }

    #[test]
    fn a_vm_survives_the_wire() {
        let stopped = Vm { running: None, state: VmState::Stopped, ..vm() };
        let mut alone = Vm { network: Network::None, publish: Vec::new(), ..vm() };
        if let Some(running) = &mut alone.running {
            (running.ssh, running.address) = (None, None);
            running.ports.clear();
        }
        for vm in [vm(), stopped, alone] {
            assert_eq!(Vm::try_from(wire::Vm::from(vm.clone())), Ok(vm));
        }
    }

    #[test]
    fn a_message_that_breaks_a_rule_is_refused() {
        let broken: [fn(&mut wire::Vm); 8] = [
            |vm| vm.id = "x".into(),
            |vm| vm.name = "X".into(),
            |vm| vm.state = 99,
            |vm| vm.cpus = 0,
            |vm| vm.ssh_port = 65_536,
            |vm| vm.ssh_host = "localhost".into(),
            |vm| vm.isolation = 0,
            |vm| vm.vmm = 9,
        ];
        for break_it in broken {
            let mut wire = wire::Vm::from(vm());
            break_it(&mut wire);
            assert!(Vm::try_from(wire).is_err());
        }
    }

    #[test]
    fn how_to_start_survives_the_wire() {
        for timeout in [None, Some(Duration::ZERO), Some(Duration::from_millis(1500))] {
            let options = StartOptions { timeout, force: timeout.is_some() };
            let request = options.request(wire::VmRef { name_or_id: "web".into() });
            assert_eq!(StartOptions::from(&request), options);
        }
        let ages = StartOptions { timeout: Some(Duration::MAX), force: false };
        assert_eq!(ages.request(wire::VmRef::default()).timeout_ms, Some(u32::MAX));
    }

    #[test]
    fn what_a_new_vm_leaves_open_stays_open() {
        for new in [
            NewVm::default(),
            NewVm {
                name: Some("web".parse().unwrap()),
                cpus: Some(Cpus::new(2).unwrap()),
                ephemeral: true,
                force: true,
                lifetime: Some("2h".parse().unwrap()),
                publish: vec!["8080:80".parse().unwrap()],
                shares: vec!["/a:/b:ro".parse().unwrap()],
                isolation: Some(Isolation::System),
                network: Some(Network::Bridge),
                vmm: Some(VmmChoice::Auto),
                ..NewVm::default()
            },
        ] {
            assert_eq!(NewVm::try_from(wire::CreateVmRequest::from(new.clone())), Ok(new));
        }
    }

    #[test]
    fn without_a_network_nothing_is_published() {
        let new = NewVm {
            network: Some(Network::None),
            publish: vec!["8080:80".parse().unwrap()],
            ..NewVm::default()
        };
        assert!(NewVm::try_from(wire::CreateVmRequest::from(new)).is_err());
    }
}
