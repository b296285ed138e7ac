//! One call at a time about a VM, and how many VMs a user gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_proto::{Code, Refusal};

use crate::kernel::Kernel;
use crate::kernel::device::Device;
use crate::undo::{NO_ROOM, cannot};
use crate::{LimitExceeded, Limits, Ownership};

/// The VMs that calls are about just now.
#[derive(Debug, Clone, Default)]
pub(crate) struct VmLocks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with what it was admitted to make: a device, and so many bytes of an overlay file.
    busy: Mutex<BTreeMap<Ownership, Option<u64>>>,
    /// The VMs that are about to get a tap, beside those that are [busy](Self::busy).
    wired: Mutex<BTreeSet<Ownership>>,
    /// Held while what is there is counted.
    counting: Mutex<()>,
    /// Bytes of the host's disk that are not to be promised twice.
    promised: Mutex<BTreeMap<Ownership, u64>>,
}

/// A VM that no other call is about. Dropping lets the next one in.
#[derive(Debug)]
pub(crate) struct VmLock {
    locks: VmLocks,
    of: Ownership,
}

/// A VM that was let have a tap. It is to be dropped when the tap is there, which then counts.
#[derive(Debug)]
pub(crate) struct Wired {
    locks: VmLocks,
    of: Ownership,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VmLocks {
    /// Takes the VM, at once or not at all: who asks twice at a time does not know which of
    /// the two answers counts.
    pub(crate) fn lock(&self, of: Ownership) -> Result<VmLock, Refusal> {
        let mut busy = locked(&self.inner.busy);
        if busy.contains_key(&of) {
            return Err(Refusal::new(Code::Aborted, "another call about this VM is under way")
                .hint(format!("ask again when it has ended: banger inspect {}", of.vm)));
        }
        busy.insert(of, None);
        Ok(VmLock { locks: self.clone(), of })
    }

    /// Lets a VM have a tap beside these, when it has a device or its owner may have one more VM.
    /// Blocks as the kernel does.
    pub(crate) fn admit_tap(
        &self,
        kernel: &dyn Kernel,
        limits: &Limits,
        of: Ownership,
        taps: impl Iterator<Item = Ownership>,
    ) -> Result<Wired, Refusal> {
        let _one_at_a_time = locked(&self.inner.counting);
        let devices = kernel.devices_of(of.uid).map_err(cannot("count what this user has"))?;
        self.check_vms(limits, of, &devices, taps)?;
        locked(&self.inner.wired).insert(of);
        Ok(Wired { locks: self.clone(), of })
    }

    /// Whether a user may have this VM beside the others: those that have a device or a tap, or
    /// were admitted to get one. A VM with both is one.
    fn check_vms(
        &self,
        limits: &Limits,
        of: Ownership,
        devices: &[Device],
        taps: impl Iterator<Item = Ownership>,
    ) -> Result<(), Refusal> {
        let busy = locked(&self.inner.busy);
        let coming = busy.iter().filter(|(_, admitted)| admitted.is_some()).map(|(vm, _)| *vm);
        let others: BTreeSet<_> = coming
            .chain(locked(&self.inner.wired).iter().copied())
            .chain(devices.iter().map(|device| device.of))
            .chain(taps)
            .filter(|other| *other != of && other.uid == of.uid)
            .collect();
        let hint = "stop another VM: banger stop VM; an administrator can raise `vms`: sudoedit /etc/banger/roothelper.toml";
        let count = u32::try_from(others.len()).unwrap_or(u32::MAX);
        limits.check_vms(count).map_err(|error| exhausted(&error, hint))
    }
}

fn exhausted(error: &LimitExceeded, hint: &str) -> Refusal {
    Refusal::from_error(Code::ResourceExhausted, error).hint(hint)
}

impl VmLock {
    /// Whose VM it is.
    pub(crate) const fn of(&self) -> Ownership {
        self.of
    }

