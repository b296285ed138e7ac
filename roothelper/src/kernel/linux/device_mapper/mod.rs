//! Device-mapper: the device of a VM, by its uuid.

mod list;
mod message;
mod versions;

use std::io;
use std::os::fd::OwnedFd;

use message::{ACTIVE, Call, DEFERRED_REMOVE, INACTIVE, Message, QUERY_INACTIVE, WITH_UUIDS};
pub(super) use versions::snapshot_target;

use crate::kernel::device::{DeviceNumber, Life, Removal};
use crate::kernel::devices::Table;
use crate::{Names, OwnerUid, Ownership};

/// The target that overlays are made of.
const TARGET: &str = "snapshot";
/// Bytes that device-mapper counts in.
const SECTOR: u64 = 512;

/// What device-mapper says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) number: DeviceNumber,
    pub(super) life: Life,
    pub(super) open: u32,
    pub(super) removal_pending: bool,
}

fn uuid(of: Ownership) -> String {
    Names::of(of).dm_uuid
}

/// A device that is not there is `None`.
fn if_there<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        answer => answer.map(Some),
    }
}

pub(super) fn make(control: &OwnedFd, of: Ownership) -> io::Result<()> {
    let Names { dm_name, dm_uuid, .. } = Names::of(of);
    Message::of(&dm_uuid).name(&dm_name).send(control, Call::Create)?;
    Ok(())
}

pub(super) fn load(control: &OwnedFd, of: Ownership, table: &Table) -> io::Result<()> {
    let (origin, overlay) = (table.origin.device(), table.overlay.device());
    let parameters = format!("{origin} {overlay} P {}", crate::overlay_size::CHUNK / SECTOR);
    let message = Message::of(&uuid(of)).target(TARGET, table.size / SECTOR, &parameters);
    message.send(control, Call::Load)?;
    Ok(())
}

pub(super) fn resume(control: &OwnedFd, of: Ownership) -> io::Result<()> {
    // It is the call of suspending, without the flag.
    Message::of(&uuid(of)).send(control, Call::Suspend)?;
    Ok(())
}

pub(super) fn status(control: &OwnedFd, of: Ownership) -> io::Result<Option<Status>> {
    let answer = if_there(Message::of(&uuid(of)).send(control, Call::Status))?;
    Ok(answer.map(|answer| Status {
        number: answer.device(),
        life: match (answer.flag(ACTIVE), answer.flag(INACTIVE)) {
            (true, _) => Life::Active,
            (false, true) => Life::Loaded,
            (false, false) => Life::Made,
        },
        open: answer.open_count(),
        removal_pending: answer.flag(DEFERRED_REMOVE),
    }))
}

/// Whether the kernel gave the snapshot up: its target says so in the place of its figures.
pub(super) fn is_invalid(control: &OwnedFd, of: Ownership) -> io::Result<bool> {
    let answer = if_there(Message::of(&uuid(of)).send(control, Call::TableStatus))?;
    Ok(answer.is_some_and(|answer| {
        answer.targets() > 0
            && !answer
                .text(answer.data().saturating_add(40))
                .starts_with(|c: char| c.is_ascii_digit())
    }))
}

/// The devices below it.
pub(super) fn below(control: &OwnedFd, of: Ownership, life: Life) -> io::Result<Vec<DeviceNumber>> {
    let flags = if life == Life::Active { 0 } else { QUERY_INACTIVE };
    let answer = if_there(Message::of(&uuid(of)).flags(flags).send(control, Call::Deps))?;
    Ok(answer.map(|answer| list::below(&answer)).unwrap_or_default())
}

pub(super) fn remove(control: &OwnedFd, of: Ownership) -> io::Result<Removal> {
    let message = Message::of(&uuid(of)).flags(DEFERRED_REMOVE);
    let answer = if_there(message.send(control, Call::Remove))?;
    // The flag comes back only where it was needed.
    let pending = answer.is_some_and(|answer| answer.flag(DEFERRED_REMOVE));
    Ok(if pending { Removal::Pending } else { Removal::Done })
}

/// Whose the devices are that belong to this user, in the order of their VMs.
pub(super) fn of_user(control: &OwnedFd, uid: OwnerUid) -> io::Result<Vec<Ownership>> {
    // The kernel leaves out all others; what is left is looked at all the same.
    let mut found = beginning(control, &format!("{}{uid}-", crate::names::DM_UUID_PREFIX))?;
    found.retain(|of| of.uid == uid);
    Ok(found)
}

/// Whose the devices of ours are.
pub(super) fn of_all(control: &OwnedFd) -> io::Result<Vec<Ownership>> {
    beginning(control, crate::names::DM_UUID_PREFIX)
}

/// Whose the devices are whose uuid begins so.
fn beginning(control: &OwnedFd, prefix: &str) -> io::Result<Vec<Ownership>> {
    let answer = Message::of(prefix).flags(WITH_UUIDS).send(control, Call::List)?;
    let uuids = list::uuids(&answer).into_iter();
    let mut found: Vec<_> = uuids.filter_map(Ownership::from_dm_uuid).collect();
    found.sort_unstable();
    Ok(found)
}
