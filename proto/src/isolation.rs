//! Which of the two ways a VM runs in.

use crate::words::words;

/// Recorded when a VM is created; never switches silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything as the owner: private copies of disks, user-mode network.
    Rootless,
    /// With the root helper: dm-snapshot, bridge and tap.
    System,
}

words! {
    Isolation, "isolation", "use rootless or system";
    Rootless => "rootless",
    System => "system",
}
