//! Changes the filesystem on an attached device: all of it in one transaction.

use banger_proto::Refusal;
use banger_proto::roothelper::{WriteBlame, WriteOutcome};

use super::Host;
use super::edit::open;
use crate::audit::Outcome;
use crate::kernel::device::Access;
use crate::{Method, Permit, call};

pub(crate) async fn write_ext4_files(
    permit: Permit<call::WriteExt4Files>,
    host: Host,
) -> Result<WriteOutcome, Refusal> {
    let (caller, call::WriteExt4Files(request)) = permit.into_parts();
    let (workers, place) = host.staff.place(caller.uid()).await?;
    let device = open(&host, caller.uid(), request.device, Access::Write).await?;
    let mut pending = host.audit.begin(&caller, Method::WriteExt4Files);
    pending.about(Some(request.device.vm), Some(request.device.diskseq));
    let outcome = workers.write(device, request.writes).await;
    drop(place);
    let (ended, why) = told(&outcome);
    pending.ended(ended, why);
    Ok(outcome)
}

/// What the log has of it.
fn told(outcome: &WriteOutcome) -> (Outcome, &str) {
    match outcome {
        WriteOutcome::Applied { .. } => (Outcome::Applied, ""),
        WriteOutcome::NotApplied { blame: WriteBlame::Host, chain } => {
            (Outcome::NotApplied, chain.last().map_or("", String::as_str))
        }
        WriteOutcome::NotApplied { blame, .. } => (Outcome::NotApplied, word(*blame)),
        WriteOutcome::Unknown { chain } => {
            (Outcome::Unknown, chain.last().map_or("", String::as_str))
        }
    }
}

const fn word(blame: WriteBlame) -> &'static str {
    match blame {
        WriteBlame::Request => "request",
        WriteBlame::Incompatible => "incompatible",
        WriteBlame::Damage => "damage",
        WriteBlame::Space => "space",
        WriteBlame::Host => "host",
    }
}
