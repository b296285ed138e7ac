//! What a VM may take of the host, from what its guest was given.

use crate::vmm::Accelerator;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;
/// What a VMM and the network of a VM take beside the guest's memory. Pages of its disks are
/// the kernel's, which takes them back before anything is ended.
const OVERHEAD: u64 = 512 * MIB;
/// What is translated under software emulation is kept, up to 1 GiB.
const TRANSLATIONS: u64 = 1024 * MIB;
/// A file server's buffers.
const SHARE: u64 = 256 * MIB;
/// Threads and processes: QEMU has one a processor and up to 64 for its disks, a file server
/// as many for its requests.
const TASKS: u64 = 256;
const TASKS_OF_SHARE: u64 = 128;

/// The limits of a VM's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Threads and processes.
    pub(crate) tasks: u64,
    /// Its part of the processors when all want them: a hundred for each that the guest has, so
    /// that VMs get what they were given, and all of them together what one program of the
    /// user's gets.
    pub(crate) weight: u64,
}

impl Limits {
    /// The limits of a VM.
    #[must_use]
    pub(crate) fn of(memory_mib: u64, cpus: u64, accelerator: Accelerator, shares: usize) -> Self {
        let shares = shares as u64;
        let emulation = if accelerator == Accelerator::Tcg { TRANSLATIONS } else { 0 };
        Self {
            memory: memory_mib.saturating_mul(MIB) + OVERHEAD + emulation + shares * SHARE,
            tasks: TASKS + cpus + shares * TASKS_OF_SHARE,
            weight: (100 * cpus).clamp(1, 10_000),
        }
    }

    /// The files that hold them.
    pub(super) fn files(&self) -> [(&'static str, String); 4] {
        [
            ("memory.max", self.memory.to_string()),
            // A VM of which a part was ended is none.
            ("memory.oom.group", "1".to_owned()),
            ("pids.max", self.tasks.to_string()),
            ("cpu.weight", self.weight.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_gets_what_it_was_given_and_what_running_it_takes() {
        let plain = Limits::of(1024, 2, Accelerator::Kvm, 0);
        assert_eq!(plain, Limits { memory: 1536 * MIB, tasks: 258, weight: 200 });
        let rich = Limits::of(1024, 2, Accelerator::Tcg, 2);
        assert_eq!(rich.memory - plain.memory, TRANSLATIONS + 2 * SHARE);
        assert_eq!(rich.tasks - plain.tasks, 2 * TASKS_OF_SHARE);
        assert_eq!(Limits::of(1, 1000, Accelerator::Kvm, 0).weight, 10_000);
    }
}
