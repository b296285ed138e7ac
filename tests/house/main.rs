//! Tests about the repository itself: who may use what, and how it is kept.

mod edges;
mod scripts;
mod sources;
