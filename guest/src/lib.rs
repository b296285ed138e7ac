//! The first process of a guest that finds its disks by modules: it loads them, mounts the root filesystem
//! and becomes the init that is there.
//!
//! ```text
//! /init: devtmpfs, proc ─> modules in the order of /modules/order ─> the root disk, waited for
//!                        ─> mounted on /root ─> moved to / ─> the guest's own init
//! ```
//!
//! bangerd carries it as a program of a few KiB, without a library of any kind, and puts it into the initial
//! RAM disks that it makes. As a library it is there to be linted, documented and tested.
#![cfg_attr(not(test), no_std)]

pub mod boot;
pub mod command_line;
pub mod disks;
pub mod system;
pub mod text;
