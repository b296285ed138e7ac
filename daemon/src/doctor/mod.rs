//! `bangerd doctor`: what this host has for running VMs, looked at once and told as JSON.
//!
//! ```text
//! gather ─> Facts (data) ─> check::all (pure) ─> checks ─┐
//!    └─> proof: a guest of a few bytes, started as VMs are ┴─> JSON on standard output
//! ```
//!
//! It needs no daemon, serves nobody and changes nothing; the command line adds what it
//! sees of bangerd itself.

mod check;
mod facts;
mod gather;
mod proof;
mod run;

pub(crate) use run::{ARGUMENT, run};
