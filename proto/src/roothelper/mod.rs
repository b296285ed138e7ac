//! The nouns of the root helper's contract, checked in both directions.
//!
//! Requests and answers that have a file of their own name are the calls' own; every text,
//! number and enum of the wire is checked when it becomes one of these.

mod attached_network;
mod bridge_address;
mod change;
mod description;
mod device_handle;
mod ext4_found;
mod ext4_write;
mod interaction;
mod numbers;
mod object;
mod of_vm;
mod snapshot;
mod sweep;
mod write_outcome;

#[cfg(feature = "roothelper")]
mod client;

pub use attached_network::{AttachedNetwork, Tap};
pub use bridge_address::{bridge_address, bridge_guests, usual_number};
pub use change::Change;
#[cfg(feature = "roothelper")]
pub use client::RootHelper;
pub use description::{
    ActionAnswer, Answer, Facility, FacilityKind, HelperDescription, HelperLimits, HelperUsage,
};
pub use device_handle::{DeviceHandle, Diskseq};
pub use ext4_found::{Ext4Found, Ext4Owner, ReadExt4};
pub use ext4_write::{Ext4Operation, Ext4Write, LinkTarget, WriteExt4};
pub use interaction::Interaction;
pub use object::{Object, ObjectKind};
pub use of_vm::OfVm;
pub use snapshot::{AttachSnapshot, DetachSnapshot, Discarded, LendDevice, LentDevice, Snapshot};
pub use sweep::{Fate, Sweep, Swept};
pub use write_outcome::{WriteBlame, WriteOutcome};

/// Where the helper listens.
pub const SOCKET: &str = "/run/banger/roothelper.sock";
