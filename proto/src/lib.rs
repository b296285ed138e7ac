//! What banger's programs say to each other: the contracts, validated nouns, typed clients.
//!
//! Wire messages are checked into the types of this crate at the edge; past it no bare
//! string or number travels. Generated types stay in [`wire`] and in server modules.
#![forbid(unsafe_code)]

mod bounded;
mod check;
mod cpus;
mod distribution;
mod ext4_line;
mod file_mode;
mod garbage;
mod guest_path;
mod image;
mod image_name;
mod isolation;
mod lifetime;
mod mib;
mod network;
pub mod paths;
mod port_forward;
mod refusal;
pub mod roothelper;
mod seconds;
mod setting;
mod share;
mod ssh_options;
mod ssh_target;
mod stage;
mod vm;
mod vm_change;
mod vm_condition;
mod vm_id;
mod vm_name;
mod vm_ref;
mod vm_state;
mod vmm;
pub mod wire;

mod words;

#[cfg(feature = "client")]
pub mod client;

pub use check::{Check, CheckState};
pub use cpus::Cpus;
pub use distribution::{Distribution, Need};
pub use ext4_line::{Bytes, Ext4Attribute, Ext4Blame, Ext4Entry, Ext4Kind, Ext4Line, hex};
pub use file_mode::FileMode;
pub use garbage::{BrokenVm, Garbage, GarbageFate, GarbagePlace};
pub use guest_path::GuestPath;
pub use image::{Image, ImageSource};
pub use image_name::ImageName;
pub use isolation::Isolation;
pub use lifetime::Lifetime;
pub use mib::Mib;
pub use network::Network;
pub use port_forward::{PortForward, Protocol};
pub use refusal::{Code, Refusal};
pub use seconds::Seconds;
pub use setting::{Origin, Setting};
pub use share::Share;
pub use ssh_options::{SshSession, ssh_arguments, ssh_path_value};
pub use ssh_target::{SshIdentity, SshTarget};
pub use stage::{Event, Progress, Stage};
pub use vm::{NewVm, Running, StartOptions, Vm};
pub use vm_change::VmChange;
pub use vm_condition::VmCondition;
pub use vm_id::VmId;
pub use vm_name::VmName;
pub use vm_ref::VmRef;
pub use vm_state::VmState;
pub use vmm::{VmmChoice, VmmKind};

/// A wire message or an argument that does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{noun} {value}: {rule}")]
pub struct Invalid {
    /// What it should have been: `VM name`, `size`.
    pub noun: &'static str,
    /// What it was, escaped and cut for people.
    pub value: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl Invalid {
    /// Longest part of a rejected value that is repeated to people, in characters.
    const SHOWN: usize = 64;

    /// Says that `value` is no `noun` because of `rule`.
    #[must_use]
    pub fn new(noun: &'static str, value: &str, rule: &'static str) -> Self {
        let mut shown: String =
            value.chars().take(Self::SHOWN).flat_map(char::escape_default).collect();
        if value.chars().nth(Self::SHOWN).is_some() {
            shown.push('…');
        }
        Self { noun, value: format!("\"{shown}\""), rule }
    }
}
