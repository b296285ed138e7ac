//! What every verb has at hand: where things are, and where programs are found.

use std::time::{SystemTime, UNIX_EPOCH};

use banger_proto::paths::Paths;

use crate::spawn::Finder;
use crate::store::{Images, Vms};

/// The daemon's surroundings.
#[derive(Debug)]
pub struct Context {
    /// The owner's folders.
    pub paths: Paths,
    /// Where programs are found.
    pub finder: Finder,
    /// The folders of VMs.
    pub vms: Vms,
    /// The folders of images.
    pub images: Images,
}

impl Context {
    /// The surroundings that `paths` names.
    #[must_use]
    pub fn new(paths: Paths, finder: Finder) -> Self {
        Self {
            vms: Vms::in_state(&paths.state),
            images: Images::in_data(&paths.data),
            paths,
            finder,
        }
    }
}

/// Seconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|passed| i64::try_from(passed.as_secs()).ok())
        .unwrap_or(0)
}
