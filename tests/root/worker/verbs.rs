//! The helper's verbs about files, overlays and leftovers, through its socket: devices are
//! simulated, the ext4 worker is real.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use banger_proto::roothelper::{
    AttachSnapshot, Change, DetachSnapshot, DeviceHandle, Discarded, Diskseq, Ext4Found, Fate,
    Interaction, LendDevice, ObjectKind, OfVm, ReadExt4, RootHelper, Snapshot, Sweep, WriteBlame,
    WriteExt4, WriteOutcome,
};
use banger_proto::{Code, Refusal, VmId};
use banger_roothelper::audit::{Audit, Decision, Entry, Kept, Outcome};
use banger_roothelper::kernel::device::Access;
use banger_roothelper::kernel::simulated::Simulated;
use banger_roothelper::kernel::{Devices, Kernel};
use banger_roothelper::server::{Capacity, Ended, Server};
use banger_roothelper::{Config, Gate, OwnerUid, Ownership, authority};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use tempfile::NamedTempFile;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::place::{Place, file, path, small_filesystem};

pub(super) const ANN: u32 = 12_345;
pub(super) const BEN: u32 = 12_346;
const NEVER: Interaction = Interaction::Never;

/// A helper that serves, with workers that do what a scenario says.
pub(super) struct Helper {
    folder: tempfile::TempDir,
    pub(super) kernel: Arc<Simulated>,
    log: Kept,
    base: NamedTempFile,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Ended>>,
    _place: Place,
}

