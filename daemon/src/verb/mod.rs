//! What the daemon can be asked for: a verb a file.

pub(crate) mod admission;
mod choose_vmm;
mod collect_garbage;
mod console;
mod create;
mod detach;
pub(crate) mod host_memory;
mod images;
mod log_watch;
mod logs;
mod names;
mod nearest;
mod remove;
mod set;
pub(crate) mod shares;
mod show_config;
mod ssh_target;
mod start;
mod stop;
mod wait;

pub use collect_garbage::collect_garbage;
pub use console::attach_console;
pub use create::create_vm;
pub(crate) use detach::{Left, detach, discard, discard_unknown, take_back};
pub(crate) use images::image_view;
pub use images::{get_image, list_images, remove_image};
pub use logs::{Piece, read_logs};
pub(crate) use nearest::nearest;
pub use remove::remove_broken_vm;
pub(crate) use remove::remove_vm;
pub(crate) use set::changed;
pub use show_config::show_config;
pub use ssh_target::{ssh_identity, ssh_target};
pub use start::Turns;
pub(crate) use start::start_vm;
pub(crate) use stop::stop_vm;
pub use wait::wait_vm;

use banger_proto::{Code, Refusal};

use crate::disk::{CopyError, DiskError};
use crate::store::StoreError;

/// What to do when the host's disk is full.
pub(crate) const FREE_SPACE: &str = "free some space on the host's disk and try again";

/// The refusal for an error that has its place among codes, unless the disk is full.
fn refusal(code: Code, error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut cause = Some(error);
    while let Some(here) = cause {
        if here.downcast_ref::<std::io::Error>().is_some_and(|error| {
            use std::io::ErrorKind::{QuotaExceeded, StorageFull};
            matches!(error.kind(), StorageFull | QuotaExceeded)
        }) {
            return Refusal::from_error(Code::ResourceExhausted, error).hint(FREE_SPACE);
        }
        cause = here.source();
    }
    Refusal::from_error(code, error)
}

/// A failure of the store, as callers see it.
pub(crate) fn store_refusal(error: &StoreError) -> Refusal {
    let code = match error {
        StoreError::Exists { .. } => Code::AlreadyExists,
        StoreError::Document(_) => Code::DataLoss,
        StoreError::Private(_) => Code::FailedPrecondition,
        StoreError::Folder { .. } => Code::Internal,
    };
    refusal(code, error)
}

/// A failure of work on a disk, as callers see it.
pub(crate) fn disk_refusal(error: &DiskError) -> Refusal {
    let code = match error {
        DiskError::Filesystem { source: banger_ext4::Error::Corrupt { .. }, .. } => Code::DataLoss,
        DiskError::Filesystem { source: banger_ext4::Error::NoSpace { .. }, .. } => {
            return Refusal::from_error(Code::ResourceExhausted, error)
                .hint("choose a larger size for the disk");
        }
        DiskError::InUse { .. } => {
            return Refusal::from_error(Code::Aborted, error)
                .hint("does a banger ext4 work on it? try again when that has ended");
        }
        DiskError::Copy(CopyError::NoRoom { .. }) => {
            return Refusal::from_error(Code::ResourceExhausted, error).hint(FREE_SPACE);
        }
        _ => Code::Internal,
    };
    refusal(code, error)
}

/// Runs what blocks its thread, such as work on disks, beside everything else.
///
/// # Errors
/// Those of `work`; a panic in it is [`Code::Internal`].
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Refusal::from_error(Code::Internal, &error)),
    }
}

/// What the operating system said, as callers see it.
pub(crate) trait OnHost<T> {
    /// Says what was tried.
    fn on_host(self, action: &str) -> Result<T, Refusal>;
}

impl<T> OnHost<T> for std::io::Result<T> {
    fn on_host(self, action: &str) -> Result<T, Refusal> {
        self.map_err(|error| {
            let mut refusal = refusal(Code::Internal, &error);
            refusal.chain.insert(0, std::mem::take(&mut refusal.message));
            refusal.message = format!("cannot {action}");
            refusal
        })
    }
}
