//! The devices that a VM's root filesystem is made of: loop devices, device-mapper, nodes.
//!
//! ```text
//!  claim_loop, bind_loop   base image, for reading only --+
//!  claim_loop, bind_loop   overlay file ------------------+--> load_table --> resume_device
//!  make_device   banger-u<uid>-<vm>, BANGER-1-u<uid>-<vm>-root --+               |
//!                                                       release the holds of the loops
//! ```
//!
//! Each call is one step, which happens or does not: who makes several undoes them himself.
//! The device's uuid says whose it is, and is what every call finds it by. A loop device goes
//! when nothing holds it any more: who claimed it until the device does, the device afterwards;
//! its number stays until it is released.

use std::fmt::Debug;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::device::{Access, Binding, Device, Loop, LoopNumber, Removal};
use crate::{OwnerUid, Ownership};

/// Keeps something as it is for as long as it lives.
pub trait Held: Send + Sync + Debug {}

impl<T: Send + Sync + Debug> Held for T {}

/// A value that keeps something as it is until it is dropped.
pub type Hold = Box<dyn Held>;

/// A device that was opened by its number.
#[derive(Debug)]
pub struct Opened {
    /// For reading alone.
    pub reading: OwnedFd,
    /// For both, when it was asked for.
    pub writing: Option<OwnedFd>,
    /// To be dropped after the two.
    pub hold: Hold,
}

/// What a snapshot is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Over the base image.
    pub origin: LoopNumber,
    /// Over the overlay file.
    pub overlay: LoopNumber,
    /// Bytes of the device, in whole sectors of 512.
    pub size: u64,
}

/// Linux's block devices, as far as the helper needs them.
pub trait Devices {
    /// Takes a free number of ours; the device stays while the hold lives.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when all are taken; what the kernel says.
    fn claim_loop(&self) -> io::Result<(LoopNumber, Hold)>;

    /// Puts a claimed loop device over a file, under its owner's name, to be cleared by itself.
    ///
    /// # Errors
    /// What the kernel says.
    fn bind_loop(
        &self,
        number: LoopNumber,
        file: BorrowedFd<'_>,
        binding: &Binding,
    ) -> io::Result<()>;

    /// Gives a number back, once nothing holds its device; that is waited for a moment.
    /// A number that nobody has is fine.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when something still holds it; what the kernel says.
    fn release_loop(&self, number: LoopNumber) -> io::Result<()>;

    /// All loop devices of ours that are bound.
    ///
    /// # Errors
    /// What the kernel says.
    fn loops(&self) -> io::Result<Vec<Loop>>;

    /// Gives back all numbers of ours whose devices are neither bound nor held: what a helper
    /// that was killed left. How many those were.
    ///
    /// # Errors
    /// What the kernel says.
    fn release_stray_loops(&self) -> io::Result<usize>;

    /// Makes the device, of nothing yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when there is one of this name or uuid; what the kernel says.
    fn make_device(&self, of: Ownership) -> io::Result<()>;

    /// Tells it what it is to be made of; from here on it holds its loops.
    ///
    /// # Errors
    /// What the kernel says.
    fn load_table(&self, of: Ownership, table: &Table) -> io::Result<()>;

    /// Makes it a disk.
    ///
    /// # Errors
    /// What the kernel says.
    fn resume_device(&self, of: Ownership) -> io::Result<()>;

    /// The device of a VM, when there is one.
    ///
    /// # Errors
    /// What the kernel says.
    fn device(&self, of: Ownership) -> io::Result<Option<Device>>;

    /// All devices of a user, by their VMs.
    ///
    /// # Errors
    /// What the kernel says.
    fn devices_of(&self, uid: OwnerUid) -> io::Result<Vec<Device>>;

    /// The loops of ours that a device stands on.
    ///
    /// # Errors
    /// What the kernel says.
    fn loops_of(&self, device: &Device) -> io::Result<Vec<Loop>>;

    /// Whether nobody has the device open; who is about to close it is waited for a moment.
    ///
    /// # Errors
    /// What the kernel says.
    fn unused(&self, of: Ownership) -> io::Result<bool>;

    /// Removes the device, at once or, when somebody has it open, with the last of them.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove_device(&self, of: Ownership) -> io::Result<Removal>;

    /// Whether udev has looked at the device, which is waited for a moment; so it has where
    /// there is no udev.
    ///
    /// # Errors
    /// What the kernel says.
    fn udev_is_done(&self, device: &Device) -> io::Result<bool>;

    /// Gives the device's node, 0600, to a user, or takes it back.
    ///
    /// # Errors
    /// When the node is not this device's, and what the kernel says.
    fn give_node(&self, device: &Device, to: Option<OwnerUid>) -> io::Result<()>;

    /// Opens the device by its number, with nobody else at it.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when somebody has it open or it is not root's now,
    /// [`io::ErrorKind::NotFound`] when it is not this device any more; what the kernel says.
    fn open_device(&self, device: &Device, access: Access) -> io::Result<Opened>;
}
