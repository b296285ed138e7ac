//! Clients that leave, and a helper that ends.

use std::time::Duration;

use banger_proto::VmId;
use banger_proto::roothelper::{Interaction, OfVm, RootHelper};
use banger_proto::wire::roothelper as wire;
use hyper::body::Bytes;
use prost::Message;

use super::raw::{Raw, prefixed};
use super::stage::{ALICE, SHORT, Stage, as_user, asks, runtime};
use crate::Method;
use crate::audit::Decision;
use crate::authority::simulated::{Scripted, Simulated};
use crate::server::{Capacity, Ended, Patience};

fn message() -> Vec<u8> {
    let vm_id = VmId::random().to_string();
    prefixed(&wire::DetachNetworkRequest { vm_id, allow_interaction: false }.encode_to_vec())
}

#[test]
fn a_client_that_leaves_while_polkit_is_asked_is_told_of_in_one_entry() {
    let stage = Stage::new(Simulated::script([Scripted::Never]));
    let socket = stage.socket();
    as_user(ALICE, || {
        runtime().block_on(async {
            let mut raw = Raw::connect(&socket).await;
            let path = "/banger.roothelper.v1.RootHelper/DetachNetwork";
            let (_answer, mut stream) = raw.begin(path, &[]).await.unwrap();
            stream.send_data(message().into(), true).unwrap();
            while stage.polkit.questions().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    assert_eq!(stage.only_entry().decision, Decision::Abandoned);
}

#[test]
fn a_client_that_leaves_in_its_message_is_told_of_in_one_entry() {
    let stage = Stage::new(Simulated::yes());
    let socket = stage.socket();
    for cut in [0, 1, 5, 20] {
        as_user(ALICE, || {
            runtime().block_on(async {
                let mut raw = Raw::connect(&socket).await;
                let path = "/banger.roothelper.v1.RootHelper/DetachNetwork";
                let (_answer, mut stream) = raw.begin(path, &[]).await.unwrap();
                let part = Bytes::copy_from_slice(&message()[..cut]);
                stream.send_data(part, false).unwrap();
                raw.heard().await;
                // What was heard has begun when another call has been answered since.
                RootHelper::connect(&socket).await.unwrap().describe(false).await.unwrap();
            });
        });
    }
    assert_eq!(stage.polkit.questions(), []);
    let mut log = stage.log(8);
    log.retain(|entry| entry.method == Some(Method::DetachNetwork));
    assert_eq!(log.len(), 4, "{log:#?}");
    assert!(log.iter().all(|entry| entry.decision != Decision::Allowed), "{log:#?}");
}

#[test]
fn the_helper_ends_when_nobody_asks() {
    let patience = Patience { idle: Duration::from_millis(200), ..Patience::CONTRACT };
    let stage = Stage::with(Simulated::yes(), Capacity::UNIT, patience);
    asks(ALICE, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    assert_eq!(stage.ends_by_itself(), Ended::Idle);
}

#[test]
fn a_helper_that_is_asked_to_end_answers_first() {
    let slow = Scripted::Slow(Duration::from_millis(500), Box::new(Scripted::No));
    let stage = Stage::new(Simulated::script([slow]));
    let socket = stage.socket();
    let (begun, begins) = std::sync::mpsc::channel();
    let asking = std::thread::spawn(move || {
        asks(ALICE, &socket, async |mut helper| {
            begun.send(()).unwrap();
            let request = OfVm { vm: VmId::random(), interaction: Interaction::Never };
            helper.detach_network(request).await.unwrap_err().code
        })
    });
    begins.recv().unwrap();
    while stage.polkit.questions().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (ended, log) = stage.end();
    assert_eq!(ended, Ended::Asked);
    assert_eq!(log.len(), 1);
    assert_eq!(asking.join().unwrap(), banger_proto::Code::PermissionDenied);
}

#[test]
fn an_old_connection_is_asked_to_end_and_its_client_comes_again() {
    let patience =
        Patience { age: Duration::from_millis(200), grace: Duration::from_secs(60), ..SHORT };
    let stage = Stage::with(Simulated::yes(), Capacity::UNIT, patience);
    let socket = stage.socket();
    let answered = as_user(ALICE, || {
        runtime().block_on(async {
            let mut helper = RootHelper::connect(&socket).await.unwrap();
            let mut answered = 0;
            for _ in 0..3 {
                answered += usize::from(helper.describe(false).await.is_ok());
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            answered
        })
    });
    assert_eq!(answered, 3);
}

#[test]
fn a_helper_that_is_told_to_end_waits_for_no_person() {
    let stage = Stage::new(Simulated::script([Scripted::Never]));
    let socket = stage.socket();
    let asking = std::thread::spawn(move || {
        asks(ALICE, &socket, async |mut helper| {
            let request = OfVm { vm: VmId::random(), interaction: Interaction::Allowed };
            helper.detach_network(request).await.unwrap_err()
        })
    });
    while stage.polkit.questions().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = std::time::Instant::now();
    let (ended, log) = stage.end();
    assert_eq!(ended, Ended::Asked);
    assert!(begun.elapsed() < Patience::CONTRACT.ending, "{:?}", begun.elapsed());
    assert_eq!((log.len(), &*log[0].reason), (1, "helper-ending"));
    let refusal = asking.join().unwrap();
    assert_eq!(refusal.code, banger_proto::Code::Unavailable);
    assert!(refusal.hint.contains("ask again"), "{refusal:?}");
}

/// What systemd kills is not undone before the next helper comes: it is to come in time.
#[test]
fn systemd_waits_for_what_is_under_way_when_the_helper_ends() {
    let unit = include_str!("../../../../packaging/systemd/banger-roothelper.service");
    let waits = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let waits = Duration::from_secs(waits.strip_suffix('s').unwrap().parse().unwrap());
    let ending = Patience::CONTRACT.ending;
    assert!(ending + Duration::from_secs(5) <= waits, "{ending:?} of {waits:?}");
    let longest = crate::permit::A_MOMENT + crate::worker::Deadlines::default().longest();
    assert!(longest <= ending, "{longest:?} of {ending:?}");
}
