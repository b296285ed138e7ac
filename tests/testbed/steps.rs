//! Each step of each call, on the real kernel: the helper is killed at it, or its client goes while the helper stands
//! still there. A step is a call of the helper's to the kernel, which strace ends or holds up.
//!
//! `BANGER_STEP_KILLS` says how many are to happen, `BANGER_SEED` where they begin.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_proto::roothelper::{
    Change, DetachSnapshot, DeviceHandle, Fate, Interaction, LendDevice, ObjectKind, OfVm,
    RootHelper, SOCKET, Sweep,
};
use banger_proto::{Refusal, VmId};
use banger_tests::testbed::inside_with_helper as inside;

use crate::asking::{User, attaching, left, members, node, open, owner};
use crate::bad_inputs::runtime;
use crate::files::filesystem;
use crate::kills::Numbers;
use crate::trace::Trace;
use crate::{number, sh};

/// Events when `BANGER_STEP_KILLS` says nothing: one of each, and another.
const STEPS: u64 = 4;
/// What happens, one after the other.
const EVENTS: [Event; 4] = [Event::Killed, Event::Gone, Event::Killed, Event::Reset];
/// What of the helper's calls to the kernel is a step: all that make or change something, or look for it.
const CHANGES: &str = "ioctl,fchown,fchownat,fchmod,fchmodat,chown,mkdir,mkdirat,mknodat,unlink,unlinkat,linkat,\
    ftruncate,fsync,openat,openat2";
/// The same with what is said to the network's part of the kernel, to polkit, the log and the client.
const SAYS: &str = "ioctl,openat,openat2,sendto,sendmsg,write,writev,unlinkat,fchownat,fchmodat";
/// What the files hold before.
const TEXT: &str = "new 0";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Lend,
    TakeBack,
    Sweep,
    Attach,
    Discard,
    AttachNetwork,
    DetachNetwork,
}

/// Each with its steps, and how many they are at most.
const CALLS: [(Call, &str, u64); 8] = [
    (Call::Lend, CHANGES, 23),
    (Call::TakeBack, CHANGES, 29),
    (Call::Sweep, SAYS, 86),
    (Call::Attach, CHANGES, 36),
    (Call::Discard, CHANGES, 6),
    (Call::AttachNetwork, SAYS, 36),
    (Call::DetachNetwork, SAYS, 16),
    // Up to the answer.
    (Call::Lend, SAYS, 24),
];

/// What happens at the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Killed,
    /// The client takes its call back.
    Reset,
    /// Its connection ends.
    Gone,
}

struct Scene<'a> {
    ann: User,
    vm: VmId,
    base: &'a Path,
}

