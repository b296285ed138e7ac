//! What can be waited for.

use crate::words::words;

/// What a VM is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmCondition {
    /// It does not run any more, or is removed.
    #[default]
    Stopped,
    /// Its guest has booted.
    Running,
    /// Its sshd answers now.
    Ssh,
}

words! {
    VmCondition, "condition", "use stopped, running or ssh";
    Stopped => "stopped",
    Running => "running",
    Ssh => "ssh",
}
