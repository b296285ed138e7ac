//! What was found, as data: what follows from it is decided elsewhere.

mod helper;

use std::path::PathBuf;

use banger_proto::{Distribution, Mib};

use crate::config::Problem;
use crate::verb::host_memory::Memory;

pub(super) use helper::{
    Bridge, FileState, Helper, Membership, NameService, Network, Polkit, Role, Shipped, Told, Unit,
    Units,
};

/// Everything that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) system: System,
    pub(super) kvm: Kvm,
    pub(super) qemu: Program,
    /// The networks that QEMU knows; empty where it does not tell.
    pub(super) qemu_networks: Vec<String>,
    pub(super) firecracker: Program,
    pub(super) passt: Program,
    pub(super) bubblewrap: Program,
    /// Why VMs run without namespaces of their own; absent when they have them.
    pub(super) no_walls: Option<String>,
    pub(super) namespaces: Namespaces,
    pub(super) landlock: bool,
    pub(super) storage: Storage,
    pub(super) memory: Option<Memory>,
    /// Memory of a VM that is asked for nothing else.
    pub(super) usual_memory: Mib,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) records: Records,
    pub(super) images: Vec<Image>,
    pub(super) leftovers: Vec<Leftover>,
    pub(super) builds: Builds,
    pub(super) shares: Shares,
    /// Absent where none is installed.
    pub(super) helper: Option<Helper>,
}

/// The host as such.
#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) distribution: Distribution,
    pub(super) kernel: String,
    /// The container or subsystem that this runs in: `docker`, `WSL`.
    pub(super) inside: Option<String>,
    /// Descriptors that a process may have open.
    pub(super) open_files: u64,
}

/// What came of KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kvm {
    /// There is no `/dev/kvm`.
    Absent {
        /// `vmx` or `svm`, where the processor says that it can.
        virtualization: Option<&'static str>,
        /// The processor is a hypervisor's.
        nested: bool,
    },
    /// It may not be opened.
    Forbidden {
        /// Group that may.
        group: Option<String>,
        /// The account is in the group, and this login is older than that.
        joined: bool,
    },
    /// It opens, and no guest runs.
    Broken(String),
    Works,
}

/// A program of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    Missing,
    /// It is there, and does not run.
    Broken {
        path: PathBuf,
        reason: String,
    },
    Works {
        path: PathBuf,
        /// The first line of what it says of its version.
        version: String,
    },
}

/// What the kernel says of user namespaces; absent where it has no such switch.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespaces {
    pub(super) unprivileged_clone: Option<u64>,
    pub(super) apparmor_restricts: Option<u64>,
    pub(super) most: Option<u64>,
}

/// The filesystems that hold VMs and images.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub(super) state: Filesystem,
    pub(super) data: Filesystem,
    /// Whether both are one.
    pub(super) same: bool,
    /// Whether files can share their blocks there; absent when it was not to be tried.
    pub(super) clones: Option<bool>,
    /// Bytes that the disks of all VMs may still take.
    pub(super) growth: u64,
    pub(super) disks: usize,
    /// Bytes that the largest image takes: what a start copies where nothing clones.
    pub(super) largest_image: u64,
}

/// One filesystem.
#[derive(Debug, Clone)]
pub(super) struct Filesystem {
    /// The folder that was asked for.
    pub(super) folder: PathBuf,
    /// Why it cannot be looked at or written to.
    pub(super) trouble: Option<String>,
    /// Bytes.
    pub(super) free: u64,
    pub(super) total: u64,
    /// Free inodes; absent where the filesystem has no fixed number.
    pub(super) free_inodes: Option<u64>,
    /// `ext4`, `nfs`, `fuse`, ...; `other` when it is none that matters.
    pub(super) kind: &'static str,
}

/// The clock, in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: i64,
    /// The latest moment that something here is known to have happened at.
    pub(super) newest: i64,
}

/// The configuration.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// The files that are there.
    pub(super) files: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Records of VMs.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) whole: usize,
    /// What is wrong with others.
    pub(super) broken: Vec<String>,
}

/// An image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) name: String,
    /// What it lacks; empty when it is whole.
    pub(super) missing: Vec<String>,
}

/// Something that has no owner any more.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    /// What and where it is, and why it has none.
    pub(super) words: String,
    pub(super) bytes: u64,
    /// `gc` removes it; else it is only told.
    pub(super) removable: bool,
}

/// What folders that are shared with guests need.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    /// Behind its walls: in front of them it does not say its version.
    pub(super) virtiofsd: Program,
}

/// What builds of images need.
#[derive(Debug, Clone)]
pub(super) struct Builds {
    pub(super) mmdebstrap: Program,
    /// `newuidmap` is there.
    pub(super) uidmap: bool,
    /// This user's name.
    pub(super) user: String,
    /// The user has subordinate user and group ids.
    pub(super) ids: bool,
}
