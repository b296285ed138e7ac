//! What root made for a VM goes when its VMM has gone, or with the VM.

use banger_proto::roothelper::{Change, Diskseq};
use banger_proto::{Code, Isolation, Network, Refusal, Vm, VmId};

use crate::progress::Teller;
use crate::store::VmRecord;
use crate::system::Helper;

/// The helper is not there: nothing of its making can be reached then.
const NO_HELPER: &str = "what the root helper had made for it is not taken away";

/// Takes away the tap and the device of a VM whose VMM has gone. What cannot be taken away is
/// said, and goes with the next start, the next bangerd or the VM.
pub(crate) async fn detach(record: &VmRecord, teller: &Teller<Vm>) {
    if record.isolation == Isolation::Rootless {
        return;
    }
    if record.network == Network::Bridge {
        let detached = teller.stage("detach_network", "", detach_network(record)).await;
        if let Err(refusal) = detached {
            tracing::error!(vm = %record.name, error = %refusal, "the VM's tap stays");
            teller.notice(format!("the VM's tap stays for now: {refusal}"));
        }
    }
    let detached = teller.stage("detach_snapshot", "", detach_now(record)).await;
    if let Err(refusal) = detached {
        tracing::error!(vm = %record.name, error = %refusal, "the VM's device stays");
        teller.notice(format!("the VM's device stays for now: {refusal}"));
    }
}

async fn detach_network(record: &VmRecord) -> Result<(), Refusal> {
    Helper::connect().await?.detach_network(record.id).await.map(drop)
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

/// What root made for an earlier run of a VM, and is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// A device: its disk's number, where it became a disk.
    Device(Option<Diskseq>),
    /// A tap.
    Tap,
}

/// Has the root helper take away what a daemon that was killed left of a VM that does not run.
pub(crate) async fn take_back(record: &VmRecord, left: Left) {
    let taken = async {
        let mut helper = Helper::connect().await?;
        match left {
            // Whichever it is by now: it has none of its own.
            Left::Device(_) => helper.detach(record.id, None).await,
            Left::Tap => helper.detach_network(record.id).await,
        }
    };
    match taken.await {
        Ok(change) => tracing::info!(vm = %record.name, ?left, ?change, "took back"),
        Err(refusal) => tracing::warn!(vm = %record.name, ?left, %refusal, "cannot take back"),
    }
}

/// Removes what the guest of a VM wrote, with its device, and its tap. Without a helper there is nobody who
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
        if record.network == Network::Bridge {
            helper.detach_network(record.id).await?;
        }
        helper.detach(record.id, None).await?;
        helper.discard(record.id).await
    };
    teller.stage("discard_overlay", "", discarding).await.map(drop)
}

/// The same for a VM of which nothing is known but its id: the helper is asked what it has.
pub(crate) async fn discard_unknown(vm: VmId) -> Result<(), Refusal> {
    // Where it cannot be asked, by nobody or not by this user, it has nothing of this VM's that
    // could be taken away here: `banger gc` tells of it once it can.
    let Ok(mut helper) = Helper::connect().await else { return Ok(()) };
    let Ok(objects) = helper.objects().await else { return Ok(()) };
    if objects.iter().any(|object| object.vm == vm) {
        helper.detach_network(vm).await?;
        helper.detach(vm, None).await?;
        helper.discard(vm).await?;
    }
    Ok(())
}
