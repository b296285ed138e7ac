//! What the helper asks of Linux. The only place where unsafe code may stand.
//!
//! [`Kernel`] is one of the two seams that tests stand in at: [`linux`] is the real one,
//! `simulated` behaves like it without root. Its calls block, and are made on threads of
//! their own. [`Devices`] is its part that makes block devices.
#![expect(unsafe_code, reason = "system calls that no crate of ours has a safe form of")]

pub mod device;
mod devices;
mod landlock;
mod linux;
pub mod network;
mod overlay;
mod peer;
mod received;
mod release;
pub mod sanitise;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
pub(crate) mod thread;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs::File;
use std::io;

use crate::{OwnerUid, Ownership};

pub use devices::{Devices, Held, Hold, Opened, Table};
pub use linux::Linux;
pub use network::Network;
pub use overlay::Overlay;
pub(crate) use peer::peer_pidfd;
pub use received::{Elsewhere, Received};
pub use release::Release;

/// What was found, or what is missing: in one line, for people.
pub type Seen = Result<String, String>;

/// Linux, as far as the helper needs it.
pub trait Kernel: Devices + Network + Send + Sync + Debug {
    /// Its version.
    ///
    /// # Errors
    /// When it does not tell, or tells none that can be read.
    fn release(&self) -> io::Result<Release>;

    /// Device-mapper with its snapshot target.
    ///
    /// # Errors
    /// What is missing.
    fn device_mapper(&self) -> Seen;

    /// A way to make loop devices.
    ///
    /// # Errors
    /// What is missing.
    fn loop_control(&self) -> Seen;

    /// The udev rules that keep the host's hands off guests' devices.
    ///
    /// # Errors
    /// What is missing.
    fn udev_rules(&self) -> Seen;

    /// A way to make taps.
    ///
    /// # Errors
    /// What is missing.
    fn tun(&self) -> Seen;

    /// Landlock, behind which filesystems of guests are read.
    ///
    /// # Errors
    /// What is missing.
    fn landlock(&self) -> Seen;

    /// The folder of overlay files, on a filesystem that can hold them.
    ///
    /// # Errors
    /// What is missing.
    fn overlay_folder(&self) -> Seen;

    /// The overlay files of a user. What is not of our names is none.
    ///
    /// # Errors
    /// When the folder cannot be read; that it is not there is none.
    fn overlays_of(&self, uid: OwnerUid) -> io::Result<Vec<Overlay>>;

    /// The users that have anything of ours: a device, a loop device, an overlay file.
    ///
    /// # Errors
    /// What the kernel says, and when the folder cannot be read.
    fn owners(&self) -> io::Result<BTreeSet<OwnerUid>>;

    /// Bytes that are free for everybody on the filesystem of the overlay files.
    ///
    /// # Errors
    /// When it cannot be told; that the folder is not there is 0 bytes.
    fn overlay_space(&self) -> io::Result<u64>;

    /// Makes a user's overlay file, of zeroes that take no room.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one; what the kernel says.
    fn create_overlay(&self, of: Ownership, size: u64) -> io::Result<()>;

    /// Opens it for both.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none; what the kernel says.
    fn open_overlay(&self, of: Ownership) -> io::Result<File>;

    /// Removes it, with all that was written.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none; what the kernel says.
    fn remove_overlay(&self, of: Ownership) -> io::Result<()>;
}
