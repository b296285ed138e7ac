//! What a VM is, as far as the program that runs it must know.

use std::path::{Path, PathBuf};

use banger_proto::{PortForward, VmmKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::share::Folder;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor itself, through `/dev/kvm`.
    Kvm,
    /// QEMU's software emulation.
    Tcg,
}

impl Accelerator {
    /// `kvm` or `tcg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// What a disk of the guest's is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disk {
    /// A raw image.
    File(PathBuf),
    /// A block device's node.
    Device(PathBuf),
}

impl Disk {
    /// The file's or the node's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Device(path) => path,
        }
    }
}

/// One VM, ready to be run. The disks exist and hold their guest files.
#[derive(Debug, Clone)]
pub struct VmmSpec {
    /// What runs it.
    pub kind: VmmKind,
    /// The VM's id: its MAC address comes from it.
    pub id: Uuid,
    /// The VM's directory on the host. The console log, the VMM's own log and the
    /// control socket are made there, see [`Files`].
    pub directory: PathBuf,
    /// Kernel image, read-only: for Firecracker the ELF file inside it.
    pub kernel: PathBuf,
    /// Initial RAM disk, read-only.
    pub initrd: Option<PathBuf>,
    /// Kernel command line, see [`crate::guest::kernel_command_line`].
    pub append: String,
    /// The root filesystem, the guest's first disk.
    pub rootfs: Disk,
    /// Raw image of the work disk, the guest's second disk.
    pub work_disk: PathBuf,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Which network it gets.
    pub network: crate::net::Choice,
    /// Which of its ports are published.
    pub publish: Vec<PortForward>,
    /// Folders of the host that the guest has.
    pub shares: Vec<Folder>,
}

/// Where the files of a run are, in a VM's directory.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// The files of the VM in `directory`.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The VM's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the guest wrote to its serial console: this boot's, the newest part.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// Console output before [`Files::console`]: what was cut off, or the boot before.
    #[must_use]
    pub fn console_before(&self) -> PathBuf {
        self.directory.join("console.log.1")
    }

    /// A pipe into the guest's serial console: what is written there is typed there.
    #[must_use]
    pub fn console_input(&self) -> PathBuf {
        self.directory.join("console.in")
    }

    /// What `.in` and `.out` are put behind for the two ends of the console's line, as QEMU
    /// has it; `.out` leads nowhere, since the log has all.
    #[must_use]
    pub fn console_line(&self) -> PathBuf {
        self.directory.join("console")
    }

    /// The end of [`Files::console_line`] that leads nowhere.
    #[must_use]
    pub(super) fn console_output(&self) -> PathBuf {
        self.directory.join("console.out")
    }

    /// What the VMM itself wrote.
    #[must_use]
    pub fn vmm_log(&self) -> PathBuf {
        self.directory.join("vmm.log")
    }

    /// What the network's program wrote.
    #[must_use]
    pub fn network_log(&self) -> PathBuf {
        self.directory.join("network.log")
    }

    /// What the file server of a shared folder wrote; they are counted from 0.
    #[must_use]
    pub fn share_log(&self, number: usize) -> PathBuf {
        self.directory.join(format!("share-{number}.log"))
    }

    /// What Firecracker reads before all else.
    #[must_use]
    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("firecracker.json")
    }

    /// What Firecracker logs: not where it and bubblewrap complain, since it does not append.
    #[must_use]
    pub(super) fn firecracker_log(&self) -> PathBuf {
        self.directory.join("firecracker.log")
    }

    /// The folder that Firecracker makes its sockets in.
    #[must_use]
    pub(super) fn sockets(&self) -> PathBuf {
        self.directory.join("sockets")
    }

    /// Removes what only a run needs: its sockets. Whoever calls this knows that none goes on.
    pub fn forget(&self) {
        for name in [Self::CONTROL, "passt.pid"] {
            // One that stays is replaced by the next run.
            let _stays = std::fs::remove_file(self.directory.join(name));
        }
        let _stays = std::fs::remove_file(self.configuration());
        let _stays = std::fs::remove_dir_all(self.sockets());
    }

    /// Name of the VMM's control socket in the directory.
    pub(crate) const CONTROL: &str = "qmp.sock";
    /// Name of Firecracker's control socket in the folder of its sockets.
    pub(crate) const API: &str = "api";
    /// Name of the guest's vsock there.
    pub(crate) const VSOCK: &str = "vsock";
}
