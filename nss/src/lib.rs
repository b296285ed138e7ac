//! `libnss_banger.so.2`: the module of glibc's name service that knows VMs by their names.
//!
//! Every program that resolves names has it in itself: it asks nobody, starts nothing, keeps
//! nothing, and reads one small file that only the user of that program can have written, which
//! bangerd keeps. So each user has names of their own, and root has none.

mod hosts;
pub mod service;
