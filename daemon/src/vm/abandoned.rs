//! When an ephemeral VM is to go: nobody holds it any more.

use std::time::Duration;

use crate::spawn::Process;
use crate::store::VmRecord;

/// How long an ephemeral VM may be without anybody who is known to hold it.
const GRACE: Duration = Duration::from_secs(10);

/// Returns when nobody wants the VM any more; never for one that is not ephemeral.
///
/// A hold that was let go of ends it at once. Before anybody held it, and after a
/// restart of the daemon, it is awaited that the process ends which made or held it.
pub(super) fn wait(
    record: &VmRecord,
    holds: usize,
    released: bool,
) -> impl Future<Output = ()> + Send + 'static {
    let wanted = !record.ephemeral || holds > 0;
    let known = record.holder.is_some();
    let holder =
        record.holder.as_ref().filter(|_| !wanted && !released).map_or(Ok(None), Process::find);
    async move {
        if wanted {
            std::future::pending::<()>().await;
        }
        match holder {
            _ if released => {}
            // Nobody is taken for gone of whom that cannot be told.
            Err(error) => {
                tracing::error!(%error, "cannot look for the holder of a VM");
                std::future::pending::<()>().await;
            }
            Ok(Some(holder)) => {
                if let Err(error) = holder.ended().await {
                    tracing::error!(%error, "cannot await the holder of a VM");
                    std::future::pending::<()>().await;
                }
            }
            Ok(None) if known => {}
            Ok(None) => tokio::time::sleep(GRACE).await,
        }
    }
}
