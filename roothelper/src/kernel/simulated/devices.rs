//! Loop devices, device-mapper and nodes that are none.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use banger_proto::roothelper::Diskseq;

use super::{Simulated, State, locked};
use crate::kernel::device::{
    Access, Binding, Device, DeviceNumber, FileId, Life, Loop, LoopNumber, Removal,
};
use crate::kernel::devices::{Devices, Hold, Opened, Table};
use crate::{OwnerUid, Ownership};

/// Device-mapper's driver, where it is the first without a number of its own.
const MAPPER: u32 = 253;

/// A loop device.
#[derive(Debug, Default)]
pub struct SimulatedLoop {
    /// What it is bound to.
    pub bound: Option<(Binding, FileId, Arc<File>)>,
    /// Holds of who claimed it, and of devices that stand on it.
    pub held: u32,
}

/// A device of device-mapper.
#[derive(Debug)]
pub struct SimulatedDevice {
    /// Its minor number.
    pub minor: u32,
    /// Its disk, once there is one.
    pub diskseq: Option<Diskseq>,
    /// What it stands on.
    pub table: Option<Table>,
    /// It was resumed.
    pub active: bool,
    /// The user that its node belongs to.
    pub node_owner: u32,
    /// How often it is open.
    pub open: u32,
    /// It goes with the last who has it open.
    pub removal_pending: bool,
    /// The kernel gave it up.
    pub invalid: bool,
}

impl SimulatedDevice {
    fn describe(&self, of: Ownership) -> Device {
        Device {
            of,
            number: DeviceNumber { major: MAPPER, minor: self.minor },
            diskseq: self.diskseq,
            life: match (self.active, &self.table) {
                (true, _) => Life::Active,
                (false, Some(_)) => Life::Loaded,
                (false, None) => Life::Made,
            },
            size: self.table.filter(|_| self.active).map_or(0, |table| table.size),
            open: self.open,
            node_owner: self.diskseq.map(|_| self.node_owner),
            removal_pending: self.removal_pending,
            invalid: self.invalid,
        }
    }
}

impl State {
    /// One hold of a loop device less; the last takes its file away.
    fn let_go(&mut self, number: LoopNumber) {
        if let Some(found) = self.loops.get_mut(&number) {
            found.held = found.held.saturating_sub(1);
            if found.held == 0 {
                found.bound = None;
            }
        }
    }

    fn remove(&mut self, of: Ownership) {
        if let Some(Table { origin, overlay, .. }) =
            self.devices.remove(&of).and_then(|device| device.table)
        {
            self.let_go(origin);
            self.let_go(overlay);
        }
    }

    /// The device, when it is still this one.
    fn same(&mut self, device: &Device) -> io::Result<&mut SimulatedDevice> {
        let found = self.devices.get_mut(&device.of);
        found
            .filter(|now| now.minor == device.number.minor && now.diskseq == device.diskseq)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn mine(&mut self, of: Ownership) -> io::Result<&mut SimulatedDevice> {
        self.devices.get_mut(&of).ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))
    }
}

/// A claimed loop device.
#[derive(Debug)]
struct LoopHold(Arc<Mutex<State>>, LoopNumber);

impl Drop for LoopHold {
    fn drop(&mut self) {
        locked(&self.0).let_go(self.1);
    }
}

/// A device that is open so many times.
#[derive(Debug)]
struct OpenHold(Arc<Mutex<State>>, Device, u32);

impl Drop for OpenHold {
    fn drop(&mut self) {
        let mut state = locked(&self.0);
        let Ok(device) = state.same(&self.1) else { return };
        device.open = device.open.saturating_sub(self.2);
        if device.open == 0 && device.removal_pending {
            state.remove(self.1.of);
        }
    }
}

impl Simulated {
    /// Opens the device as a program of this user does, who has it until the hold is dropped.
    ///
    /// # Errors
    /// When there is none, or its node is not this user's.
    pub fn open_as(&self, uid: u32, of: Ownership) -> io::Result<(File, Hold)> {
        let mut state = self.state();
        let device = state.mine(of)?;
        if uid != 0 && device.node_owner != uid {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = File::options().read(true).write(true).open(self.images.path(of))?;
        device.open += 1;
        let described = device.describe(of);
        Ok((file, Box::new(OpenHold(Arc::clone(&self.state), described, 1))))
    }
}

fn file_id(file: &File) -> io::Result<FileId> {
    let stat = rustix::fs::fstat(file)?;
    Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
}

impl Devices for Simulated {
    fn claim_loop(&self) -> io::Result<(LoopNumber, Hold)> {
        let mut state = self.step()?;
        let free = LoopNumber::all().find(|number| !state.loops.contains_key(number));
        let number = free.ok_or(io::ErrorKind::StorageFull)?;
        state.loops.insert(number, SimulatedLoop { bound: None, held: 1 });
        Ok((number, Box::new(LoopHold(Arc::clone(&self.state), number))))
    }

