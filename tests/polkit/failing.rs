//! polkit or the bus is not there, does not answer, or knows nothing: always a no, and a yes
//! again when all is well again.

use std::fs;
use std::time::{Duration, Instant};

use banger_proto::Code;
use banger_proto::roothelper::Interaction;
use banger_roothelper::authority::Patience;
use rustix::process::Signal;

use crate::stage::{MEMBER, Process, Stage};

#[tokio::test]
async fn without_polkit_or_without_a_bus_it_is_a_no() {
    let Some(stage) = Stage::new() else { return };
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    let asking = stage.gate();
    let unreachable = async || {
        let begun = Instant::now();
        let (refusal, word) = asking.refused(&caller, Interaction::Allowed).await;
        assert_eq!((refusal.code, &*word), (Code::PermissionDenied, "polkit-unreachable"));
        assert!(refusal.hint.starts_with("sudo systemctl start "), "{}", refusal.hint);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    };
    // No bus at all; a bus without polkit; polkit that ended.
    unreachable().await;
    let bus = stage.bus();
    unreachable().await;
    let polkit = stage.polkit().await;
    asking.allowed(&caller).await;
    polkit.end();
    unreachable().await;
    let polkit = stage.polkit().await;
    asking.allowed(&caller).await;
    // The bus ended, and came back with another polkit.
    bus.end();
    unreachable().await;
    drop(polkit);
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    asking.allowed(&caller).await;
}

#[tokio::test]
async fn a_polkit_that_does_not_answer_is_not_waited_for_without_end() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let polkit = stage.polkit().await;
    let short = Duration::from_millis(300);
    let asking = stage.impatient(Patience { machine: short, person: short });
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    polkit.signal(Signal::STOP);
    let begun = Instant::now();
    let (refusal, word) = asking.refused(&caller, Interaction::Never).await;
    assert_eq!((refusal.code, &*word), (Code::PermissionDenied, "polkit-silent"));
    assert!((short..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    polkit.signal(Signal::CONT);
    // Late answers are nobody's.
    stage.gate().allowed(&caller).await;
}

#[tokio::test]
async fn an_action_that_polkit_does_not_know_is_a_no() {
    let Some(stage) = Stage::new() else { return };
    let file = "root/usr/share/polkit-1/actions/dev.banger.roothelper.policy";
    fs::remove_file(stage.path().join(file)).unwrap();
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let process = Process::of(MEMBER);
    let asking = stage.gate();
    // The rule that says yes to members is there: it is not enough.
    let (refusal, word) = asking.refused(&process.caller(MEMBER), Interaction::Never).await;
    assert_eq!((refusal.code, &*word), (Code::FailedPrecondition, "unregistered-action"));
    assert!(refusal.hint.contains("make install"), "{}", refusal.hint);
}

#[tokio::test]
async fn without_the_rules_an_administrator_is_needed() {
    let Some(stage) = Stage::new() else { return };
    let file = "root/usr/share/polkit-1/rules.d/dev.banger.roothelper.rules";
    fs::remove_file(stage.path().join(file)).unwrap();
    let _bus = stage.bus();
    let _polkit = stage.polkit().await;
    let process = Process::of(MEMBER);
    let asking = stage.gate();
    let (refusal, word) = asking.refused(&process.caller(MEMBER), Interaction::Allowed).await;
    assert_eq!((refusal.code, &*word), (Code::FailedPrecondition, "nobody-to-ask"));
    assert!(refusal.hint.contains("dev.banger.roothelper.rules"), "{}", refusal.hint);
}
