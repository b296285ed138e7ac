//! How much a worker may use.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Needs, NotShutIn, step};
use crate::worker::program::Role;

/// Bytes of memory. The helper's unit has it for all workers, and more.
const MEMORY: u64 = 128 << 20;
/// Its descriptors are 0 to 3.
const DESCRIPTORS: u64 = 4;

pub(super) fn set(needs: &Needs) -> Result<(), NotShutIn> {
    // Regular files alone heed it: a device ends where it ends.
    let largest_file = match needs.arguments.role {
        Role::Read => 0,
        Role::Write => needs.device_len,
    };
    let limits = [
        (Resource::As, MEMORY),
        (Resource::Cpu, u64::from(needs.arguments.seconds)),
        (Resource::Fsize, largest_file),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
        (Resource::Sigpending, 0),
    ];
    for (resource, value) in limits {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(resource, limit).map_err(step("limit what it may use"))?;
    }
    Ok(())
}
