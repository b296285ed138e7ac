//! `vm start`: a plan, carried out stage by stage, undone when a stage fails.

mod disks;
mod enclose;
mod execute;
mod least_memory;
mod network;
mod plan;
mod refusals;
mod snapshot;
mod turn;
mod undo;

pub(crate) use execute::start_vm;
pub use turn::Turns;
