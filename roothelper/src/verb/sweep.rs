//! Removes what belongs to no VM and is not used.

use std::collections::{BTreeMap, BTreeSet};

use banger_proto::roothelper::{
    Change, DetachSnapshot, Fate, Interaction, Object, ObjectKind, Sweep, Swept,
};
use banger_proto::{Refusal, VmId};

use super::detach_network::detach_unused;
use super::detach_snapshot::detach;
use super::discard_overlay::discard;
use super::list_objects::objects;
use super::network::set_right;
use super::{Host, Wire, waiting};
use crate::kernel::Kernel;
use crate::vm_lock::{VmLock, VmLocks};
use crate::{Config, OwnerUid, Ownership, Permit, call};

pub(crate) async fn sweep(
    permit: Permit<call::Sweep>,
    host: Host,
    wire: Wire,
) -> Result<Vec<Swept>, Refusal> {
    let (caller, call::Sweep(request)) = permit.into_parts();
    waiting(move || {
        let Host { kernel, config, locks, .. } = host;
        let broom = Broom { kernel: &*kernel, locks: &locks, wire: &wire, config: Some(config) };
        let swept = broom.sweep_user(caller.uid(), &request)?;
        if !request.dry_run {
            // What cannot be set right now is so by the next who attaches or detaches.
            let _alone = wire.blocking_lock();
            let _told_then = set_right(&*kernel, config);
        }
        Ok(swept)
    })
    .await
}

/// What objects are removed with.
#[derive(Clone, Copy)]
pub(crate) struct Broom<'a> {
    pub(crate) kernel: &'a dyn Kernel,
    pub(crate) locks: &'a VmLocks,
    pub(crate) wire: &'a Wire,
    /// None where it cannot be read: what follows from it stays as it is.
    pub(crate) config: Option<Config>,
}

/// Why something stays that was meant.
const OVERLAY: &str = "it is what a guest wrote, and overlays were not meant";
const OPEN: &str = "a program has it open";
const PENDING: &str = "it goes with the last program that has it open";

impl Broom<'_> {
    /// Sweeps one user's objects, those of each VM while no other call is about it.
    pub(crate) fn sweep_user(self, uid: OwnerUid, request: &Sweep) -> Result<Vec<Swept>, Refusal> {
        let Self { kernel, locks, .. } = self;
        let keep: BTreeSet<_> = request.keep.iter().copied().collect();
        let mut taken = BTreeMap::new();
        for object in objects(kernel, uid)? {
            let vm = object.vm;
            if !keep.contains(&vm) {
                taken.entry(vm).or_insert_with(|| locks.lock(Ownership { uid, vm }));
            }
        }
        // As they are now that nobody changes them: a call may have ended meanwhile.
        let mut found: BTreeMap<VmId, Vec<Object>> = BTreeMap::new();
        for object in objects(kernel, uid)? {
            found.entry(object.vm).or_default().push(object);
        }
        let mut swept = Vec::new();
        for (vm, lock) in taken {
            let found = found.remove(&vm).unwrap_or_default();
            match lock {
                Ok(lock) => swept.extend(self.sweep_vm(&lock, found, request)),
                Err(busy) => swept.extend(
                    found
                        .into_iter()
                        .map(|object| Swept { object, fate: Fate::Stays(busy.message.clone()) }),
                ),
            }
        }
        if !request.dry_run {
            // Numbers of loop devices that are nobody's; what cannot be given back is in nobody's way.
            let _strays = kernel.release_stray_loops();
        }
        Ok(swept)
    }

    /// Sweeps one VM's objects: the device, then what is below it.
    fn sweep_vm(self, lock: &VmLock, found: Vec<Object>, request: &Sweep) -> Vec<Swept> {
        let mut attached = false;
        let mut swept = Vec::new();
        for object in found {
            let fate =
                planned(&object.kind, attached, request.include_overlays).unwrap_or_else(|| {
                    if request.dry_run { Fate::Removed } else { self.removed(lock, &object.kind) }
                });
            if matches!(object.kind, ObjectKind::Snapshot { .. }) {
                attached = fate != Fate::Removed;
            }
            swept.push(Swept { object, fate });
        }
        swept
    }

    fn removed(self, lock: &VmLock, kind: &ObjectKind) -> Fate {
        let change = match kind {
            ObjectKind::Snapshot { .. } => {
                let (vm, interaction) = (lock.of().vm, Interaction::Never);
                detach(self.kernel, lock, &DetachSnapshot { vm, diskseq: None, interaction })
            }
            ObjectKind::Tap { .. } => {
                let _alone = self.wire.blocking_lock();
                match detach_unused(self.kernel, self.config, lock.of()) {
                    Ok(None) => return Fate::Stays(OPEN.to_owned()),
                    Ok(Some(change)) => Ok(change),
                    Err(refusal) => Err(refusal),
                }
            }
            ObjectKind::Overlay { .. } | ObjectKind::Loop { .. } => {
                discard(self.kernel, lock).map(|discarded| discarded.change)
            }
        };
        match change {
            Ok(Change::RemovalPending) => Fate::Stays(PENDING.to_owned()),
            Ok(_) => Fate::Removed,
            Err(refusal) => {
                let causes = refusal.chain.iter();
                Fate::Stays(causes.fold(refusal.message.clone(), |told, cause| told + ": " + cause))
            }
        }
    }
}

