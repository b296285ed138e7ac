//! Clients that go at each step of each call, by resetting its stream or with their connection: what has begun is
//! carried to its end, others are served meanwhile, and the next call has its place.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::roothelper::{
    AttachSnapshot, DetachSnapshot, DeviceHandle, Interaction, LendDevice, OfVm, RootHelper, Sweep,
};
use banger_proto::{Refusal, VmId};

use super::stage::{ALICE, BOB, Stage, asks, base_image, is_root};
use crate::audit::Decision;
use crate::authority::simulated::{Scripted, Simulated};
use crate::server::{Capacity, Patience};

const NEVER: Interaction = Interaction::Never;

/// A call, by what there is when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// With the overlay file.
    AttachNew,
    /// Where that is there.
    AttachAgain,
    Lend,
    /// Of a device that is lent.
    Detach,
    Discard,
    List,
    Sweep,
    AttachNetwork,
    DetachNetwork,
}

const CALLS: [Call; 9] = [
    Call::AttachNew,
    Call::AttachAgain,
    Call::Lend,
    Call::Detach,
    Call::Discard,
    Call::List,
    Call::Sweep,
    Call::AttachNetwork,
    Call::DetachNetwork,
];

/// How a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It takes the call back, and stays.
    Reset,
    /// Its connection ends.
    Gone,
}

/// A helper with a VM, as a call wants it.
struct Scene {
    stage: Stage,
    vm: VmId,
    /// Opened by who tests.
    base: Arc<OwnedFd>,
    _file: tempfile::NamedTempFile,
    device: Option<DeviceHandle>,
}

impl Scene {
    fn new(stage: Stage, vm: VmId) -> Self {
        let file = base_image();
        let base = Arc::new(File::open(file.path()).unwrap().into());
        Self { stage, vm, base, _file: file, device: None }
    }

    /// One call of a user's at a time, so that one that never ended would be noticed.
    fn before(call: Call, vm: VmId) -> Self {
        let capacity = Capacity { calls_of_user: 1, ..Capacity::UNIT };
        let stage = Stage::with(Simulated::yes(), capacity, Patience::CONTRACT);
        let mut scene = Self::new(stage, vm);
        let first: &[Call] = match call {
            Call::AttachNew | Call::AttachNetwork => &[],
            Call::AttachAgain | Call::Discard => &[Call::AttachNew, Call::Detach],
            Call::Lend => &[Call::AttachNew],
            Call::Detach => &[Call::AttachNew, Call::Lend],
            Call::List | Call::Sweep => &[Call::AttachNew, Call::AttachNetwork],
            Call::DetachNetwork => &[Call::AttachNetwork],
        };
        // What a helper does first has been done.
        scene.does(Call::List).unwrap();
        for call in first {
            scene.does(*call).unwrap();
        }
        scene
    }

    /// The call, as a client makes it.
    async fn ask(
        &self,
        call: Call,
        mut helper: RootHelper,
    ) -> Result<Option<DeviceHandle>, Refusal> {
        let (vm, interaction) = (self.vm, NEVER);
        let of_vm = OfVm { vm, interaction };
        let device = || self.device.expect("a device is attached");
        match call {
            Call::AttachNew | Call::AttachAgain => {
                let base = Arc::clone(&self.base);
                let create_overlay = call == Call::AttachNew;
                let request = AttachSnapshot { vm, interaction, create_overlay, free_bytes: 1 };
                return Ok(Some(helper.attach_snapshot(request, base).await?.device));
            }
            Call::Lend => {
                helper
                    .lend_device(LendDevice { device: device(), interaction })
                    .await
                    .map(|_| ())?;
            }
            Call::Detach => {
                let request = DetachSnapshot { vm, diskseq: None, interaction };
                helper.detach_snapshot(request).await.map(|_| ())?;
            }
            Call::Discard => helper.discard_overlay(of_vm).await.map(|_| ())?,
            Call::List => helper.list_objects().await.map(|_| ())?,
            Call::Sweep => {
                let request =
                    Sweep { keep: vec![], dry_run: false, include_overlays: true, interaction };
                helper.sweep(request).await.map(|_| ())?;
            }
            Call::AttachNetwork => helper.attach_network(of_vm).await.map(|_| ())?,
            Call::DetachNetwork => helper.detach_network(of_vm).await.map(|_| ())?,
        }
        Ok(self.device)
    }

    fn does(&mut self, call: Call) -> Result<(), Refusal> {
        let this = &*self;
        let device = asks(ALICE, &this.stage.socket(), async |helper| this.ask(call, helper).await);
        self.device = device?;
        Ok(())
    }

    fn steps(&self) -> usize {
        self.stage.kernel.state().steps
    }