    fn bind_loop(
        &self,
        number: LoopNumber,
        file: BorrowedFd<'_>,
        binding: &Binding,
    ) -> io::Result<()> {
        let mut state = self.step()?;
        let file = File::from(file.try_clone_to_owned()?);
        let found = state.loops.get_mut(&number).ok_or(io::ErrorKind::NotFound)?;
        if found.bound.is_some() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        found.bound = Some((*binding, file_id(&file)?, Arc::new(file)));
        Ok(())
    }

    fn release_loop(&self, number: LoopNumber) -> io::Result<()> {
        let mut state = self.step()?;
        if state.loops.get(&number).is_some_and(|found| found.held > 0) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        state.loops.remove(&number);
        Ok(())
    }

    fn loops(&self) -> io::Result<Vec<Loop>> {
        let state = self.step()?;
        let bound = state.loops.iter().filter_map(|(&number, found)| {
            let (binding, file, _) = found.bound.as_ref()?;
            let Binding { of, read_only, size } = *binding;
            Some(Loop { number, of: Some(of), file: *file, read_only, size })
        });
        Ok(bound.collect())
    }

    fn release_stray_loops(&self) -> io::Result<usize> {
        let mut state = self.step()?;
        let before = state.loops.len();
        state.loops.retain(|_, found| found.held > 0);
        Ok(before - state.loops.len())
    }

    fn make_device(&self, of: Ownership) -> io::Result<()> {
        let mut state = self.step()?;
        if state.devices.contains_key(&of) || state.foreign.contains(&of) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        state.count += 1;
        let minor = (0..)
            .find(|minor| state.devices.values().all(|device| device.minor != *minor))
            .unwrap_or_default();
        let device = SimulatedDevice {
            minor,
            diskseq: None,
            table: None,
            active: false,
            node_owner: 0,
            open: 0,
            removal_pending: false,
            invalid: false,
        };
        state.devices.insert(of, device);
        Ok(())
    }

    fn load_table(&self, of: Ownership, table: &Table) -> io::Result<()> {
        let mut state = self.step()?;
        state.count += 1;
        let diskseq = Diskseq::new(state.count.into()).ok();
        state.mine(of)?;
        let mut base = None;
        for number in [table.overlay, table.origin] {
            let found = state.loops.get(&number).ok_or(io::ErrorKind::NotFound)?;
            let (_, _, file) = found.bound.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
            if file.metadata()?.len() < table.size {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            base = Some(Arc::clone(file));
        }
        if let Some(base) = base {
            self.images.fill(of, &base, table.size)?;
        }
        for number in [table.overlay, table.origin] {
            state.loops.entry(number).or_default().held += 1;
        }
        let device = state.mine(of)?;
        device.table = Some(*table);
        device.diskseq = diskseq;
        Ok(())
    }

    fn resume_device(&self, of: Ownership) -> io::Result<()> {
        let mut state = self.step()?;
        let device = state.mine(of)?;
        if device.table.is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        device.active = true;
        Ok(())
    }

    fn device(&self, of: Ownership) -> io::Result<Option<Device>> {
        let state = self.step()?;
        Ok(state.devices.get(&of).map(|device| device.describe(of)))
    }

    fn devices_of(&self, uid: OwnerUid) -> io::Result<Vec<Device>> {
        let state = self.step()?;
        let own = state.devices.iter().filter(|(of, _)| of.uid == uid);
        Ok(own.map(|(&of, device)| device.describe(of)).collect())
    }

    fn loops_of(&self, device: &Device) -> io::Result<Vec<Loop>> {
        let all = self.loops()?;
        let state = self.state();
        let table = state.devices.get(&device.of).and_then(|device| device.table);
        let below = |found: &Loop| {
            table.is_some_and(|table| [table.origin, table.overlay].contains(&found.number))
        };
        Ok(all.into_iter().filter(below).collect())
    }

    fn unused(&self, of: Ownership) -> io::Result<bool> {
        let state = self.step()?;
        Ok(state.devices.get(&of).is_none_or(|device| device.open == 0))
    }

    fn remove_device(&self, of: Ownership) -> io::Result<Removal> {
        let mut state = self.step()?;
        match state.devices.get_mut(&of) {
            Some(device) if device.open > 0 => {
                device.removal_pending = true;
                Ok(Removal::Pending)
            }
            _ => {
                state.remove(of);
                Ok(Removal::Done)
            }
        }
    }

    fn udev_is_done(&self, _device: &Device) -> io::Result<bool> {
        Ok(!self.step()?.udev_hangs)
    }

    fn give_node(&self, device: &Device, to: Option<OwnerUid>) -> io::Result<()> {
        let mut state = self.step()?;
        state.same(device)?.node_owner = to.map_or(0, OwnerUid::get);
        Ok(())
    }

    fn open_device(&self, device: &Device, access: Access) -> io::Result<Opened> {
        let mut state = self.step()?;
        let found = state.same(device)?;
        if found.open > 0 || found.node_owner != 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let path = self.images.path(device.of);
        let reading = File::open(&path)?.into();
        let writing = match access {
            Access::Read => None,
            Access::Write => Some(File::options().read(true).write(true).open(&path)?.into()),
        };
        let count = 1 + u32::from(writing.is_some());
        found.open += count;
        let hold = Box::new(OpenHold(Arc::clone(&self.state), *device, count));
        Ok(Opened { reading, writing, hold })
    }
}
