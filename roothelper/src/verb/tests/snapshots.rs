//! The verbs of snapshots on the simulated kernel: each step fails, and the helper is killed at
//! each.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use banger_proto::roothelper::{
    AttachSnapshot, Change, DetachSnapshot, DeviceHandle, Interaction, LendDevice, Snapshot,
};
use banger_proto::{Code, Refusal, VmId};

use super::Host;
use super::attach_snapshot::attach;
use super::detach_snapshot::detach;
use super::lend_device::lend;
use crate::audit::{Audit, Kept};
use crate::kernel::Devices;
use crate::kernel::device::Access;
use crate::kernel::simulated::Simulated;
use crate::{BaseImage, Config, OwnerUid, Ownership};

/// A host, and one VM of a user of it.
struct Stage {
    kernel: Arc<Simulated>,
    host: Host,
    of: Ownership,
    base: tempfile::NamedTempFile,
}

impl Stage {
    fn new() -> Self {
        let kernel = Arc::new(Simulated::default());
        let mut host =
            Host::new(kernel.clone(), Config::default(), Audit::new(Box::new(Kept::default())));
        host.config.limits.vms = 2;
        // Who tests is the owner, or root, whose images everybody may use.
        let me = rustix::process::geteuid().as_raw();
        let uid = OwnerUid::new(if me == 0 { 1000 } else { me }).unwrap();
        Self { kernel, host, of: Ownership { uid, vm: VmId::random() }, base: base() }
    }

    fn attach_over(&self, base: &tempfile::NamedTempFile) -> Result<Snapshot, Refusal> {
        let base = OwnedFd::from(base.reopen().unwrap());
        // Reopened for both: as its owner opens it, it is for reading alone.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&base));
        let base = OwnedFd::from(std::fs::File::open(path).unwrap());
        let base = BaseImage::of(base, self.of.uid, &self.host.config.limits).unwrap();
        let lock = self.host.locks.lock(self.of)?;
        let request = AttachSnapshot {
            vm: self.of.vm,
            interaction: Interaction::Never,
            create_overlay: true,
            free_bytes: 1 << 20,
        };
        attach(&self.host, &lock, &request, &base)
    }

    fn attach(&self) -> Result<Snapshot, Refusal> {
        self.attach_over(&self.base)
    }

    fn lend(&self, device: DeviceHandle) -> Result<Change, Refusal> {
        let lock = self.host.locks.lock(self.of)?;
        let request = LendDevice { device, interaction: Interaction::Never };
        lend(&*self.kernel, &lock, &request).map(|lent| lent.change)
    }

    fn detach(&self) -> Result<Change, Refusal> {
        self.detach_this(None)
    }

    fn detach_this(&self, device: Option<DeviceHandle>) -> Result<Change, Refusal> {
        let lock = self.host.locks.lock(self.of)?;
        let diskseq = device.map(|device| device.diskseq);
        let request = DetachSnapshot { vm: self.of.vm, diskseq, interaction: Interaction::Never };
        detach(&*self.kernel, &lock, &request)
    }

    /// What is there but overlays.
    fn nothing_is_left(&self) {
        let state = self.kernel.state();
        assert!(state.devices.is_empty() && state.loops.is_empty(), "{state:#?}");
    }

    fn owner_of_node(&self) -> Option<u32> {
        self.kernel.device(self.of).unwrap().unwrap().node_owner
    }
}

fn base() -> tempfile::NamedTempFile {
    let base = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    base.as_file().set_len(1 << 20).unwrap();
    base
}

