//! Devices and taps of VMs that do not run: a daemon that was killed left them.

use std::sync::Arc;

use banger_proto::roothelper::{Object, ObjectKind};
use banger_proto::{Isolation, Refusal, VmId};

use crate::store::VmRecord;
use crate::system::Helper;
use crate::verb::Left;
use crate::vm::{Handle, Registry};

/// Has each VM's own task see to them, so that one that is started meanwhile keeps its new ones.
pub(super) async fn take_back(registry: Arc<Registry>) {
    let vms = registry.all();
    let records: Vec<_> = vms.iter().map(Handle::record).collect();
    if !records.iter().any(|record| record.isolation == Isolation::System) {
        return;
    }
    let objects = async { Helper::connect().await?.objects().await };
    let objects: Result<_, Refusal> = objects.await;
    match objects {
        Ok(objects) => {
            for (vm, left) in left(&records, &objects) {
                if let Some(handle) = vms.iter().find(|handle| handle.id() == vm) {
                    handle.take_back(left);
                }
            }
        }
        Err(refusal) => {
            tracing::warn!(%refusal, "cannot see what the root helper keeps for VMs that do not run");
        }
    }
}

/// What there is of VMs that do not run, and are not being started.
fn left(records: &[VmRecord], objects: &[Object]) -> Vec<(VmId, Left)> {
    let rests = |vm: VmId| {
        let record = records.iter().find(|record| record.id == vm);
        record.is_some_and(|it| it.phase.runtime().is_none() && !it.phase.is_starting())
    };
    let left = objects.iter().filter_map(|object| match object.kind {
        ObjectKind::Snapshot { diskseq, .. } => Some((object.vm, Left::Device(diskseq))),
        ObjectKind::Tap { .. } => Some((object.vm, Left::Tap)),
        _ => None,
    });
    left.filter(|(vm, _)| rests(*vm)).collect()
}

#[cfg(test)]
mod tests {
    use banger_proto::roothelper::Diskseq;

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

    fn tap(vm: VmId) -> Object {
        let kind = ObjectKind::Tap { index: 7, open: false, address: [172, 16, 0, 7].into() };
        Object { kind, ..device(vm, 1) }
    }

    #[test]
    fn only_devices_and_taps_of_known_vms_that_rest_are_taken_back() {
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
            tap(stopped.id),
            tap(starting.id),
        ];
        let device = |number| Left::Device(Diskseq::new(number).ok());
        let expected = [device(7), device(0), Left::Tap].map(|left| (stopped.id, left));
        assert_eq!(left(&[starting, stopped], &objects), expected);
    }
}
