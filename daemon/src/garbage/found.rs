//! What a survey finds, as plain data.

use std::path::PathBuf;

use banger_proto::{VmId, VmName};

use crate::spawn::ProcessId;

/// Everything of banger's that a survey came upon.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Files and folders.
    pub files: Vec<FoundFile>,
    /// Processes that run for VMs, imports and builds.
    pub processes: Vec<FoundProcess>,
}

/// A file or folder.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that it takes on the host's disk.
    pub bytes: u64,
    /// Seconds since the epoch.
    pub changed_at: i64,
    /// What it is.
    pub what: What,
}

/// What a file or folder is, by its place and name.
#[derive(Debug, Clone)]
pub enum What {
    /// Under a temporary name: a VM, an image.
    HalfMade(&'static str),
    /// Removed, while its space is not given back yet.
    Removed,
    /// The folder of a VM.
    Vm(VmId, FoundVm),
    /// A folder of an image that cannot be used, for this reason.
    BrokenImage(String),
    /// A file in an image's folder that the image's record says is not there.
    SpareImageFile,
    /// The folder in which packages were being installed.
    Build,
    /// A socket at which nobody listens.
    DeadSocket,
    /// Nothing that banger makes.
    Unknown,
}

/// The record of a VM.
#[derive(Debug, Clone)]
pub enum FoundVm {
    /// There is none.
    Missing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It can be read.
    Readable {
        /// The VM's name.
        name: VmName,
        /// It is being started, runs, or is being stopped.
        runs: bool,
        /// For an ephemeral VM, what became of the process that holds it.
        holder: Option<Holder>,
    },
}

/// What is known of the process that holds an ephemeral VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// It lives, or cannot be told.
    Lives,
    /// It has ended.
    Ended,
}

/// A process of the owner's.
#[derive(Debug, Clone)]
pub struct FoundProcess {
    /// Its lasting name.
    pub id: ProcessId,
    /// The program, for people.
    pub program: String,
    /// Seconds since the epoch.
    pub started_at: i64,
    /// What it runs for.
    pub runs_for: RunsFor,
    /// Its parent is a bangerd, which sees to it.
    pub has_daemon: bool,
}

/// What a process runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunsFor {
    /// A VM.
    Vm(VmId),
    /// The import into this folder.
    Import(PathBuf),
    /// The build in this folder; it is ended with its process group.
    Build(PathBuf),
    /// The question whether KVM works.
    Probe,
}
