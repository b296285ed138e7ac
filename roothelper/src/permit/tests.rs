//! The gate: who gets a permit, and what is told about it.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_proto::roothelper::OfVm;
use banger_proto::{Code, VmId};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::*;
use crate::OwnerUid;
use crate::audit::{Decision, Kept};
use crate::authority::simulated::{Scripted, Simulated};
use crate::call::{AttachNetwork, DiscardOverlay, ListObjects};

/// A process that may be ended.
struct Process(Child);

impl Process {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn caller(&self) -> Caller {
        let pid = Pid::from_child(&self.0);
        Caller::new(
            OwnerUid::new(1000).unwrap(),
            pid,
            pidfd_open(pid, PidfdFlags::empty()).unwrap(),
        )
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn gate(authority: Simulated) -> (Gate, Kept) {
    let kept = Kept::default();
    (Gate::new(Box::new(authority), Audit::new(Box::new(kept.clone()))), kept)
}

fn call() -> DiscardOverlay {
    DiscardOverlay(OfVm { vm: VmId::random(), interaction: Interaction::Allowed })
}

#[tokio::test]
async fn a_yes_makes_a_permit_of_this_caller_and_this_call() {
    let process = Process::new();
    let (gate, kept) = gate(Simulated::yes());
    let call = call();
    let permit = gate.permit(&process.caller(), call).await.unwrap();
    assert_eq!(permit.call().0, call.0);
    let ownership = permit.ownership().unwrap();
    assert_eq!((ownership.uid.get(), ownership.vm), (1000, call.0.vm));
    let [entry] = &kept.entries()[..] else { panic!("{:?}", kept.entries()) };
    assert_eq!(entry.decision, Decision::Allowed);
    assert_eq!(entry.subject.pid, Some(process.caller().pid().as_raw_pid()));
    assert_eq!(entry.vm, Some(call.0.vm.to_string()));
    assert_eq!(entry.method, Some(Method::DiscardOverlay));
    assert_eq!(entry.action, Some(Action::DiscardOverlays));
}

#[tokio::test]
async fn whatever_is_no_clear_yes_is_a_refusal_and_one_entry() {
    for (scripted, code, word) in [
        (Scripted::No, Code::PermissionDenied, "not-authorised"),
        (Scripted::Challenge, Code::FailedPrecondition, "nobody-to-ask"),
        (Scripted::Dies, Code::PermissionDenied, "polkit-unreachable"),
        (Scripted::Garbled, Code::PermissionDenied, "polkit-garbled"),
        (
            Scripted::Slow(Duration::from_millis(1), Box::new(Scripted::No)),
            Code::PermissionDenied,
            "not-authorised",
        ),
    ] {
        let process = Process::new();
        let (gate, kept) = gate(Simulated::script([scripted]));
        let refusal = gate.permit(&process.caller(), call()).await.unwrap_err();
        assert_eq!(refusal.code, code, "{word}");
        assert!(!refusal.hint.is_empty(), "{word} says what helps");
        let entries = kept.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!((entries[0].decision, &*entries[0].reason), (Decision::Refused, word));
        // The next question is a new one: nothing is remembered.
        gate.permit(&process.caller(), call()).await.unwrap_err();
        assert_eq!(kept.entries().len(), 2);
    }
}

#[tokio::test]
async fn a_caller_that_ended_before_the_question_is_not_asked_about() {
    let mut process = Process::new();
    let caller = process.caller();
    process.end();
    let authority = Arc::new(Simulated::yes());
    let kept = Kept::default();
    let gate =
        Gate::new(Box::new(Shared(Arc::clone(&authority))), Audit::new(Box::new(kept.clone())));
    let refusal = gate.permit(&caller, call()).await.unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
    // Nor is it told what is there.
    let refusal = gate.permit(&caller, ListObjects).await.unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
    assert_eq!(authority.questions(), []);
    assert_eq!(kept.entries().len(), 2);
    assert!(kept.entries().iter().all(|entry| entry.reason == "caller-ended"));
}

#[tokio::test]
async fn a_yes_about_a_caller_that_ended_meanwhile_is_a_no() {
    let process = Arc::new(Mutex::new(Process::new()));
    let caller = process.lock().unwrap().caller();
    let ending = Arc::clone(&process);
    let end =
        Scripted::After(Box::new(move || ending.lock().unwrap().end()), Box::new(Scripted::Yes));
    let (gate, kept) = gate(Simulated::script([end]));
    let refusal = gate.permit(&caller, call()).await.unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
    assert_eq!(kept.entries().len(), 1);
    assert_eq!(kept.entries()[0].reason, "caller-ended");
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_any_more_is_told() {
    let process = Process::new();
    let (gate, kept) = gate(Simulated::script([Scripted::Never]));
    let caller = process.caller();
    let waited =
        tokio::time::timeout(Duration::from_millis(20), gate.permit(&caller, call())).await;
    assert!(waited.is_err());
    let entries = kept.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].decision, Decision::Abandoned);
    assert!(entries[0].duration >= Duration::from_millis(10));
}

#[tokio::test]
async fn a_message_that_cannot_be_right_is_told_and_nobody_is_asked() {
    let process = Process::new();
    let (gate, kept) = gate(Simulated::yes());
    let said = "../x\n\u{1b}[2J";
    let invalid = said.parse::<VmId>().unwrap_err();
    let refusal =
        gate.refuse_message(&process.caller(), Method::LendDevice, said.as_bytes(), invalid);
    assert_eq!(refusal.code, Code::InvalidArgument);
    let [entry] = &kept.entries()[..] else { panic!("{:?}", kept.entries()) };
    assert_eq!(entry.said.as_deref(), Some("../x\\x0a\\x1b[2J"));
    assert_eq!((entry.decision, entry.method), (Decision::Refused, Some(Method::LendDevice)));
}

#[tokio::test]
async fn interaction_is_the_calls_and_answers_beforehand_trouble_nobody() {
    let process = Process::new();
    let authority = Arc::new(Simulated::script([
        Scripted::Yes,
        Scripted::Yes,
        Scripted::Challenge,
        Scripted::No,
        Scripted::Dies,
    ]));
    let kept = Kept::default();
    let gate = Gate::new(Box::new(Shared(Arc::clone(&authority))), Audit::new(Box::new(kept)));
    let caller = process.caller();
    let of_vm = OfVm { vm: VmId::random(), interaction: Interaction::Allowed };
    gate.permit(&caller, AttachNetwork(of_vm)).await.unwrap();
    let answers: Vec<_> =
        gate.answers(&caller).await.into_iter().map(|answer| answer.answer).collect();
    assert_eq!(answers, [Answer::Yes, Answer::Challenge, Answer::No, Answer::Unknown]);
    let mut expected = vec![(1000, Action::ManageNetwork, Interaction::Allowed)];
    expected.extend(Action::ALL.map(|action| (1000, action, Interaction::Never)));
    assert_eq!(authority.questions(), expected);
}

/// An authority that a test keeps a hand on.
#[derive(Debug)]
struct Shared(Arc<Simulated>);

impl Authority for Shared {
    fn ask<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        interaction: Interaction,
    ) -> crate::authority::Asked<'a> {
        self.0.ask(caller, action, interaction)
    }
}