#[test]
fn a_snapshot_lives_from_attach_to_detach_and_each_call_says_what_it_changed() {
    let stage = Stage::new();
    let made = stage.attach().unwrap();
    assert_eq!((made.change, made.overlay), (Change::Created, Change::Created));
    assert_eq!(made.size_bytes, 1 << 20);
    let again = stage.attach().unwrap();
    assert_eq!(again, Snapshot { change: Change::None, overlay: Change::None, ..made });
    assert_eq!(stage.attach_over(&base()).unwrap_err().code, Code::FailedPrecondition);

    assert_eq!(stage.lend(made.device).unwrap(), Change::Lent);
    assert_eq!(stage.lend(made.device).unwrap(), Change::None);
    let (file, open) = stage.kernel.open_as(stage.of.uid.get(), stage.of).unwrap();
    file.write_all_at(b"written", 512).unwrap();
    let refused = stage.detach().unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(stage.owner_of_node(), Some(0), "it stays taken back");
    drop(open);
    assert_eq!(stage.detach_this(Some(made.device)).unwrap(), Change::Removed);
    assert_eq!(stage.detach().unwrap(), Change::None);
    stage.nothing_is_left();

    let next = stage.attach().unwrap();
    assert_eq!((next.change, next.overlay), (Change::Created, Change::None));
    assert!(next.device.diskseq > made.device.diskseq);
    for stale in [stage.lend(made.device), stage.detach_this(Some(made.device))] {
        assert_eq!(stale.unwrap_err().code, Code::Aborted);
    }
    let (file, _open) = stage.kernel.open_as(0, stage.of).unwrap();
    let mut content = [0; 7];
    file.read_exact_at(&mut content, 512).unwrap();
    assert_eq!(&content, b"written", "the overlay stays");
}

#[test]
fn another_users_vm_is_the_same_as_none() {
    let stage = Stage::new();
    let device = stage.attach().unwrap().device;
    let other = Ownership { uid: OwnerUid::new(stage.of.uid.get() + 1).unwrap(), ..stage.of };
    let lock = stage.host.locks.lock(other).unwrap();
    let request = LendDevice { device, interaction: Interaction::Never };
    assert_eq!(lend(&*stage.kernel, &lock, &request).unwrap_err().code, Code::NotFound);
    let request = DetachSnapshot { vm: other.vm, diskseq: None, interaction: Interaction::Never };
    assert_eq!(detach(&*stage.kernel, &lock, &request).unwrap(), Change::None);
    assert_eq!(stage.attach().unwrap().change, Change::None);
}

#[test]
fn a_name_that_others_took_a_missing_facility_and_a_full_quota_leave_nothing() {
    let stage = Stage::new();
    let leaves_nothing = |code| {
        let refusal = stage.attach().unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
        stage.nothing_is_left();
        assert!(stage.kernel.state().overlays.is_empty());
        refusal
    };
    stage.kernel.state().foreign.insert(stage.of);
    leaves_nothing(Code::FailedPrecondition);
    stage.kernel.state().foreign.clear();
    for facility in ["device-mapper", "loop", "udev-rules", "overlays", "landlock"] {
        stage.kernel.state().missing.insert(facility, "it is not there".into());
        let refusal = leaves_nothing(Code::FailedPrecondition);
        assert_eq!(refusal.chain, ["it is not there"]);
        assert!(!refusal.hint.is_empty());
        stage.kernel.state().missing.clear();
    }
    stage.kernel.state().disk = 0;
    leaves_nothing(Code::ResourceExhausted);
    stage.kernel.state().disk = 1 << 40;
    for _ in 0..2 {
        let vm = Ownership { vm: VmId::random(), ..stage.of };
        stage.kernel.make_device(vm).unwrap();
    }
    let refusal = stage.attach().unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted);
    assert!(stage.kernel.state().overlays.is_empty() && stage.kernel.state().loops.is_empty());
}

#[test]
fn what_udev_or_somebody_else_has_is_not_lent_and_a_removal_that_waits_is_told() {
    let stage = Stage::new();
    let device = stage.attach().unwrap().device;
    stage.kernel.state().udev_hangs = true;
    assert_eq!(stage.lend(device).unwrap_err().code, Code::FailedPrecondition);
    stage.kernel.state().udev_hangs = false;
    let found = stage.kernel.device(stage.of).unwrap().unwrap();
    let opened = stage.kernel.open_device(&found, Access::Write).unwrap();
    assert_eq!(stage.lend(device).unwrap_err().code, Code::FailedPrecondition);
    assert_eq!(stage.owner_of_node(), Some(0));
    // Somebody else of root's asked for its removal.
    stage.kernel.remove_device(stage.of).unwrap();
    assert_eq!(stage.detach().unwrap(), Change::RemovalPending);
    for refused in [stage.attach().map(|made| made.change), stage.lend(device)] {
        assert_eq!(refused.unwrap_err().code, Code::FailedPrecondition);
    }
    drop(opened);
    assert_eq!(stage.detach().unwrap(), Change::None);
    assert_eq!(stage.attach().unwrap().change, Change::Created);
}

