//! What root made for a VM goes when its VMM has gone, or with the VM.

use banger_proto::roothelper::Change;
use banger_proto::{Code, Isolation, Refusal, Vm};

use crate::progress::Teller;
use crate::store::VmRecord;
use crate::system::Helper;

/// The helper is not there: nothing of its making can be reached then.
const NO_HELPER: &str = "what the root helper had made for it is not taken away";

/// Takes away the device of a VM whose VMM has gone. What cannot be taken away is said, and
/// goes with the next start, the next bangerd or the VM.
pub(crate) async fn detach(record: &VmRecord, teller: &Teller<Vm>) {
    if record.isolation == Isolation::Rootless {
        return;
    }
    let detached = teller.stage("detach_snapshot", "", detach_now(record)).await;
    if let Err(refusal) = detached {
        tracing::error!(vm = %record.name, error = %refusal, "the VM's device stays");
        teller.notice(format!("the VM's device stays for now: {refusal}"));
    }
}

async fn detach_now(record: &VmRecord) -> Result<(), Refusal> {
    match Helper::connect().await?.detach(record.id, None).await? {
        Change::RemovalPending => Err(Refusal::new(
            Code::FailedPrecondition,
            "somebody has it open; it goes when they close it",
        )),
        _ => Ok(()),
    }
}

/// Removes what the guest of a VM wrote, with its device. Without a helper there is nobody who
/// could, and the VM can be removed all the same.
pub(crate) async fn discard(record: &VmRecord, teller: &Teller<Vm>) -> Result<(), Refusal> {
    if record.isolation == Isolation::Rootless {
        return Ok(());
    }
    let mut helper = match Helper::connect().await {
        Err(refusal) if refusal.code == Code::Unavailable => {
            teller.notice(format!("{NO_HELPER}: {refusal}"));
            return Ok(());
        }
        helper => helper?,
    };
    let discarding = async {
        helper.detach(record.id, None).await?;
        helper.discard(record.id).await
    };
    teller.stage("discard_overlay", "", discarding).await.map(drop)
}
