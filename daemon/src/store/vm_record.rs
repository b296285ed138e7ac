//! What is remembered of a VM.

use banger_proto::{
    Cpus, ImageName, Isolation, Mib, Network, PortForward, Share, VmId, VmName, VmState, VmmKind,
};
use serde::{Deserialize, Serialize};

use super::document::{Document, Migration};
use super::text;
use crate::spawn::ProcessId;
use crate::vmm::Running;

/// The image that a VM was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// Its name.
    #[serde(with = "text")]
    pub name: ImageName,
    /// Its id, which a later image of the same name does not have.
    pub id: String,
}

/// What a VMM was given; the record may say something else by now, for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Virtual processors.
    #[serde(with = "text::cpus")]
    pub cpus: Cpus,
    /// Memory.
    #[serde(with = "text::mib")]
    pub memory: Mib,
}

/// What is known of a VM only while its VMM runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Seconds since the epoch.
    pub started_at: i64,
    /// What it runs with; absent where it was started before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// How to reach and to recognise its processes.
    pub machine: Running,
}

/// Where a VM is in its life, with what is known only there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Never started.
    Created {},
    /// A start is under way; a daemon that finds this undoes it.
    Starting {},
    /// The VMM runs.
    Running {
        /// How to reach and to recognise it.
        runtime: Runtime,
    },
    /// A stop is under way.
    Stopping {
        /// How to reach and to recognise it.
        runtime: Runtime,
    },
    /// It was stopped.
    Stopped {
        /// Why, when that is not plain; empty otherwise.
        reason: String,
    },
    /// The VMM ended on its own, or a start failed.
    Failed {
        /// How.
        reason: String,
    },
}

impl Phase {
    /// The state as people see it.
    #[must_use]
    pub fn state(&self) -> VmState {
        match self {
            Self::Created {} => VmState::Created,
            Self::Starting {} => VmState::Starting,
            Self::Running { .. } => VmState::Running,
            Self::Stopping { .. } => VmState::Stopping,
            Self::Stopped { .. } => VmState::Stopped,
            Self::Failed { .. } => VmState::Failed,
        }
    }

    /// Why it is there; empty when that is plain.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Stopped { reason } | Self::Failed { reason } => reason,
            _ => "",
        }
    }

    /// Whether a start is under way.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        matches!(self, Self::Starting {})
    }

    /// The VMM, while there is one.
    #[must_use]
    pub fn runtime(&self) -> Option<&Runtime> {
        match self {
            Self::Running { runtime } | Self::Stopping { runtime } => Some(runtime),
            _ => None,
        }
    }
}

/// One VM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmRecord {
    /// Its identity.
    #[serde(with = "text")]
    pub id: VmId,
    /// Its name.
    #[serde(with = "text")]
    pub name: VmName,
    /// What it was made from.
    pub image: ImageRef,
    /// How it runs, for all its life.
    #[serde(with = "text")]
    pub isolation: Isolation,
    /// What runs it, for all its life.
    #[serde(default, with = "text", skip_serializing_if = "is_default")]
    pub vmm: VmmKind,
    /// Virtual processors.
    #[serde(with = "text::cpus")]
    pub cpus: Cpus,
    /// Memory.
    #[serde(with = "text::mib")]
    pub memory: Mib,
    /// Size of the work disk.
    #[serde(with = "text::mib")]
    pub disk: Mib,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Whether it is removed with the process that holds it.
    pub ephemeral: bool,
    /// When it is removed whatever it does, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Which network it has, for all its life.
    #[serde(default, with = "text", skip_serializing_if = "is_default")]
    pub network: Network,
    /// Which of its ports are published while it runs.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PortForward>,
    /// Folders of the host that the guest has, for all its life, without links.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// The process that holds an ephemeral VM, so that a later daemon knows whom to await.
    pub holder: Option<ProcessId>,
    /// Whether its root filesystem has booted: a fresh copy of an image gets what is
    /// a machine's own, one that has booted keeps it.
    pub booted: bool,
    /// Where it is in its life.
    pub phase: Phase,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Document for VmRecord {
    const NOUN: &'static str = "VM record";
    const MIGRATIONS: &'static [Migration] = &[];
}

impl VmRecord {
    /// The VM's id as the UUID that it is.
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(*self.id.as_bytes())
    }
}