/// Attach, lend, detach. What fails has left things as they were.
fn all_of_it(stage: &Stage) -> Result<(), Refusal> {
    let device = stage.attach()?.device;
    stage.lend(device).inspect_err(|refusal| {
        let state = stage.kernel.state();
        let device = state.devices.values().next();
        let undone = device.is_some_and(|device| device.active && device.node_owner == 0);
        let told = refusal.message.contains("undone") || state.cut.is_some();
        assert!(undone || told, "{refusal:?} {state:#?}");
    })?;
    stage.detach().map(drop)
}

/// As a client comes to an end after something failed.
fn comes_to_an_end(stage: &Stage, what: &str) {
    let ended = stage.detach().unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
    assert!(matches!(ended, Change::None | Change::Removed), "{what}: {ended:?}");
    // As a helper does that starts.
    stage.kernel.release_stray_loops().unwrap();
    stage.nothing_is_left();
    all_of_it(stage).unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
    stage.nothing_is_left();
}

#[test]
fn whichever_step_fails_nothing_is_left() {
    let whole = Stage::new();
    all_of_it(&whole).unwrap();
    let steps = whole.kernel.state().steps;
    assert!(steps > 20, "{steps}");
    for failing in 1..=steps {
        let stage = Stage::new();
        stage.kernel.state().failing.insert(failing);
        let refusal = all_of_it(&stage).unwrap_err();
        let what = format!("step {failing}: {refusal:?}");
        assert!(refusal.chain.iter().any(|cause| cause.ends_with("fails")), "{what}");
        // A device is there as it was before the call that failed, or not at all.
        let state = stage.kernel.state();
        assert!(state.devices.values().all(|device| device.active), "{what}");
        if !refusal.message.contains("gone") {
            assert_eq!(state.loops.len(), 2 * state.devices.len(), "{what}");
        }
        drop(state);
        comes_to_an_end(&stage, &what);
    }
}

#[test]
fn whatever_the_undoing_meets_is_told_and_is_mended_by_the_next() {
    let steps = {
        let whole = Stage::new();
        all_of_it(&whole).unwrap();
        whole.kernel.state().steps
    };
    let mut told = 0;
    for first in 1..=steps {
        for second in first + 1..first + 6 {
            let stage = Stage::new();
            stage.kernel.state().failing.extend([first, second]);
            let refusal = all_of_it(&stage).unwrap_err();
            let what = format!("steps {first} and {second}: {refusal:?}");
            told += usize::from(refusal.message.contains("not all of it could be undone"));
            if refusal.message.contains("undone") {
                assert!(refusal.chain.iter().any(|cause| cause.contains("left")), "{what}");
            }
            stage.kernel.state().failing.clear();
            comes_to_an_end(&stage, &what);
        }
    }
    assert!(told > 5, "{told}");
}

#[test]
fn killed_at_any_step_it_leaves_nothing_that_the_next_helper_does_not_mend() {
    let steps = {
        let whole = Stage::new();
        all_of_it(&whole).unwrap();
        whole.kernel.state().steps
    };
    for cut in 1..=steps {
        for attach_first in [false, true] {
            let stage = Stage::new();
            stage.kernel.state().cut = Some(cut);
            assert!(all_of_it(&stage).is_err());
            stage.kernel.state().cut = None;
            let what = format!("cut at {cut}");
            // The next helper.
            stage.kernel.release_stray_loops().unwrap();
            if attach_first {
                let device = stage.attach().unwrap_or_else(|error| panic!("{what}: {error:?}"));
                stage.lend(device.device).unwrap();
            }
            comes_to_an_end(&stage, &what);
        }
    }
}
