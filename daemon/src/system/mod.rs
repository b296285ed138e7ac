//! Running VMs with the root helper: what bangerd asks of it, and whether it may.

mod facts;
mod guest_files;
mod helper;
mod ready;
#[cfg(test)]
mod tests;

pub(crate) use helper::{Helper, is_unknown};
pub(crate) use ready::Offer;