    /// All that the host has.
    fn there(&self) -> String {
        let state = self.stage.kernel.state();
        let devices = state.devices.iter().map(|(of, device)| {
            (of, device.active, device.node_owner, device.open, device.removal_pending)
        });
        let devices: Vec<_> = devices.collect();
        let loops: Vec<_> = state.loops.iter().map(|(number, it)| (number, it.held)).collect();
        let (taps, rules) = (&state.cables.taps, &state.cables.rules);
        format!("{devices:?} {loops:?} {:?} {taps:?} {rules:?}", state.overlays)
    }

    /// Makes the call, and is gone when the helper is at this step of it.
    fn leaves(&self, call: Call, step: usize, way: Way) {
        let kernel = &self.stage.kernel;
        let at = self.steps() + step;
        kernel.state().waiting_at = Some(at);
        let what = format!("{call:?}, step {step}, {way:?}");
        let (tell_gone, gone) = std::sync::mpsc::channel();
        let (tell_over, mut over) = tokio::sync::oneshot::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                asks(ALICE, &self.stage.socket(), async |helper| {
                    let staying = (way == Way::Reset).then(|| helper.clone());
                    let there = async {
                        while kernel.state().steps < at {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    };
                    let asking = self.ask(call, helper);
                    tokio::select! { biased; () = there => {} answer = asking => panic!("{answer:?}") }
                    // It is on its way.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    tell_gone.send(()).unwrap();
                    drop((&mut over).await);
                    drop(staying);
                });
            });
            gone.recv().unwrap_or_else(|_| panic!("{what}: it was answered"));
            // Another user does not wait for it.
            if is_root() {
                let listed =
                    asks(BOB, &self.stage.socket(), async |mut bob| bob.list_objects().await);
                listed.unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
            }
            kernel.state().waiting_at = None;
            drop(tell_over);
        });
    }
}

#[test]
fn a_client_that_goes_at_any_step_of_any_call_leaves_what_the_whole_call_leaves() {
    let vm = VmId::random();
    let mut gone = 0;
    for call in CALLS {
        let mut whole = Scene::before(call, vm);
        let begun = whole.steps();
        whole.does(call).unwrap();
        let steps = whole.steps() - begun;
        let expected = whole.there();
        assert!(steps > 0, "{call:?}");
        for (step, way) in (1..=steps).flat_map(|step| [(step, Way::Reset), (step, Way::Gone)]) {
            let mut scene = Scene::before(call, vm);
            let entries = scene.stage.log_at_least(1).len();
            scene.leaves(call, step, way);
            let what = format!("{call:?}, step {step} of {steps}, {way:?}");
            // There is one place, which the next call waits for.
            scene.does(Call::List).unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"));
            assert_eq!(scene.there(), expected, "{what}");
            let bobs = usize::from(is_root());
            let log = scene.stage.log(entries + 2 + bobs);
            let decisions: Vec<_> = log[entries..].iter().map(|entry| entry.decision).collect();
            assert_eq!(decisions, vec![Decision::Allowed; 2 + bobs], "{what}");
            gone += 1;
            // And all of it goes, after that as ever.
            scene.does(Call::Sweep).unwrap();
            let state = scene.stage.kernel.state();
            let left = (state.devices.len(), state.loops.len(), state.overlays.len());
            assert_eq!((left, state.cables.taps.len()), ((0, 0, 0), 0), "{what}: {state:#?}");
        }
    }
    assert!(gone > 100, "{gone}");
}

#[test]
fn a_client_that_goes_during_the_question_has_begun_nothing() {
    for call in CALLS.into_iter().filter(|call| *call != Call::List) {
        for way in [Way::Reset, Way::Gone] {
            // The answer never comes, and then there is one for whoever comes next.
            let stage = Stage::new(Simulated::script([Scripted::Never, Scripted::Yes]));
            let device = banger_proto::roothelper::Diskseq::new(7).unwrap();
            let vm = VmId::random();
            let device = Some(DeviceHandle { vm, diskseq: device });
            let scene = Scene { device, ..Scene::new(stage, vm) };
            // What a helper does first has been done.
            asks(ALICE, &scene.stage.socket(), async |mut helper| helper.list_objects().await)
                .unwrap();
            let steps = scene.steps();
            asks(ALICE, &scene.stage.socket(), async |helper| {
                let staying = (way == Way::Reset).then(|| helper.clone());
                let there = async {
                    while scene.stage.polkit.questions().is_empty() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let asking = scene.ask(call, helper);
                tokio::select! { biased; () = there => {} answer = asking => panic!("{answer:?}") }
                // What is told of it is on its way.
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(staying);
            });
            let entry = scene.stage.log(2).remove(1);
            assert_eq!(entry.decision, Decision::Abandoned, "{call:?}, {way:?}");
            assert_eq!(scene.steps(), steps, "{call:?}, {way:?}");
        }
    }
}
