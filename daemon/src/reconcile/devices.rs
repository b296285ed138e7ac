//! Devices of VMs that do not run: a daemon that was killed left them.

use std::sync::Arc;

use banger_proto::roothelper::{Diskseq, Object, ObjectKind};
use banger_proto::{Isolation, Refusal, VmId};

use crate::store::VmRecord;
use crate::system::Helper;
use crate::vm::{Handle, Registry};

/// Has the root helper take them away. Which one is meant it is told by the disk's number, so
/// that a VM that is started meanwhile keeps its new one; what never became a disk has none.
pub(super) async fn take_back(registry: Arc<Registry>) {
    let records = || registry.all().iter().map(Handle::record).collect::<Vec<_>>();
    if !records().iter().any(|record| record.isolation == Isolation::System) {
        return;
    }
    let taken = async {
        let mut helper = Helper::connect().await?;
        let objects = helper.objects().await?;
        for (vm, diskseq) in left(&records(), &objects) {
            match helper.detach(vm, diskseq).await {
                Ok(change) => tracing::info!(%vm, ?change, "took a device back"),
                Err(refusal) => tracing::warn!(%vm, %refusal, "cannot take a device back"),
            }
        }
        Ok::<_, Refusal>(())
    };
    if let Err(refusal) = taken.await {
        tracing::warn!(%refusal, "cannot see what the root helper keeps for VMs that do not run");
    }
}

/// The devices of VMs that do not run, and are not being started.
fn left(records: &[VmRecord], objects: &[Object]) -> Vec<(VmId, Option<Diskseq>)> {
    let rests = |vm: VmId| {
        let record = records.iter().find(|record| record.id == vm);
        record.is_some_and(|it| it.phase.runtime().is_none() && !it.phase.is_starting())
    };
    let devices = objects.iter().filter_map(|object| match object.kind {
        ObjectKind::Snapshot { diskseq, .. } => Some((object.vm, diskseq)),
        _ => None,
    });
    devices.filter(|(vm, _)| rests(*vm)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Phase;

    fn device(vm: VmId, number: u64) -> Object {
        let kind = ObjectKind::Snapshot {
            diskseq: Diskseq::new(number).ok(),
            numbers: (253, 0),
            size_bytes: 1 << 30,
            lent: true,
            open: false,
            suspended: false,
            removal_pending: false,
            invalid: false,
        };
        Object { vm, name: "dm".into(), since: 0, kind }
    }

    #[test]
    fn only_devices_of_known_vms_that_rest_are_taken_back() {
        let stopped =
            VmRecord { phase: Phase::Stopped { reason: String::new() }, ..VmRecord::sample() };
        let starting = VmRecord { phase: Phase::Starting {}, ..VmRecord::sample() };
        let overlay = Object {
            kind: ObjectKind::Overlay { size_bytes: 1, allocated_bytes: 1, attached: false },
            ..device(stopped.id, 1)
        };
        let objects = [
            device(stopped.id, 7),
            overlay,
            device(starting.id, 8),
            device(VmId::random(), 9),
            device(stopped.id, 0),
        ];
        let expected = [(stopped.id, Diskseq::new(7).ok()), (stopped.id, None)];
        assert_eq!(left(&[starting, stopped], &objects), expected);
    }
}