    /// Lets the VM have a device, and an overlay file of so many bytes that is to be made (none:
    /// 0), when its owner may have one more. Blocks as the kernel does.
    ///
    /// What others were admitted to make and have not made yet counts too.
    pub(crate) fn admit(
        &self,
        kernel: &dyn Kernel,
        limits: &Limits,
        overlay: u64,
    ) -> Result<(), Refusal> {
        let inner = &self.locks.inner;
        let _one_at_a_time = locked(&inner.counting);
        let (of, uid) = (self.of, self.of.uid);
        let devices = kernel.devices_of(uid).map_err(cannot("count what this user has"))?;
        let overlays = kernel.overlays_of(uid).map_err(cannot("count what this user has"))?;
        let taps = kernel.taps_of(uid);
        let taps = taps.map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        let taps = taps.iter().map(|tap| tap.guest.ownership);
        self.locks.check_vms(limits, of, &devices, taps)?;
        let mut busy = locked(&inner.busy);
        let mut files = overlays.len();
        let mut bytes = overlays.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
        for (other, admitted) in busy.iter().filter(|(other, _)| **other != of && other.uid == uid)
        {
            if overlays.iter().all(|file| file.vm != other.vm) {
                files += usize::from(admitted.is_some_and(|bytes| bytes > 0));
                bytes = bytes.saturating_add(admitted.unwrap_or(0));
            }
        }
        if overlay > 0 {
            let hint = "remove a VM: banger rm VM; an administrator can raise `overlays`: sudoedit /etc/banger/roothelper.toml";
            limits.check_overlay(bytes, overlay).map_err(|error| exhausted(&error, hint))?;
            let hint = "remove a VM, or what removed ones left: banger gc --overlays";
            limits.check_overlays(files).map_err(|error| exhausted(&error, hint))?;
        }
        busy.insert(of, Some(overlay));
        Ok(())
    }

    /// Promises the VM so many bytes of the host's disk while the call goes on, when they are free
    /// beside those that other calls were promised; others go without no more than its overlay's
    /// `size`. Blocks as the disk does.
    pub(crate) fn promise(
        &self,
        kernel: &dyn Kernel,
        bytes: u64,
        size: u64,
    ) -> Result<(), Refusal> {
        let mut promised = locked(&self.locks.inner.promised);
        let free = kernel.overlay_space().map_err(cannot("see how much room there is"))?;
        let others = promised.iter().filter(|(other, _)| **other != self.of);
        let others = others.fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        if free.saturating_sub(others) < bytes {
            let mib = |bytes: u64| bytes >> 20;
            let what = format!(
                "{} MiB are free for overlays on the host's disk, {} MiB of them are promised to \
                 VMs that start just now, and {} MiB are asked for",
                mib(free),
                mib(others),
                mib(bytes)
            );
            return Err(Refusal::new(Code::ResourceExhausted, what)
                .hint(format!("{NO_ROOM}; or start one VM after another")));
        }
        promised.insert(self.of, bytes.min(size));
        Ok(())
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        locked(&self.locks.inner.wired).remove(&self.of);
    }
}

impl Drop for VmLock {
    fn drop(&mut self) {
        locked(&self.locks.inner.promised).remove(&self.of);
        locked(&self.locks.inner.busy).remove(&self.of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::network::{Guest, Tap};
    use crate::kernel::simulated::Simulated;
    use crate::kernel::{Devices, Network};
    use crate::{OwnerUid, Pool};
    use banger_proto::VmId;

    fn vm(uid: u32) -> Ownership {
        Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() }
    }

    #[test]
    fn a_vm_is_one_calls_alone_and_another_users_vm_of_the_same_id_is_another() {
        let locks = VmLocks::default();
        let of = vm(1000);
        let lock = locks.lock(of).unwrap();
        assert_eq!(locks.lock(of).unwrap_err().code, Code::Aborted);
        let other = locks.lock(Ownership { uid: OwnerUid::new(1001).unwrap(), ..of }).unwrap();
        drop(lock);
        drop((locks.lock(of).unwrap(), other));
        assert!(locked(&locks.inner.busy).is_empty());
    }

    #[test]
    fn no_byte_of_the_disk_is_promised_twice() {
        const SIZE: u64 = 8 << 20;
        let (locks, kernel) = (VmLocks::default(), Simulated::default());
        kernel.state().disk = 10 << 20;
        // Of whichever user: the disk is everybody's.
        let [first, second] = [1000, 1001].map(|uid| locks.lock(vm(uid)).unwrap());
        first.promise(&kernel, 6 << 20, SIZE).unwrap();
        first.promise(&kernel, 6 << 20, SIZE).unwrap();
        let refused = second.promise(&kernel, 5 << 20, SIZE).unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        for figure in ["10 MiB are free", "6 MiB of them", "5 MiB are asked"] {
            assert!(refused.message.contains(figure), "{refused:?}");
        }
        second.promise(&kernel, 4 << 20, SIZE).unwrap();
        drop(first);
        second.promise(&kernel, 10 << 20, SIZE).unwrap();
        assert!(second.promise(&kernel, u64::MAX, SIZE).is_err());
        // Nobody takes more of it from others than their guest could write.
        second.promise(&kernel, 10 << 20, 4 << 20).unwrap();
        let third = locks.lock(vm(1002)).unwrap();
        third.promise(&kernel, 6 << 20, SIZE).unwrap();
        drop((second, third));
        assert!(locked(&locks.inner.promised).is_empty());
    }

    #[test]
    fn what_is_coming_counts_and_nothing_counts_twice() {
        let (locks, kernel) = (VmLocks::default(), Simulated::default());
        let limits = Limits { vms: 2, overlay_quota_bytes: 100, ..Limits::default() };
        let (first, second, third) = (vm(1000), vm(1000), vm(1000));
        let lock = locks.lock(first).unwrap();
        let admit = |lock: &VmLock, bytes| lock.admit(&kernel, &limits, bytes);
        admit(&lock, 60).unwrap();
        // It may change its mind, and is no other.
        admit(&lock, 60).unwrap();
        let other = locks.lock(second).unwrap();
        let refused = admit(&other, 41).unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.message.contains("101, more than the limit of 100"), "{refused:?}");
        admit(&other, 40).unwrap();
        assert!(admit(&locks.lock(third).unwrap(), 0).is_err());
        // Another user has limits of its own.
        admit(&locks.lock(vm(1001)).unwrap(), 100).unwrap();

        // Made, it is counted once.
        kernel.make_device(first).unwrap();
        kernel.create_overlay(first, 60).unwrap();
        admit(&other, 40).unwrap();
        drop(lock);
        admit(&other, 40).unwrap();
        drop(other);
        let third = locks.lock(third).unwrap();
        assert!(admit(&third, 41).is_err());
        admit(&third, 40).unwrap();
    }

