//! What the daemon can be asked for: a verb a file.

mod create;
mod images;
mod logs;
mod names;
mod ssh_target;

pub use create::create_vm;
pub use images::{get_image, list_images, remove_image};
pub use logs::read_logs;
pub use ssh_target::ssh_target;

use banger_proto::{Code, Refusal};

use crate::store::StoreError;

/// A failure of the store, as callers see it.
pub(crate) fn store_refusal(error: &StoreError) -> Refusal {
    let full = |source: &std::io::Error| {
        matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error_here) = cause {
        if error_here.downcast_ref::<std::io::Error>().is_some_and(full) {
            return Refusal::from_error(Code::ResourceExhausted, error)
                .hint("free some space on the host's disk and try again");
        }
        cause = error_here.source();
    }
    let code = match error {
        StoreError::Exists { .. } => Code::AlreadyExists,
        StoreError::Document(_) => Code::DataLoss,
        StoreError::Private(_) => Code::FailedPrecondition,
        StoreError::Folder { .. } => Code::Internal,
    };
    Refusal::from_error(code, error)
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