#[cfg(test)]
impl VmRecord {
    /// A VM that was created and never started.
    pub(crate) fn sample() -> Self {
        Self {
            id: VmId::random(),
            name: "web".parse().unwrap(),
            image: ImageRef { name: "debian".parse().unwrap(), id: "1".into() },
            isolation: Isolation::Rootless,
            vmm: VmmKind::Qemu,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            disk: Mib::new(8192).unwrap(),
            created_at: 0,
            ephemeral: false,
            expires_at: None,
            network: Network::User,
            publish: Vec::new(),
            shares: Vec::new(),
            holder: None,
            booted: false,
            phase: Phase::Created {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Tap;
    use crate::share::Served;
    use crate::store::{read, write};

    /// A record as version 1 wrote it: what users have on their disks.
    const VERSION_1: &str = r#"{
      "version": 1,
      "id": "67e55044-10b1-426f-9247-bb680e5fe0c8",
      "name": "web",
      "image": { "name": "debian", "id": "1c6bd5e1-6bd0-4d20-9d3f-2f8f1de5d8ff" },
      "isolation": "rootless",
      "cpus": 2,
      "memory": 1024,
      "disk": 8192,
      "created_at": 1700000000,
      "ephemeral": true,
      "holder": { "pid": 7, "start_ticks": 99, "boot_id": "b" },
      "booted": true,
      "phase": {
        "state": "running",
        "runtime": {
          "started_at": 1700000001,
          "machine": {
            "vmm": { "pid": 8, "start_ticks": 100, "boot_id": "b" },
            "network_process": null,
            "network": "slirp",
            "ssh_port": 2222,
            "accelerator": "tcg",
            "walls": ["no new privileges"],
            "notices": []
          }
        }
      }
    }"#;

    #[test]
    fn a_record_of_version_1_is_understood_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(&path, VERSION_1).unwrap();
        let record: VmRecord = read(&path).unwrap();
        assert_eq!(record.phase.state(), VmState::Running);
        assert_eq!(record.phase.runtime().unwrap().machine.vmm.pid, 8);
        let copy = folder.path().join("copy.json");
        write(&copy, &record).unwrap();
        let value = |path| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        assert_eq!(value(&copy), value(&path));
    }

    #[test]
    fn what_came_later_survives_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(&path, VERSION_1).unwrap();
        let mut record: VmRecord = read(&path).unwrap();
        assert_eq!(record.expires_at, None);
        assert_eq!((record.network, record.publish.len()), (Network::User, 0));
        assert!(record.shares.is_empty());
        assert_eq!(record.vmm, VmmKind::Qemu);
        assert_eq!(record.phase.runtime().unwrap().machine.kind, VmmKind::Qemu);
        record.vmm = VmmKind::Firecracker;
        record.expires_at = Some(1_700_007_200);
        record.network = Network::None;
        record.publish = vec!["8080:80".parse().unwrap(), "53/udp".parse().unwrap()];
        let publish = record.publish.clone();
        let shares: Vec<Share> = vec!["/a b:/c".parse().unwrap(), "/a:/d:ro".parse().unwrap()];
        record.shares = shares.clone();
        let given = Given { cpus: Cpus::new(1).unwrap(), memory: Mib::new(512).unwrap() };
        if let Phase::Running { runtime } = &mut record.phase {
            assert_eq!(runtime.given.replace(given), None);
            runtime.machine.ports = publish.clone();
            assert_eq!(runtime.machine.tap.replace(Tap::sample()), None);
            runtime.machine.kind = VmmKind::Firecracker;
            let server = runtime.machine.vmm.clone();
            assert!(runtime.machine.shares.is_empty());
            runtime.machine.shares = vec![Served { share: shares[0].clone(), server }];
        }
        write(&path, &record).unwrap();
        let record: VmRecord = read(&path).unwrap();
        assert_eq!(record.expires_at, Some(1_700_007_200));
        assert_eq!(record.phase.runtime().unwrap().given, Some(given));
        assert_eq!(record.phase.runtime().unwrap().machine.ports, publish);
        let machine = &record.phase.runtime().unwrap().machine;
        assert_eq!(machine.tap, Some(Tap::sample()));
        assert_eq!(machine.sshd(), Some("172.16.0.7:22".parse().unwrap()));
        assert_eq!(record.vmm, VmmKind::Firecracker);
        assert_eq!(record.phase.runtime().unwrap().machine.kind, VmmKind::Firecracker);
        let served = &record.phase.runtime().unwrap().machine.shares;
        assert_eq!((&served[0].share, served[0].server.pid), (&shares[0], 8));
        assert_eq!(record.shares, shares);
        assert_eq!((record.network, record.publish), (Network::None, publish));
    }
}
