//! Tests about the repository itself: who may use what, and how it is kept.

mod edges;
mod helper_install;
mod install;
mod invariants;
mod packaging;
mod permit;
mod scripts;
mod size;
mod sources;
