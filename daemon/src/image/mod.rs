//! Base images: how they are built, taken in and kept.

pub mod build;
