//! Many connections and calls at once: of one user, and of others beside.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use banger_proto::VmId;
use banger_proto::roothelper::{Interaction, OfVm, RootHelper};

use super::raw::Raw;
use super::stage::{ALICE, BOB, SHORT, Stage, as_user, asks, may_be_several_users, runtime};
use crate::authority::simulated::{Scripted, Simulated};
use crate::server::Capacity;

/// Reads until the helper closes; what it said.
fn heard(mut stream: UnixStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut heard = Vec::new();
    // Being closed with something unread is being closed, too.
    let _closed = stream.read_to_end(&mut heard);
    heard
}

/// Idle connections of one user.
const CROWD: u64 = 10_000;

#[test]
fn ten_thousand_connections_of_one_user_are_no_wait_for_another() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(CROWD * 3);
    // Root may have both ends of each connection.
    if !may_be_several_users() || most < CROWD * 2 {
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    let stage = Stage::new(Simulated::yes());
    let socket = stage.socket();
    let crowd = as_user(ALICE, || {
        (0..CROWD).map(|_| UnixStream::connect(&socket).unwrap()).collect::<Vec<_>>()
    });
    let answered = asks(BOB, &socket, async |mut helper| {
        let begun = std::time::Instant::now();
        helper.describe(false).await.unwrap();
        begun.elapsed()
    });
    // How long is for people to judge: machines that are shared stall.
    println!("RESULT a call beside {CROWD} idle connections of another user: {answered:?}");
    drop(crowd);
}

#[test]
fn one_users_connections_leave_place_for_anothers() {
    if !may_be_several_users() {
        return;
    }
    let stage = Stage::new(Simulated::yes());
    let socket = stage.socket();
    let idle = as_user(ALICE, || {
        (0..300).map(|_| UnixStream::connect(&socket).unwrap()).collect::<Vec<_>>()
    });
    // Another user's call is answered while they stay, and after all of them were looked at.
    asks(BOB, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    let mut told = 0;
    for stream in idle.into_iter().skip(64) {
        let heard = heard(stream);
        told += usize::from(String::from_utf8_lossy(&heard).contains("too many connections"));
    }
    assert_eq!(told, 300 - 64);
    // What was let in is let go, and there is place again.
    let connected = as_user(ALICE, || {
        runtime().block_on(async {
            let begun = std::time::Instant::now();
            loop {
                if let Ok(mut helper) = RootHelper::connect(&socket).await
                    && helper.describe(false).await.is_ok()
                {
                    return true;
                }
                assert!(begun.elapsed() < Duration::from_secs(60));
            }
        })
    });
    assert!(connected);
}

#[test]
fn who_says_nothing_is_closed() {
    let stage = Stage::with(Simulated::yes(), Capacity::UNIT, SHORT);
    let socket = stage.socket();
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for said in [&b""[..], b"P", &greeting[..23], b"GET / HTTP/1.1\r\n\r\n", &[0; 24]] {
        let stream = as_user(ALICE, || {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(said).unwrap();
            stream
        });
        heard(stream);
    }
}

#[test]
fn a_connection_has_one_call_at_a_time() {
    let never = (0..4).map(|_| Scripted::Never);
    let stage = Stage::new(Simulated::script(never));
    let socket = stage.socket();
    as_user(ALICE, || {
        runtime().block_on(async {
            let mut raw = Raw::connect(&socket).await;
            let path = "/banger.roothelper.v1.RootHelper/DetachNetwork";
            let message = prost::Message::encode_to_vec(
                &banger_proto::wire::roothelper::DetachNetworkRequest {
                    vm_id: VmId::random().to_string(),
                    allow_interaction: false,
                },
            );
            let mut answers = Vec::new();
            for _ in 0..3 {
                // The client's library holds back what the server does not take.
                let begun = tokio::time::timeout(Duration::from_millis(300), raw.begin(path, &[]));
                if let Ok(Ok((answer, mut stream))) = begun.await {
                    let body = super::raw::prefixed(&message).into();
                    drop(stream.send_data(body, true));
                    answers.push(answer);
                }
            }
            // One is asked about, and the others are not.
            stage_asks(&stage, 1).await;
        });
    });
    let (_, log) = stage.end();
    assert_eq!(log.len(), 1, "{log:#?}");
}

async fn stage_asks(stage: &Stage, count: usize) {
    let begun = std::time::Instant::now();
    while stage.polkit.questions().len() < count && begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stage.polkit.questions().len(), count);
}

#[test]
fn a_hundred_calls_at_once_are_each_answered_once() {
    let stage = Stage::with(
        Simulated::no(),
        Capacity { connections_of_user: 128, ..Capacity::UNIT },
        crate::server::Patience::CONTRACT,
    );
    let socket = stage.socket();
    let denied = as_user(ALICE, || {
        runtime().block_on(async {
            let calls: Vec<_> = (0..100)
                .map(|_| {
                    let socket = socket.clone();
                    tokio::spawn(async move {
                        let request = OfVm { vm: VmId::random(), interaction: Interaction::Never };
                        RootHelper::connect(&socket).await?.detach_network(request).await
                    })
                })
                .collect();
            let mut denied = 0;
            for call in calls {
                let refusal = call.await.unwrap().unwrap_err();
                denied += usize::from(refusal.code == banger_proto::Code::PermissionDenied);
            }
            denied
        })
    });
    assert_eq!(denied, 100);
    assert_eq!(stage.polkit.questions().len(), 100);
}
