//! Which network a VM has.

use crate::words::words;

/// Which network a VM has, for all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A way out, and the ways in that are published.
    #[default]
    User,
    /// No card at all: only the console leads there.
    None,
    /// A tap on the root helper's bridge.
    Bridge,
}

words! { Network, "network", "use bridge, user or none"; User => "user", None => "none", Bridge => "bridge" }