/// Why an object stays, by what is seen of it; `None` when it may go.
fn planned(kind: &ObjectKind, attached: bool, include_overlays: bool) -> Option<Fate> {
    let why = match kind {
        ObjectKind::Snapshot { removal_pending: true, .. } => PENDING,
        ObjectKind::Snapshot { open: true, .. } => OPEN,
        ObjectKind::Overlay { .. } if !include_overlays => OVERLAY,
        ObjectKind::Overlay { .. } if attached => "its device stays",
        // One that nobody has open is gone.
        ObjectKind::Loop { .. } => OPEN,
        ObjectKind::Tap { open: true, .. } => OPEN,
        ObjectKind::Snapshot { .. } | ObjectKind::Overlay { .. } | ObjectKind::Tap { .. } => {
            return None;
        }
    };
    Some(Fate::Stays(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::device::Binding;
    use crate::kernel::network::{Bridge, Guest, Tap};
    use crate::kernel::simulated::Simulated;
    use crate::kernel::{Devices, Table};
    use std::os::fd::AsFd;

    fn sweep_user(
        kernel: &Simulated,
        locks: &VmLocks,
        uid: OwnerUid,
        request: &Sweep,
    ) -> Result<Vec<Swept>, Refusal> {
        let (wire, config) = (Wire::default(), Some(Config::default()));
        Broom { kernel, locks, wire: &wire, config }.sweep_user(uid, request)
    }

    /// A user's VM with a device that is there, and an overlay.
    fn attached(kernel: &Simulated, uid: u32) -> Ownership {
        let of = Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() };
        let size = 1 << 20;
        kernel.create_overlay(of, size).unwrap();
        let file = kernel.open_overlay(of).unwrap();
        let bound = [true, false].map(|read_only| {
            let (number, hold) = kernel.claim_loop().unwrap();
            kernel.bind_loop(number, file.as_fd(), &Binding { of, read_only, size }).unwrap();
            (number, hold)
        });
        kernel.make_device(of).unwrap();
        let table = Table { origin: bound[0].0, overlay: bound[1].0, size };
        kernel.load_table(of, &table).unwrap();
        kernel.resume_device(of).unwrap();
        of
    }

    fn request(keep: &[Ownership], dry_run: bool, include_overlays: bool) -> Sweep {
        let keep = keep.iter().map(|of| of.vm).collect();
        Sweep { keep, dry_run, include_overlays, interaction: Interaction::Never }
    }

    fn fates(swept: &[Swept]) -> Vec<(VmId, char, &str)> {
        let kind = |kind: &ObjectKind| match kind {
            ObjectKind::Snapshot { .. } => 's',
            ObjectKind::Loop { .. } => 'l',
            ObjectKind::Overlay { .. } => 'o',
            ObjectKind::Tap { .. } => 't',
        };
        let fate = |fate| match fate {
            &Fate::Removed => "",
            Fate::Stays(why) => why,
        };
        swept.iter().map(|it| (it.object.vm, kind(&it.object.kind), fate(&it.fate))).collect()
    }

    #[test]
    fn what_belongs_to_no_vm_goes_and_the_rest_stays() {
        let (kernel, locks) = (Simulated::default(), VmLocks::default());
        let uid = OwnerUid::new(1000).unwrap();
        let (kept, gone, others) =
            (attached(&kernel, 1000), attached(&kernel, 1000), attached(&kernel, 1001));
        let sweep = |request| sweep_user(&kernel, &locks, uid, &request).unwrap();
        // Told and not done.
        for overlays in [false, true] {
            let swept = sweep(request(&[kept], true, overlays));
            let of_overlay = if overlays { "" } else { OVERLAY };
            assert_eq!(fates(&swept), [(gone.vm, 's', ""), (gone.vm, 'o', of_overlay)]);
        }
        assert_eq!(kernel.state().devices.len(), 3);
        let swept = sweep(request(&[kept], false, false));
        assert_eq!(fates(&swept), [(gone.vm, 's', ""), (gone.vm, 'o', OVERLAY)]);
        assert_eq!(kernel.state().devices.len(), 2);
        assert_eq!(kernel.state().loops.len(), 4);
        assert_eq!(kernel.state().overlays.len(), 3);
        let swept = sweep(request(&[kept], false, true));
        assert_eq!(fates(&swept), [(gone.vm, 'o', "")]);
        assert_eq!(sweep(request(&[kept], false, true)), []);
        let mut left: Vec<_> = kernel.state().overlays.keys().copied().collect();
        left.sort_by_key(|of| *of != kept);
        assert_eq!(left, [kept, others]);
    }

    #[test]
    fn what_somebody_uses_stays_with_the_reason() {
        let (kernel, locks) = (Simulated::default(), VmLocks::default());
        let uid = OwnerUid::new(1000).unwrap();
        let of = attached(&kernel, 1000);
        let sweep = || sweep_user(&kernel, &locks, uid, &request(&[], false, true)).unwrap();
        let busy = locks.lock(of).unwrap();
        let why = "another call about this VM is under way";
        assert_eq!(fates(&sweep()), [(of.vm, 's', why), (of.vm, 'o', why)]);
        drop(busy);
        let device = kernel.device(of).unwrap().unwrap();
        kernel.give_node(&device, Some(uid)).unwrap();
        let vmm = kernel.open_as(1000, of).unwrap();
        assert_eq!(fates(&sweep()), [(of.vm, 's', OPEN), (of.vm, 'o', "its device stays")]);
        kernel.remove_device(of).unwrap();
        assert_eq!(fates(&sweep()), [(of.vm, 's', PENDING), (of.vm, 'o', "its device stays")]);
        drop(vmm);
        assert_eq!(fates(&sweep()), [(of.vm, 'o', "")]);
        // Lent to a VMM that is gone, it is nobody's.
        let of = attached(&kernel, 1000);
        let device = kernel.device(of).unwrap().unwrap();
        kernel.give_node(&device, Some(uid)).unwrap();
        assert_eq!(fates(&sweep()), [(of.vm, 's', ""), (of.vm, 'o', "")]);
        assert!(kernel.state().devices.is_empty() && kernel.state().loops.is_empty());
    }

    #[test]
    fn taps_go_with_their_rules_but_those_that_are_open() {
        let (kernel, locks) = (Simulated::default(), VmLocks::default());
        let made = [1000, 1000, 1001]
            .map(|uid| Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() });
        let guest = |at: usize| Guest {
            ownership: made[at],
            address: Config::default().pool.guest(u32::try_from(at).unwrap()),
        };
        kernel.state().cables.bridge = Bridge::Ours;
        for (at, open) in [false, true, false].into_iter().enumerate() {
            let tap = Tap { guest: guest(at), index: 7, open };
            kernel.state().cables.taps.push(Tap { index: 7 + u32::try_from(at).unwrap(), ..tap });
        }
        let swept = sweep_user(&kernel, &locks, made[0].uid, &request(&[], false, true)).unwrap();
        let mut told = fates(&swept);
        told.sort_by_key(|fate| fate.0 != made[0].vm);
        assert_eq!(told, [(made[0].vm, 't', ""), (made[1].vm, 't', OPEN)]);
        let state = kernel.state();
        let left: Vec<_> = state.cables.taps.iter().map(|tap| tap.guest).collect();
        assert_eq!(left, [guest(1), guest(2)]);
        assert_eq!(state.cables.rules.as_ref().unwrap().guests, left);
    }

    /// A user's tap that nobody has open, beside another one.
    fn wired(kernel: &Simulated) -> [Guest; 2] {
        let guests = [0, 1].map(|at| Guest {
            ownership: Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() },
            address: Config::default().pool.guest(at),
        });
        let cables = &mut kernel.state().cables;
        cables.bridge = Bridge::Ours;
        let taps = guests.iter().zip(7..).map(|(&guest, index)| Tap { guest, index, open: false });
        cables.taps.extend(taps);
        guests
    }

    #[test]
    fn a_tap_that_is_opened_between_the_look_and_the_end_stays() {
        let (kernel, locks) = (Simulated::default(), VmLocks::default());
        let [late, idle] = wired(&kernel);
        kernel.state().cables.opened_late = Some(7);
        let uid = late.ownership.uid;
        let swept = sweep_user(&kernel, &locks, uid, &request(&[], false, true)).unwrap();
        let mut told = fates(&swept);
        told.sort_by_key(|fate| fate.0 != late.ownership.vm);
        assert_eq!(told, [(late.ownership.vm, 't', OPEN), (idle.ownership.vm, 't', "")]);
        let state = kernel.state();
        assert_eq!(state.cables.taps, [Tap { guest: late, index: 7, open: true }]);
        assert_eq!(state.cables.rules.as_ref().unwrap().guests, [late]);
    }

    #[test]
    fn without_a_configuration_taps_go_and_rules_stay_as_they_are() {
        let (kernel, locks) = (Simulated::default(), VmLocks::default());
        let [first, kept] = wired(&kernel);
        let broom = Broom { kernel: &kernel, locks: &locks, wire: &Wire::default(), config: None };
        let uid = first.ownership.uid;
        let swept = broom.sweep_user(uid, &request(&[kept.ownership], false, true)).unwrap();
        assert_eq!(fates(&swept), [(first.ownership.vm, 't', "")]);
        let state = kernel.state();
        assert_eq!(state.cables.taps.len(), 1);
        assert!(state.cables.rules.is_none() && state.cables.pool.is_none());
    }

    #[test]
    fn whatever_step_fails_nothing_is_said_to_be_gone_that_is_not() {
        for step in 1..40 {
            let (kernel, locks) = (Simulated::default(), VmLocks::default());
            let of = attached(&kernel, 1000);
            let now = kernel.state().steps;
            kernel.state().failing.insert(now + step);
            let swept = sweep_user(&kernel, &locks, of.uid, &request(&[], false, true));
            let said_gone = |kind: char| {
                swept.as_ref().is_ok_and(|swept| fates(swept).contains(&(of.vm, kind, "")))
            };
            let state = kernel.state();
            assert!(!said_gone('s') || !state.devices.contains_key(&of), "step {step}");
            assert!(!said_gone('o') || !state.overlays.contains_key(&of), "step {step}");
            drop(state);
            // The next one ends it.
            kernel.state().failing.clear();
            sweep_user(&kernel, &locks, of.uid, &request(&[], false, true)).unwrap();
            let state = kernel.state();
            assert!(state.devices.is_empty() && state.overlays.is_empty(), "step {step}");
            assert!(state.loops.is_empty(), "step {step}: {:?}", state.loops);
        }
    }
}
