//! Which program runs a VM.

use crate::words::words;

/// The program that runs a VM, for all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmmKind {
    /// QEMU.
    #[default]
    Qemu,
    /// Firecracker.
    Firecracker,
}

words! {
    VmmKind, "VMM", "use qemu or firecracker";
    Qemu => "qemu",
    Firecracker => "firecracker",
}

/// Which program is to run a new VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmmChoice {
    /// Firecracker where it can do what the VM needs, else QEMU.
    #[default]
    Auto,
    /// QEMU.
    Qemu,
    /// Firecracker, or none.
    Firecracker,
}

words! {
    VmmChoice, "VMM", "use auto, qemu or firecracker";
    Auto => "auto",
    Qemu => "qemu",
    Firecracker => "firecracker",
}
