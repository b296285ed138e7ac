//! What the daemon remembers: one JSON document a VM and one an image.
//!
//! A document or a folder appears under its final name whole or not at all: it is
//! made under a temporary name, made durable, and renamed. What a killed daemon left
//! under a temporary name is swept by the next one, which is the only one there is
//! while it holds the [`Instance`] lock.

mod claims;
mod document;
mod image_record;
mod images;
mod instance;
mod staging;
pub(crate) mod text;
mod vm_keys;
mod vm_record;
mod vms;

pub use claims::{Claim, Claims};
pub use document::{Document, DocumentError, Members, Migration, read, write};
pub use image_record::{ImageRecord, OwnInitrd};
pub use images::{ImageFiles, Images};
pub use instance::{Instance, InstanceError};
pub use staging::{Discarded, Staging, StoreError, allocated_bytes, sweep};
pub(crate) use staging::{GONE, NEW};
pub(crate) use text::list as texts;
pub use vm_record::{Given, ImageRef, Phase, Runtime, VmRecord};
pub use vms::{VmFiles, Vms};
