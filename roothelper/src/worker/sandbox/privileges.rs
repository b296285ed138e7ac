//! From root to a user without any right.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Pid, Signal, Uid, getppid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::{NotShutIn, step};
use crate::worker::program::Arguments;

pub(super) fn give_up(arguments: &Arguments) -> Result<(), NotShutIn> {
    empty_bounding_set().map_err(step("empty the bounding set"))?;
    become_user(arguments).map_err(step("become its own user"))?;
    no_capability().map_err(step("give up its capabilities"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(step("keep others from looking into it"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("give up new privileges"))?;
    // Only now: the kernel forgets it when a process changes its user.
    die_with(arguments.parent).map_err(step("die with its parent"))
}

/// Every capability, also those that this program knows nothing of yet.
fn empty_bounding_set() -> Result<(), Errno> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the kernel's last.
            Err(Errno::INVAL) if number > 0 => break,
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()
}

/// The worker has one thread, so what is the thread's is the process's.
fn become_user(arguments: &Arguments) -> Result<(), Errno> {
    let gid = Gid::from_raw(arguments.account.gid());
    let uid = Uid::from_raw(arguments.account.uid());
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

fn no_capability() -> Result<(), Error> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    let left = capabilities(None)?;
    if left == none {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, format!("these are left: {left:?}")))
}

fn die_with(parent: i32) -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the kernel was asked.
    if getppid().map(Pid::as_raw_nonzero).is_some_and(|now| now.get() == parent) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, "the parent has ended"))
}
