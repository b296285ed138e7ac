//! Who may, and who may not, by polkitd and the files that are installed.

use std::time::{Duration, Instant};

use banger_proto::Code;
use banger_proto::roothelper::{Answer, Interaction};
use banger_roothelper::{Action, Caller};
use rustix::process::Signal;

use crate::stage::{BARRED, LARGE, LARGEST, MEMBER, NOBODYS, OUTSIDER, Process, Stage};

#[tokio::test]
async fn members_may_and_others_are_told_what_helps() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let asking = stage.gate();
    for uid in [MEMBER, LARGEST] {
        let process = Process::of(uid);
        asking.allowed(&process.caller(uid)).await;
        let answers = asking.gate().answers(&process.caller(uid)).await;
        let actions: Vec<_> = answers.iter().map(|answer| &*answer.action).collect();
        assert_eq!(actions, Action::ALL.map(Action::id));
        assert!(answers.iter().all(|answer| answer.answer == Answer::Yes), "{answers:?}");
    }
    // A large uid is not a negative one, and no more than others: CVE-2018-19788.
    for uid in [OUTSIDER, LARGE, NOBODYS] {
        let process = Process::of(uid);
        let (refusal, word) = asking.refused(&process.caller(uid), Interaction::Never).await;
        assert_eq!((refusal.code, &*word), (Code::FailedPrecondition, "nobody-to-ask"));
        assert!(refusal.hint.contains("usermod -aG banger"), "{}", refusal.hint);
        let answers = asking.gate().answers(&process.caller(uid)).await;
        assert!(answers.iter().all(|answer| answer.answer == Answer::Challenge), "{answers:?}");
    }
    // The administrator's rule goes first.
    let barred = Process::of(BARRED);
    let (refusal, word) = asking.refused(&barred.caller(BARRED), Interaction::Allowed).await;
    assert_eq!((refusal.code, &*word), (Code::PermissionDenied, "not-authorised"));
}

#[tokio::test]
async fn without_an_agent_the_refusal_comes_within_a_second() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let asking = stage.gate();
    let process = Process::of(OUTSIDER);
    for interaction in [Interaction::Never, Interaction::Allowed] {
        let begun = Instant::now();
        let (refusal, word) = asking.refused(&process.caller(OUTSIDER), interaction).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!((refusal.code, &*word), (Code::FailedPrecondition, "nobody-to-ask"));
        assert!(refusal.hint.starts_with("sudo usermod -aG banger"), "{}", refusal.hint);
    }
}

#[tokio::test]
async fn the_uid_is_the_sockets_and_the_process_the_one_that_connected() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let asking = stage.gate();
    // A member's process on an outsider's connection gives it nothing.
    let member = Process::of(MEMBER);
    let (refusal, word) = asking.refused(&member.caller(OUTSIDER), Interaction::Never).await;
    assert_eq!((refusal.code, &*word), (Code::FailedPrecondition, "nobody-to-ask"));
    // Nor does its number, once the process that connected has ended: CVE-2013-4288, CVE-2019-6133.
    let mut ended = Process::of(MEMBER);
    let dead = ended.caller(MEMBER);
    ended.end();
    let reused = Caller::new(
        dead.uid(),
        member.caller(MEMBER).pid(),
        dead.pidfd().try_clone_to_owned().unwrap(),
    );
    for caller in [&dead, &reused] {
        let (refusal, word) = asking.refused(caller, Interaction::Never).await;
        assert_eq!((refusal.code, &*word), (Code::Unauthenticated, "caller-ended"));
    }
    asking.allowed(&member.caller(MEMBER)).await;
}

#[tokio::test]
async fn a_process_that_ends_during_the_question_gets_no_permit() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let polkit = stage.polkit().await;
    let asking = stage.gate();
    let mut process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    asking.allowed(&caller).await;
    polkit.signal(Signal::STOP);
    let (refused, ()) = tokio::join!(asking.refused(&caller, Interaction::Never), async {
        // The question is with polkit by then or not: both must be refusals.
        tokio::time::sleep(Duration::from_millis(50)).await;
        process.end();
        polkit.signal(Signal::CONT);
    });
    let (refusal, word) = refused;
    assert!(
        [Code::Unauthenticated, Code::PermissionDenied].contains(&refusal.code),
        "{word}: {refusal}"
    );
}

#[tokio::test]
async fn a_hundred_at_once_are_answered_and_nothing_stays_open() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let asking = stage.gate();
    let (member, outsider) = (Process::of(MEMBER), Process::of(OUTSIDER));
    let callers = [member.caller(MEMBER), outsider.caller(OUTSIDER)];
    asking.allowed(&callers[0]).await;
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let begun = Instant::now();
    let mut questions = Vec::new();
    for n in 0..100 {
        let call = banger_roothelper::call::DiscardOverlay(banger_proto::roothelper::OfVm {
            vm: banger_proto::VmId::random(),
            interaction: Interaction::Never,
        });
        let (gate, caller) = (asking.gate(), &callers[n % 2]);
        questions.push(async move { (n, gate.permit(caller, call).await) });
    }
    let answers = futures_util::future::join_all(questions).await;
    println!("100 questions at once: {:?}", begun.elapsed());
    assert_eq!(answers.len(), 100);
    for (n, answer) in answers {
        assert_eq!(answer.is_ok(), n % 2 == 0, "{n}: {answer:?}");
    }
    // One of the yes before; of refusals some are left out of the log and counted.
    let entries = asking.entries();
    let allowed = entries.iter().filter(|entry| entry.subject.uid == MEMBER).count();
    assert_eq!((allowed, entries.len()), (51, 101));
    assert_eq!(open(), before);
}

/// What it costs to ask: for the record, and bounded far above it.
#[tokio::test]
async fn a_question_takes_milliseconds() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let asking = stage.gate();
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    asking.allowed(&caller).await;
    let begun = Instant::now();
    for _ in 0..20 {
        asking.allowed(&caller).await;
    }
    println!("one question after another: {:?} each", begun.elapsed() / 20);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