impl Scene<'_> {
    async fn ask(
        &self,
        call: Call,
        mut helper: RootHelper,
        device: Option<DeviceHandle>,
    ) -> Result<(), Refusal> {
        let (vm, interaction) = (self.vm, Interaction::Never);
        let of_vm = OfVm { vm, interaction };
        match call {
            Call::Lend => {
                let device = device.expect("a device is attached");
                helper.lend_device(LendDevice { device, interaction }).await.map(|_| ())
            }
            Call::TakeBack => {
                let request = DetachSnapshot { vm, diskseq: None, interaction };
                helper.detach_snapshot(request).await.map(|_| ())
            }
            Call::Sweep => {
                let (keep, dry_run, include_overlays) = (vec![], false, false);
                let request = Sweep { keep, dry_run, include_overlays, interaction };
                helper.sweep(request).await.map(|_| ())
            }
            Call::Attach => {
                helper.attach_snapshot(attaching(vm), open(self.base)).await.map(|_| ())
            }
            Call::Discard => helper.discard_overlay(of_vm).await.map(|_| ()),
            Call::AttachNetwork => helper.attach_network(of_vm).await.map(|_| ()),
            Call::DetachNetwork => helper.detach_network(of_vm).await.map(|_| ()),
        }
    }

    /// Makes what the call is about. The overlay has the files.
    fn prepare(&self, call: Call) -> Option<DeviceHandle> {
        let attach = || self.ann.attach(self.vm, self.base).unwrap().device;
        match call {
            Call::Lend | Call::Discard | Call::Attach | Call::AttachNetwork => {}
            Call::TakeBack => drop(self.ann.lend(attach()).unwrap()),
            Call::Sweep => {
                self.ann.lend(attach()).unwrap();
                self.ann.network(self.vm, true).unwrap();
            }
            Call::DetachNetwork => drop(self.ann.network(self.vm, true).unwrap()),
        }
        (call == Call::Lend).then(attach)
    }

    /// Makes the call, and lets this happen at its step. False when it has no such step.
    fn cut(&self, (call, steps): (Call, &str), event: Event, step: u64) -> bool {
        let device = self.prepare(call);
        self.ann.list();
        let signal = if event == Event::Killed { "KILL" } else { "STOP" };
        let inject = format!("inject={steps}:signal={signal}:when={step}");
        let trace = Trace::of_helper(&["-e", &format!("trace={steps}"), "-e", &inject]);
        let stopped = || trace.seen().contains("stopped by SIGSTOP");
        let pid = crate::hygiene::helper().unwrap();
        self.ann.does(|| {
            runtime().block_on(async {
                // Killed at the greeting, it has heard of no call.
                let Ok(helper) = RootHelper::connect(Path::new(SOCKET)).await else { return };
                let staying = helper.clone();
                let there = async {
                    while event == Event::Killed || !stopped() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                // Whether it fails, or the next helper does what this one was asked, is all the same.
                tokio::select! { _ = self.ask(call, helper, device) => {} () = there => {} }
                if event == Event::Reset {
                    // It is sent, and lies in the socket.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                drop(staying);
            });
        });
        let happened = match event {
            Event::Killed => crate::hygiene::helper() != Some(pid),
            Event::Reset | Event::Gone => stopped(),
        };
        trace.end();
        sh(&format!("kill -CONT {pid} 2>/dev/null || true"));
        happened
    }

    /// That nothing is half-made, and that all of it goes.
    fn judge(&self, call: Call) -> Result<(), String> {
        let told = |refusal: Refusal| format!("{refusal:?}");
        let begun = Instant::now();
        let swept = loop {
            let swept = self.ann.sweep(&[], false);
            let stays = |kind: &ObjectKind| !matches!(kind, ObjectKind::Overlay { .. });
            // What the call is still about is told so.
            if swept.iter().all(|it| it.fate == Fate::Removed || !stays(&it.object.kind)) {
                break swept;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(format!("it is not swept: {swept:?}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let there = left();
        if !there.is_empty() {
            return Err(format!("left after {swept:?}: {there}"));
        }
        let taps = sh("ip -oneline link | grep -c bgr || true");
        let known = sh("nft list table bridge banger | grep -c bgr || true");
        if (&*taps, &*known) != ("0", "0") {
            return Err(format!("{taps} taps are left, and {known} rules of them"));
        }
        // The overlay is what it was, or gone where it was to go.
        let made = self.ann.attach(self.vm, self.base).map_err(told)?;
        let node = node(self.ann, self.vm);
        if owner(&node) != (0, 0o600) {
            return Err(format!("a new device is lent: {:?}", owner(&node)));
        }
        let held = self.ann.read_all(made.device, &["/etc/f0"]).map_err(told)?.remove(0);
        let is_new = made.overlay == Change::Created;
        if held.as_deref() != (!is_new).then_some(TEXT.as_bytes())
            || (is_new && call != Call::Discard)
        {
            return Err(format!("the overlay is new: {is_new}, and it holds {held:?}"));
        }
        let checked = sh(&format!("e2fsck -fn {} 2>&1 || echo damaged", node.display()));
        if checked.ends_with("damaged") {
            return Err(checked);
        }
        if is_new {
            self.ann.write(made.device, 1).map_err(told)?;
        }
        // It has its way to the end, as ever.
        self.ann.lend(made.device).map_err(told)?;
        match self.ann.detach(self.vm).map_err(told)? {
            Change::Removed => Ok(()),
            other => Err(format!("at the end: {other:?}")),
        }
    }
}

#[test]
fn whatever_happens_at_a_step_of_a_call_nothing_is_half_made() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = filesystem(ann, "base");
        let scene = Scene { ann, vm: VmId::random(), base: &base };
        let device = ann.attach(scene.vm, &base).unwrap().device;
        ann.write(device, 1).unwrap();
        assert_eq!(ann.detach(scene.vm).unwrap(), Change::Removed);
        let (seed, count) = (number("BANGER_SEED", 1), number("BANGER_STEP_KILLS", STEPS));
        let mut numbers = Numbers(seed);
        let (mut cut, mut wrong) = ([0; 3], Vec::new());
        let (first, mut happened) = (numbers.below(CALLS.len() as u64), 0);
        // A step that a call did not come to is none.
        for n in 0..4 * count {
            let (call, steps, most) = CALLS[(first + n) as usize % CALLS.len()];
            let event = EVENTS[happened as usize % EVENTS.len()];
            let step = 1 + numbers.below(most);
            if scene.cut((call, steps), event, step) {
                cut[event as usize] += 1;
                happened += 1;
            }
            if let Err(why) = scene.judge(call) {
                wrong.push(format!("{n}: {call:?}, {event:?} at step {step}: {why}"));
            }
            if happened == count || !wrong.is_empty() {
                break;
            }
        }
        let [killed, reset, gone] = cut;
        println!(
            "RESULT helper and clients at each step of calls on the real kernel, seed {seed}: \
             {killed} kills, {reset} calls taken back, {gone} clients gone in the middle: {} violations",
            wrong.len()
        );
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(happened, count, "calls have fewer steps than they had");
    });
}
