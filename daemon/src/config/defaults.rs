//! What counts where nobody says otherwise; some of it follows from the host.

use banger_proto::{Cpus, Mib, Seconds};

use crate::verb::host_memory;
use crate::vmm::Accelerator;

/// 8 GiB, which take no space until they are written.
pub(super) const DISK: Mib = Mib::nearest(8 << 10);

/// Two processors where the host has two.
pub(super) fn cpus() -> Cpus {
    cpus_for(std::thread::available_parallelism().map_or(1, usize::from))
}

fn cpus_for(host: usize) -> Cpus {
    Cpus::nearest(if host >= 2 { 2 } else { 1 })
}

/// A GiB, or a quarter of what a small host has.
pub(super) fn memory() -> Mib {
    memory_for(host_memory::now().map(|host| host.total))
}

fn memory_for(host_mib: Option<u64>) -> Mib {
    Mib::nearest(host_mib.map_or(1024, |host| (host / 4).clamp(256, 1024)))
}

/// How long a guest may take until it answers: under software emulation all takes longer.
pub(super) const fn boot(accelerator: Accelerator) -> Seconds {
    Seconds::nearest(match accelerator {
        Accelerator::Kvm => 90,
        Accelerator::Tcg => 300,
    })
}

/// How long a guest has to shut down.
pub(super) const fn stop(accelerator: Accelerator) -> Seconds {
    Seconds::nearest(match accelerator {
        Accelerator::Kvm => 20,
        Accelerator::Tcg => 40,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_host() {
        let mib = |host| memory_for(host).get();
        assert_eq!(mib(None), 1024);
        assert_eq!(mib(Some(24_079)), 1024);
        assert_eq!(mib(Some(2000)), 500);
        assert_eq!(mib(Some(100)), 256);
    }

    #[test]
    fn processors_follow_the_host() {
        assert_eq!([0, 1, 2, 64].map(|host| cpus_for(host).get()), [1, 1, 2, 2]);
    }
}
