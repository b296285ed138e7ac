//! What every verb has at hand: where things are, and what the host can do.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use banger_proto::paths::Paths;
use banger_proto::{Code, Refusal};
use tokio::sync::OnceCell;

use crate::spawn::Finder;
use crate::store::{Images, Vms};
use crate::vmm::Host;

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
    host: OnceCell<Arc<Host>>,
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
            host: OnceCell::new(),
        }
    }

    /// What this host runs VMs with: found out by the first who asks, and again as long
    /// as something is missing.
    ///
    /// # Errors
    /// [`Code::FailedPrecondition`] without QEMU.
    pub async fn host(&self) -> Result<Arc<Host>, Refusal> {
        let probe = async || {
            Host::probe(self.finder.clone(), &self.paths.state)
                .await
                .map(Arc::new)
                .map_err(|missing| Refusal::from_error(Code::FailedPrecondition, &missing))
        };
        self.host.get_or_try_init(probe).await.cloned()
    }

    /// Whether [`Context::host`] answers at once.
    #[must_use]
    pub fn host_is_known(&self) -> bool {
        self.host.initialized()
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
