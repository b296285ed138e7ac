//! Tests about the repository itself: who may use what, and how it is kept.

mod edges;
mod install;
mod invariants;
mod scripts;
mod sources;