impl Helper {
    pub(super) fn with(scenario: &str, image: &[u8]) -> Self {
        let mut place = Place::new(&[]);
        // One that never answers is waited for to the end.
        if scenario == "wait" {
            place.deadlines.read = Duration::from_secs(2);
        }
        let (kernel, log) = (Arc::new(Simulated::default()), Kept::default());
        let authority = Box::new(authority::simulated::Simulated::yes());
        let gate = Gate::new(authority, Audit::new(Box::new(log.clone())));
        let server = Server::new(gate, Arc::clone(&kernel) as _, Config::default())
            .workers(Ok(place.workers(scenario)));
        let folder = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        for open in [folder.path().to_owned(), folder.path().join("s")] {
            std::fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        }
        let (end, ended) = oneshot::channel();
        let served = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                server.serve(listener, Capacity::UNIT, async { drop(ended.await) }).await
            })
        });
        let base = NamedTempFile::new_in("/dev/shm").unwrap();
        std::fs::write(base.path(), image).unwrap();
        let (end, served) = (Some(end), Some(served));
        Self { folder, kernel, log, base, end, served, _place: place }
    }

    pub(super) fn asks<T: Send, F: Future<Output = T>>(
        &self,
        uid: u32,
        question: impl FnOnce(RootHelper) -> F + Send,
    ) -> T {
        let socket = self.socket();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).unwrap();
                runtime()
                    .block_on(async { question(RootHelper::connect(&socket).await.unwrap()).await })
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(super) fn attach(&self, vm: VmId) -> Snapshot {
        let base: Arc<OwnedFd> = Arc::new(std::fs::File::open(self.base.path()).unwrap().into());
        let request =
            AttachSnapshot { vm, interaction: NEVER, create_overlay: true, free_bytes: 0 };
        self.asks(ANN, |helper| async move { helper.attach_snapshot(request, base).await }).unwrap()
    }

    pub(super) fn detach(&self, vm: VmId) -> Result<Change, Refusal> {
        let request = DetachSnapshot { vm, diskseq: None, interaction: NEVER };
        self.asks(ANN, |mut helper| async move { helper.detach_snapshot(request).await })
    }

    fn read_as(&self, uid: u32, device: DeviceHandle, at: &str) -> Result<Ext4Found, Refusal> {
        let request =
            ReadExt4 { device, paths: vec![path(at)], limit_bytes: 4096, interaction: NEVER };
        let found =
            self.asks(uid, |mut helper| async move { helper.read_ext4_file(request).await });
        found.map(|mut found| found.remove(0))
    }

    pub(super) fn read(&self, device: DeviceHandle, at: &str) -> Result<Vec<u8>, Refusal> {
        self.read_as(ANN, device, at).map(|found| match found {
            Ext4Found::File { content, .. } => content,
            other => panic!("{at}: {other:?}"),
        })
    }

    fn write(&self, device: DeviceHandle, count: u32) -> Result<WriteOutcome, Refusal> {
        let writes = (0..count).map(|n| file(&format!("/etc/f{n}"), format!("new {n}"))).collect();
        let request = WriteExt4 { device, writes, interaction: NEVER };
        self.asks(ANN, |mut helper| async move { helper.write_ext4_files(request).await })
    }

    /// The log's words about how calls ended.
    pub(super) fn ends(&self) -> Vec<(Outcome, String)> {
        let ended = |entry: Entry| match entry.decision {
            Decision::Ended(outcome) => {
                assert!(entry.vm.is_some() && entry.device.is_some(), "{entry:?}");
                Some((outcome, entry.reason))
            }
            _ => None,
        };
        self.log.entries().into_iter().filter_map(ended).collect()
    }

    pub(super) fn end(mut self) {
        drop(self.end.take());
        assert_eq!(self.served.take().unwrap().join().unwrap(), Ended::Asked);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn of(vm: VmId) -> Ownership {
    Ownership { uid: OwnerUid::new(ANN).unwrap(), vm }
}

#[test]
fn a_batch_is_there_after_the_next_attach() {
    as_root!();
    let helper = Helper::with("good", &small_filesystem(|_| {}));
    let vm = VmId::random();
    let made = helper.attach(vm);
    assert_eq!(helper.read(made.device, "/etc/hostname").unwrap(), b"old\n");
    let applied = WriteOutcome::Applied { writes: 8, atomic: true };
    assert_eq!(helper.write(made.device, 8), Ok(applied));
    assert_eq!(helper.read(made.device, "/etc/f7").unwrap(), b"new 7");
    assert_eq!(helper.ends(), [(Outcome::Applied, String::new())]);
    assert_eq!(helper.detach(vm), Ok(Change::Removed));
    let next = helper.attach(vm);
    assert_eq!((next.change, next.overlay), (Change::Created, Change::None));
    assert_eq!(helper.read(next.device, "/etc/f7").unwrap(), b"new 7");
    assert!(helper.kernel.state().devices.values().all(|device| device.open == 0));
    helper.end();
}

#[test]
fn only_the_callers_own_device_of_this_handle_is_looked_into() {
    as_root!();
    let helper = Helper::with("good", &small_filesystem(|_| {}));
    let vm = VmId::random();
    let device = helper.attach(vm).device;
    let code = |uid, device| helper.read_as(uid, device, "/etc").unwrap_err().code;
    assert_eq!(code(BEN, device), Code::NotFound);
    let nobodys = DeviceHandle { vm: VmId::random(), ..device };
    assert_eq!(code(ANN, nobodys), Code::NotFound);
    let other = Diskseq::new(device.diskseq.get() + 1).unwrap();
    assert_eq!(code(ANN, DeviceHandle { diskseq: other, ..device }), Code::Aborted);
    let write = || helper.write(device, 1).unwrap_err();
    let known = helper.kernel.device(of(vm)).unwrap().unwrap();
    // Somebody of root's has it.
    let opened = helper.kernel.open_device(&known, Access::Read).unwrap();
    assert_eq!(write().code, Code::FailedPrecondition);
    drop(opened);
    let lend = LendDevice { device, interaction: NEVER };
    helper.asks(ANN, |mut helper| async move { helper.lend_device(lend).await }).unwrap();
    let lent = write();
    assert_eq!(lent.code, Code::FailedPrecondition);
    assert!(lent.message.contains("lent") && lent.hint.contains("banger stop"), "{lent:?}");
    let vmm = helper.kernel.open_as(ANN, of(vm)).unwrap();
    helper.kernel.remove_device(of(vm)).unwrap();
    assert_eq!(write().code, Code::FailedPrecondition);
    drop(vmm);
    assert_eq!(write().code, Code::NotFound);
    assert_eq!(helper.ends(), []);
    helper.end();
}

#[test]
fn no_other_call_gets_a_device_while_its_worker_lives() {
    as_root!();
    let helper = Helper::with("wait", &small_filesystem(|_| {}));
    let vm = VmId::random();
    let device = helper.attach(vm).device;
    // A client that leaves while its worker is at it.
    let request =
        ReadExt4 { device, paths: vec![path("/etc")], limit_bytes: 1, interaction: NEVER };
    helper.asks(ANN, |mut asking| {
        let kernel = &helper.kernel;
        async move {
            let read = tokio::spawn(async move { asking.read_ext4_file(request).await });
            let begun = Instant::now();
            while kernel.state().devices.values().all(|device| device.open == 0) {
                assert!(begun.elapsed() < Duration::from_secs(60), "no worker begins");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            read.abort();
        }
    });
    assert_eq!(helper.detach(vm).unwrap_err().code, Code::Aborted);
    assert_eq!(helper.write(device, 1).unwrap_err().code, Code::Aborted);
    // Other VMs are served meanwhile.
    helper.attach(VmId::random());
    let begun = Instant::now();
    loop {
        match helper.detach(vm) {
            Ok(change) => break assert_eq!(change, Change::Removed),
            Err(refusal) => assert_eq!(refusal.code, Code::Aborted, "{refusal:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the worker is there for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ends = helper.ends();
    assert_eq!(ends, [(Outcome::DataLoss, "the ext4 worker was ended at its deadline".to_owned())]);
    helper.end();
}

#[test]
fn a_worker_that_dies_is_told_of_and_the_helper_serves_on() {
    as_root!();
    for scenario in ["abort", "panic", "exit", "say-half", "leak"] {
        let helper = Helper::with(scenario, &small_filesystem(|_| {}));
        let device = helper.attach(VmId::random()).device;
        let refusal = helper.read_as(ANN, device, "/etc/hostname").unwrap_err();
        assert_eq!(refusal.code, Code::DataLoss, "{scenario}: {refusal:?}");
        assert!(refusal.chain[0].contains("worker") && !refusal.hint.is_empty(), "{refusal:?}");
        let outcome = helper.write(device, 2).unwrap();
        match scenario {
            // It said what may be anything.
            "say-half" => assert!(matches!(outcome, WriteOutcome::Unknown { .. }), "{outcome:?}"),
            _ => assert!(
                matches!(outcome, WriteOutcome::NotApplied { blame: WriteBlame::Host, .. }),
                "{scenario}: {outcome:?}"
            ),
        }
        let ends: Vec<_> = helper.ends();
        assert_eq!(ends.len(), 2, "{scenario}: {ends:?}");
        assert_eq!(ends[0].0, Outcome::DataLoss);
        assert!(ends.iter().all(|(_, why)| why.contains("worker")), "{scenario}: {ends:?}");
        assert_eq!(helper.detach(device.vm), Ok(Change::Removed));
        helper.end();
    }
}

#[test]
fn a_batch_that_is_cut_is_told_as_it_is_on_the_device() {
    as_root!();
    let (mut applied, mut not_applied) = (0, 0);
    for step in [0, 1, 3, 6, 30] {
        let helper = Helper::with(&format!("die-at-{step}"), &small_filesystem(|_| {}));
        let device = helper.attach(VmId::random()).device;
        let outcome = helper.write(device, 8).unwrap();
        let there = helper.read_as(ANN, device, "/etc/f7").unwrap();
        match (&outcome, there, &helper.ends()[0]) {
            (WriteOutcome::Applied { .. }, Ext4Found::File { .. }, (Outcome::Applied, why)) => {
                assert_eq!(why, "");
                applied += 1;
            }
            (WriteOutcome::NotApplied { .. }, Ext4Found::Nothing, (Outcome::NotApplied, why)) => {
                assert_eq!(why, "signal 31 ended the ext4 worker");
                not_applied += 1;
            }
            other => panic!("step {step}: {other:?}"),
        }
        helper.end();
    }
    assert!(applied > 0 && not_applied > 0, "{applied} {not_applied}");
}

#[test]
fn a_filesystem_that_contradicts_itself_is_data_loss_with_an_entry() {
    as_root!();
    let mut image = small_filesystem(|_| {});
    // All of it behind the superblock and its descriptors.
    image[8192..1 << 20].fill(0x5a);
    let helper = Helper::with("good", &image);
    let device = helper.attach(VmId::random()).device;
    let refusal = helper.read_as(ANN, device, "/etc/hostname").unwrap_err();
    assert_eq!(refusal.code, Code::DataLoss, "{refusal:?}");
    assert!(!refusal.chain.is_empty() && !refusal.hint.is_empty());
    let ends = helper.ends();
    assert!(matches!(&ends[..], [(Outcome::DataLoss, why)] if !why.is_empty()), "{ends:?}");
    let outcome = helper.write(device, 1).unwrap();
    let damage = WriteBlame::Damage;
    assert!(matches!(outcome, WriteOutcome::NotApplied { blame, .. } if blame == damage));
    assert_eq!(helper.ends()[1], (Outcome::NotApplied, "damage".to_owned()));
    helper.end();
}

#[test]
fn overlays_are_listed_swept_and_discarded_by_their_owner_alone() {
    as_root!();
    let helper = Helper::with("good", &small_filesystem(|_| {}));
    let (kept, gone) = (VmId::random(), VmId::random());
    for vm in [kept, gone] {
        helper.attach(vm);
    }
    let discard = |uid, vm| {
        let request = OfVm { vm, interaction: NEVER };
        helper.asks(uid, |mut helper| async move { helper.discard_overlay(request).await })
    };
    let list = |uid| {
        let objects = helper.asks(uid, |mut helper| async move { helper.list_objects().await });
        objects.unwrap()
    };
    let sweep = |uid, keep: &[VmId], overlays| {
        let keep = keep.to_vec();
        let request =
            Sweep { keep, dry_run: false, include_overlays: overlays, interaction: NEVER };
        let swept = helper.asks(uid, |mut helper| async move { helper.sweep(request).await });
        let mut gone: Vec<_> = swept
            .unwrap()
            .into_iter()
            .filter(|swept| swept.fate == Fate::Removed)
            .map(|swept| swept.object.vm)
            .collect();
        gone.dedup();
        gone
    };
    let none = Discarded { change: Change::None, freed_bytes: 0 };
    assert_eq!(discard(ANN, kept).unwrap_err().code, Code::FailedPrecondition);
    // Another user's is the same as none.
    assert_eq!(discard(BEN, kept), Ok(none));
    assert_eq!((list(BEN), sweep(BEN, &[], true)), (vec![], vec![]));
    let objects = list(ANN);
    assert_eq!(objects.len(), 4, "{objects:?}");
    let attached = |kind: &ObjectKind| {
        matches!(kind, ObjectKind::Overlay { attached: true, .. } | ObjectKind::Snapshot { .. })
    };
    assert!(objects.iter().all(|object| attached(&object.kind)), "{objects:?}");
    assert_eq!(sweep(ANN, &[kept], false), [gone]);
    assert_eq!(list(ANN).len(), 3);
    assert_eq!(sweep(ANN, &[kept], true), [gone]);
    assert_eq!(sweep(ANN, &[kept], true), []);
    assert_eq!(helper.detach(kept), Ok(Change::Removed));
    assert_eq!(discard(ANN, kept).unwrap().change, Change::Removed);
    assert_eq!(discard(ANN, kept), Ok(none));
    assert_eq!(list(ANN), []);
    assert!(helper.kernel.state().loops.is_empty());
    assert_eq!(helper.kernel.overlays_of(of(kept).uid).unwrap(), []);
    helper.end();
}
