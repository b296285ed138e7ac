//! The owner's daemon.

fn main() {}
