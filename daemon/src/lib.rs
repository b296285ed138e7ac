//! The owner's daemon: disposable Linux microVMs, as an ordinary user.
//!
//! Nothing here runs as root, and nothing here is `unsafe`.

pub mod guest;
pub mod image;
pub mod keys;
pub mod net;
pub mod spawn;
pub mod vmm;