    #[test]
    fn a_vm_with_a_device_and_a_tap_is_one() {
        let (locks, kernel) = (VmLocks::default(), Simulated::default());
        let limits = Limits { vms: 2, ..Limits::default() };
        let [first, second, third] = [(); 3].map(|()| vm(1000));
        let tap = |of| locks.admit_tap(&kernel, &limits, of, std::iter::empty());
        let device = |of| {
            let lock = locks.lock(of)?;
            lock.admit(&kernel, &limits, 0).map(|()| lock)
        };
        let refused = |result: Result<(), Refusal>| {
            let refusal = result.unwrap_err();
            assert_eq!(refusal.code, Code::ResourceExhausted);
            assert!(refusal.hint.contains("stop another VM"), "{refusal:?}");
        };
        // Both of both count as two, in whichever order, before anything is made.
        let held = (device(first).unwrap(), tap(second).unwrap());
        let more = (tap(first).unwrap(), device(second).unwrap());
        refused(tap(third).map(drop));
        refused(device(third).map(drop));
        assert!(tap(vm(1001)).is_ok(), "another user has limits of its own");
        // The same when they are there.
        let guest = |of| Guest { ownership: of, address: Pool::DEFAULT.guest(0) };
        kernel.make_device(first).unwrap();
        kernel.state().cables.taps = vec![Tap { guest: guest(second), index: 2, open: false }];
        drop((held, more));
        refused(device(third).map(drop));
        let taps = kernel.taps_of(first.uid).unwrap();
        let taps = || taps.iter().map(|tap| tap.guest.ownership);
        refused(locks.admit_tap(&kernel, &limits, third, taps()).map(drop));
        assert!(locks.admit_tap(&kernel, &limits, first, taps()).is_ok());
        assert!(device(second).is_ok());
        assert!(locked(&locks.inner.wired).is_empty());
    }
}
