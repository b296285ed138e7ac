//! The block devices of Linux: each call of the trait from its parts.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::device_mapper::{self as dm, Status};
use super::{Linux, control, loops, nodes, patience};
use crate::kernel::device::{Access, Binding, Device, Life, Loop, LoopNumber, Removal};
use crate::kernel::devices::{Devices, Hold, Opened, Table};
use crate::{OwnerUid, Ownership};

/// How long somebody who has a device open may take to close it: a program that was ended, and
/// whoever looks at devices that are new.
const CLOSING: Duration = Duration::from_secs(1);

/// Device-mapper's control device.
const CONTROL: &str = "/dev/mapper/control";

/// It is of the misc driver: its number is fixed.
fn mapper() -> io::Result<OwnedFd> {
    control(CONTROL, (10, 236)).map_err(io::Error::other)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the device is another one by now")
}

fn busy(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, what)
}

/// All that is known of a device.
fn describe(mapper: &OwnedFd, of: Ownership, status: Status) -> io::Result<Device> {
    let Status { number, life, open, removal_pending } = status;
    let told = |what| nodes::told(number, what);
    let diskseq = told("diskseq")?.and_then(|number| nodes::Diskseq::new(number).ok());
    Ok(Device {
        of,
        number,
        diskseq,
        life,
        size: told("size")?.unwrap_or(0).saturating_mul(512),
        open,
        node_owner: if diskseq.is_some() { nodes::owner(number)? } else { None },
        removal_pending,
        invalid: life == Life::Active && dm::is_invalid(mapper, of)?,
    })
}

/// That the device of this number is still the one of this uuid, and the same disk.
fn same(mapper: &OwnedFd, device: &Device) -> io::Result<Status> {
    let status = dm::status(mapper, device.of)?.filter(|now| now.number == device.number);
    let status = status.ok_or_else(gone)?;
    let diskseq = nodes::told(device.number, "diskseq")?;
    if diskseq.is_some() && diskseq == device.diskseq.map(nodes::Diskseq::get) {
        Ok(status)
    } else {
        Err(gone())
    }
}

/// Opens the node of a device, which must be root's and lead to this disk.
fn open_node(device: &Device, flags: OFlags) -> io::Result<OwnedFd> {
    let node = nodes::open(device.number, flags).map_err(|error| match error.kind() {
        // Somebody has it for himself; or it is lent, and root has no right to it.
        io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied => {
            busy("somebody else has the device")
        }
        _ => error,
    })?;
    if rustix::fs::fstat(&node)?.st_uid != 0 {
        return Err(busy("the device's node is not root's"));
    }
    if nodes::diskseq(node.as_fd())? == device.diskseq { Ok(node) } else { Err(gone()) }
}

impl Devices for Linux {
    fn claim_loop(&self) -> io::Result<(LoopNumber, Hold)> {
        let (number, node) = loops::claim()?;
        Ok((number, Box::new(node)))
    }

    fn bind_loop(
        &self,
        number: LoopNumber,
        file: BorrowedFd<'_>,
        binding: &Binding,
    ) -> io::Result<()> {
        loops::bind(number, file, binding)
    }

    fn release_loop(&self, number: LoopNumber) -> io::Result<()> {
        loops::release(number)
    }

    fn loops(&self) -> io::Result<Vec<Loop>> {
        loops::all()
    }

    fn release_stray_loops(&self) -> io::Result<usize> {
        loops::release_strays()
    }

    fn make_device(&self, of: Ownership) -> io::Result<()> {
        dm::make(&mapper()?, of)
    }

    fn load_table(&self, of: Ownership, table: &Table) -> io::Result<()> {
        dm::load(&mapper()?, of, table)
    }

    fn resume_device(&self, of: Ownership) -> io::Result<()> {
        dm::resume(&mapper()?, of)
    }

    fn device(&self, of: Ownership) -> io::Result<Option<Device>> {
        let mapper = mapper()?;
        let status = dm::status(&mapper, of)?;
        status.map(|status| describe(&mapper, of, status)).transpose()
    }

    fn devices_of(&self, uid: OwnerUid) -> io::Result<Vec<Device>> {
        // Without device-mapper there are none.
        if !Path::new(CONTROL).exists() {
            return Ok(Vec::new());
        }
        let mapper = mapper()?;
        let mut found = Vec::new();
        for of in dm::of_user(&mapper, uid)? {
            // One that went since is not there.
            if let Some(status) = dm::status(&mapper, of)? {
                found.push(describe(&mapper, of, status)?);
            }
        }
        Ok(found)
    }

    fn loops_of(&self, device: &Device) -> io::Result<Vec<Loop>> {
        let below = dm::below(&mapper()?, device.of, device.life)?;
        let ours = below.into_iter().filter_map(|number| {
            LoopNumber::new(number.minor).filter(|of_loop| of_loop.device() == number)
        });
        let found: io::Result<Vec<_>> = ours.map(loops::of_number).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn unused(&self, of: Ownership) -> io::Result<bool> {
        let mapper = mapper()?;
        let closed = patience(CLOSING, || match dm::status(&mapper, of) {
            Ok(Some(status)) if status.open > 0 => None,
            other => Some(other.map(|_| true)),
        });
        closed.unwrap_or(Ok(false))
    }

    fn remove_device(&self, of: Ownership) -> io::Result<Removal> {
        dm::remove(&mapper()?, of)
    }

    fn udev_is_done(&self, device: &Device) -> io::Result<bool> {
        Ok(nodes::udev_is_done(device.number))
    }

    fn give_node(&self, device: &Device, to: Option<OwnerUid>) -> io::Result<()> {
        let mapper = mapper()?;
        // The node first: when the device is the same after it was opened, the node is this
        // device's for good, whatever takes its number later.
        let node = nodes::open(device.number, OFlags::PATH)?;
        same(&mapper, device)?;
        nodes::give(node.as_fd(), device.number, to)?;
        same(&mapper, device).map(drop)
    }

    fn open_device(&self, device: &Device, access: Access) -> io::Result<Opened> {
        let mapper = mapper()?;
        // The one that is opened last keeps others from having it for themselves.
        let (reading, writing) = match access {
            Access::Read => (open_node(device, OFlags::RDONLY | OFlags::EXCL)?, None),
            Access::Write => (
                open_node(device, OFlags::RDONLY)?,
                Some(open_node(device, OFlags::RDWR | OFlags::EXCL)?),
            ),
        };
        let ours = 1 + u32::from(writing.is_some());
        let alone = patience(CLOSING, || match same(&mapper, device) {
            Ok(status) if status.open > ours => None,
            other => Some(other.map(drop)),
        });
        alone.unwrap_or_else(|| Err(busy("somebody else has the device open")))?;
        Ok(Opened { reading, writing, hold: Box::new(()) })
    }
}
