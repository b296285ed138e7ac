//! Making new filesystems: sizes, places, then a list of writes.

mod files;
mod options;
mod place;
mod plan;
mod sizes;
mod tables;
mod writes;

pub use options::{FormatOptions, Inodes, Journal};
pub(crate) use place::{Space, Tables};
pub(crate) use plan::make;
pub use plan::{FormatPlan, format, plan};
