//! What bangerd asks of the root helper, asked of the real helper over a kernel that is simulated.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use banger_proto::roothelper::{Change, ObjectKind};
use banger_proto::{Code, Refusal, VmId};
use banger_roothelper::audit::{Audit, Kept};
use banger_roothelper::authority::simulated::{Scripted, Simulated as Polkit};
use banger_roothelper::kernel::simulated::Simulated as Kernel;
use banger_roothelper::server::{Capacity, Server};
use banger_roothelper::{Config, Gate};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::Helper;

/// Whom tests of root's ask as: the helper answers root nothing.
const OWNER: u32 = 12_345;
/// Bytes of an image.
const SIZE: u64 = 1 << 20;

/// A helper that serves until it is dropped.
struct Stage {
    folder: tempfile::TempDir,
    image: tempfile::NamedTempFile,
    kernel: Arc<Kernel>,
    log: Kept,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Stage {
    fn new(polkit: Polkit) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // In memory: the helper takes images of filesystems that it knows.
        let image = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        image.as_file().set_len(SIZE).unwrap();
        let socket = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        for open in [folder.path(), &socket, image.path()] {
            std::fs::set_permissions(open, Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        let (kernel, log) = (Arc::new(Kernel::default()), Kept::default());
        let gate = Gate::new(Box::new(polkit), Audit::new(Box::new(log.clone())));
        let server = Server::new(gate, Arc::clone(&kernel) as _, Config::default());
        let (end, ended) = oneshot::channel();
        let served = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                server.serve(listener, Capacity::UNIT, async { drop(ended.await) }).await;
            });
        });
        Self { folder, image, kernel, log, end: Some(end), served: Some(served) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn image(&self) -> &Path {
        self.image.path()
    }

    /// What an owner is answered.
    fn asked<T: Send, F: Future<Output = T>>(
        &self,
        question: impl FnOnce(Helper) -> F + Send,
    ) -> T {
        let socket = self.socket();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                // The kernel tells the helper whose thread connected.
                if geteuid().is_root() {
                    let uid = Uid::from_raw(OWNER);
                    set_thread_res_uid(uid, uid, uid).unwrap();
                }
                runtime().block_on(async { question(Helper::at(&socket).await.unwrap()).await })
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// How much there is of devices, loop devices, overlays and taps.
    fn there(&self) -> [usize; 4] {
        let state = self.kernel.state();
        let taps = state.cables.taps.len();
        [state.devices.len(), state.loops.len(), state.overlays.len(), taps]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(served) = self.served.take() {
            let _over = served.join();
        }
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> Code {
    answer.expect_err("it was refused").code
}

#[test]
fn a_vms_device_and_tap_come_and_go_and_what_was_written_stays_until_it_is_discarded() {
    let stage = Stage::new(Polkit::yes());
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    stage.asked(async |mut helper: Helper| {
        assert!(helper.offers().await.unwrap().bridge.is_ok());
        let first = helper.attach(vm, &image, true, 0).await.unwrap();
        assert_eq!((first.change, stage.there()), (Change::Created, [1, 2, 1, 0]));
        let tap = helper.attach_network(vm).await.unwrap();
        assert_eq!(stage.there(), [1, 2, 1, 1]);
        let again = helper.attach_network(vm).await.unwrap();
        assert_eq!(again.tap, tap.tap, "the same");
        // A start finds the device of one that ended with its host, and makes its own.
        let second = helper.attach(vm, &image, false, 0).await.unwrap();
        assert_ne!(second.device.diskseq, first.device.diskseq);
        let objects = helper.objects().await.unwrap();
        assert!(objects.iter().any(|object| matches!(object.kind, ObjectKind::Snapshot { .. })));
        // It is not this VM's device any more.
        assert_eq!(code(helper.detach(vm, Some(first.device.diskseq)).await), Code::Aborted);
        let gone = helper.detach(vm, Some(second.device.diskseq)).await.unwrap();
        assert_eq!((gone, stage.there()), (Change::Removed, [0, 0, 1, 1]));
        assert_eq!(helper.detach(vm, None).await.unwrap(), Change::None);
        assert_eq!(helper.detach_network(vm).await.unwrap(), Change::Removed);
        assert_eq!(helper.discard(vm).await.unwrap().change, Change::Removed);
        assert_eq!(stage.there(), [0; 4]);
    });
}

#[test]
fn what_is_to_go_waits_for_a_call_that_was_given_up_and_is_not_over() {
    let stage = Stage::new(Polkit::yes());
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    stage.asked(async |helper: Helper| {
        let (mut one, mut other) = (helper.clone(), helper);
        stage.kernel.state().waiting_at = Some(2);
        let attached = one.attach(vm, &image, true, 0);
        let detached = async {
            until(|| stage.kernel.state().steps == 2).await;
            other.detach(vm, None).await
        };
        let goes_on = async {
            until(|| stage.kernel.state().steps == 2).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            stage.kernel.state().waiting_at = None;
        };
        let (attached, detached, ()) = tokio::join!(attached, detached, goes_on);
        let changes = (attached.unwrap().change, detached.unwrap());
        assert_eq!(changes, (Change::Created, Change::Removed));
        assert_eq!(stage.there(), [0, 0, 1, 0]);
    });
}

async fn until(so: impl Fn() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_first_start_gets_nothing_of_an_earlier_one_and_asks_once_where_there_was_none() {
    let stage = Stage::new(Polkit::yes());
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    stage.asked(async |mut helper: Helper| {
        let before = stage.log.entries().len();
        let first = helper.attach(vm, &image, true, 0).await.unwrap();
        assert_eq!((first.overlay, stage.log.entries().len()), (Change::Created, before + 1));
        // It ended with its host, with its device or without.
        for detached in [false, true] {
            if detached {
                helper.detach(vm, None).await.unwrap();
            }
            let next = helper.attach(vm, &image, true, 0).await.unwrap();
            assert_eq!((next.change, next.overlay), (Change::Created, Change::Created));
            assert_eq!(stage.there(), [1, 2, 1, 0]);
        }
        helper.detach(vm, None).await.unwrap();
        helper.discard(vm).await.unwrap();
        assert_eq!(stage.there(), [0; 4]);
    });
}

#[test]
fn a_vm_whose_overlay_is_gone_is_not_given_an_empty_one() {
    let stage = Stage::new(Polkit::yes());
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    stage.asked(async |mut helper: Helper| {
        let refusal = helper.attach(vm, &image, false, 0).await.unwrap_err();
        assert_eq!(refusal.code, Code::DataLoss);
        assert!(refusal.hint.contains("make it anew"), "{refusal:?}");
    });
    assert_eq!(stage.there(), [0; 4]);
}

#[test]
fn what_is_of_no_vm_is_swept_and_the_rest_is_kept() {
    let stage = Stage::new(Polkit::yes());
    let (kept, strange) = (VmId::random(), VmId::random());
    let image = stage.image().to_owned();
    stage.asked(async |mut helper: Helper| {
        for vm in [kept, strange] {
            helper.attach(vm, &image, true, 0).await.unwrap();
            helper.attach_network(vm).await.unwrap();
        }
        let told = helper.sweep(vec![kept], true, true).await.unwrap();
        assert!(!told.is_empty() && stage.there() == [2, 4, 2, 2], "nothing is done yet");
        helper.sweep(vec![kept], false, false).await.unwrap();
        assert_eq!(stage.there(), [1, 2, 2, 1], "what a guest wrote stays");
        helper.sweep(vec![kept], false, true).await.unwrap();
        assert_eq!(stage.there(), [1, 2, 1, 1]);
        assert!(helper.sweep(vec![kept], true, true).await.unwrap().is_empty());
    });
}

#[test]
fn an_attach_that_fails_at_any_step_leaves_nothing() {
    let stage = Stage::new(Polkit::yes());
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    let steps = stage.asked(async |mut helper: Helper| {
        let before = stage.kernel.state().steps;
        helper.attach(vm, &image, true, 0).await.unwrap();
        let steps = stage.kernel.state().steps - before;
        helper.detach(vm, None).await.unwrap();
        helper.discard(vm).await.unwrap();
        steps
    });
    let mut failed = 0;
    for step in 1..=steps {
        let (vm, image) = (VmId::random(), image.clone());
        stage.asked(async |mut helper: Helper| {
            let at = stage.kernel.state().steps + step;
            stage.kernel.state().failing.insert(at);
            let attached = helper.attach(vm, &image, true, 0).await;
            failed += usize::from(attached.is_err());
            stage.kernel.state().failing.clear();
            helper.detach(vm, None).await.unwrap();
            helper.discard(vm).await.unwrap();
        });
        assert_eq!(stage.there(), [0; 4], "step {step} of {steps}");
    }
    assert!(failed > 3, "{failed} of {steps} attaches failed");
}

#[test]
fn what_polkit_refuses_is_refused_with_what_helps_and_logged_once() {
    let stage = Stage::new(Polkit::script([Scripted::No]));
    let (vm, image) = (VmId::random(), stage.image().to_owned());
    let refusal = stage
        .asked(async |mut helper: Helper| helper.attach(vm, &image, true, 0).await.unwrap_err());
    assert_eq!(refusal.code, Code::PermissionDenied);
    assert!(!refusal.hint.is_empty(), "{refusal:?}");
    assert_eq!((stage.there(), stage.log.entries().len()), ([0; 4], 1));
}
