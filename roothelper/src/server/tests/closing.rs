//! Descriptors that cannot be closed at once: of files whose server never answers, of sockets
//! that linger. Who sends them waits for them; others notice nothing.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use banger_proto::VmId;
use banger_proto::wire::roothelper as wire;
use prost::Message;
use rustix::net::sockopt::set_socket_linger;

use super::fuse::Fuse;
use super::raw::{LONG, Loaded, Raw, let_go, send};
use super::stage::{ALICE, BOB, Stage, as_user, asks, is_root, runtime};
use crate::authority::simulated::Simulated;
use crate::server::{Capacity, Patience};

/// Longer than a test waits, so that what is not waited for is told from what is.
const LINGER: Duration = Duration::from_secs(200);
/// What everybody else is answered within.
const SOON: Duration = Duration::from_secs(10);

/// The other end of what lingers, which takes nothing: while it is there.
type Kept = (TcpStream, TcpListener);

/// A socket whose last close takes long.
fn lingering(kept: &mut Vec<Kept>) -> OwnedFd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = listener.accept().unwrap().0;
    ours.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = ours.write(&[0; 1 << 16]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    set_socket_linger(&ours, Some(LINGER)).unwrap();
    kept.push((theirs, listener));
    ours.into()
}

fn attach(vm: &str) -> Vec<u8> {
    wire::AttachSnapshotRequest { vm_id: vm.to_owned(), ..Default::default() }.encode_to_vec()
}

/// A way to make the helper close something: what its first writes carry, and the call.
type Way = (Vec<Vec<OwnedFd>>, &'static str, Vec<u8>);

/// Every way, by the number of descriptors that each of the first writes carries.
fn ways(mut descriptor: impl FnMut() -> OwnedFd) -> Vec<Way> {
    let good = || attach(&VmId::random().to_string());
    let mut carrying = |loads: &[usize]| -> Vec<Vec<OwnedFd>> {
        loads.iter().map(|&count| (0..count).map(|_| descriptor()).collect()).collect()
    };
    vec![
        // No base image; one that no call asked for; one of a message that is wrong.
        (carrying(&[1]), "AttachSnapshot", good()),
        (carrying(&[1]), "ListObjects", Vec::new()),
        (carrying(&[1]), "AttachSnapshot", attach("../x")),
        // Too many, as the kernel hands them out, and cut by it.
        (carrying(&[1, 1]), "AttachSnapshot", good()),
        (carrying(&[3]), "AttachSnapshot", good()),
        (carrying(&[20]), "AttachSnapshot", good()),
    ]
}

/// Makes a call that ends in some way, as a user.
fn call(socket: &Path, (loads, method, message): Way, forget: bool) {
    as_user(ALICE, || {
        runtime().block_on(async {
            let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
            let loaded = Loaded::new(stream, loads).forgetting(forget);
            if let Ok(mut raw) = Raw::over(loaded).await {
                let call = raw.call(method, &message);
                drop(tokio::time::timeout(Duration::from_millis(500), call).await);
            }
        });
    });
}

fn send_one(stream: &UnixStream, said: &[u8], descriptor: OwnedFd) {
    let load = [descriptor];
    send(stream, said, &load).unwrap();
    let_go(load);
}

/// Another user's call, which must not be held up.
fn another_is_answered(stage: &Stage, after: &str) {
    let begun = Instant::now();
    asks(BOB, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    assert!(begun.elapsed() < SOON, "{:?} after {after}", begun.elapsed());
}

#[test]
fn sockets_that_linger_hold_up_nobody() {
    let stage = Stage::new(Simulated::yes());
    let mut kept = Vec::new();
    for way in ways(|| lingering(&mut kept)) {
        let what = format!("{} with {:?}", way.1, way.0.iter().map(Vec::len).collect::<Vec<_>>());
        call(&stage.socket(), way, false);
        another_is_answered(&stage, &what);
    }
    // In what the helper never reads: behind a greeting that is none.
    let socket = stage.socket();
    let mut silent = |said: &[u8]| {
        as_user(ALICE, || {
            let stream = UnixStream::connect(&socket).unwrap();
            send_one(&stream, said, lingering(&mut kept));
        });
    };
    for said in [&b"x"[..], b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        silent(said);
        another_is_answered(&stage, "what is not read");
    }
    // The helper leaves what lingers, and ends.
    stage.end();
}

#[test]
fn who_is_not_let_in_holds_up_nobody_with_what_is_in_the_socket() {
    if !is_root() {
        // Needs two users.
        return;
    }
    let capacity = Capacity { connections_of_user: 1, ..Capacity::UNIT };
    let stage = Stage::with(Simulated::yes(), capacity, Patience::CONTRACT);
    let socket = stage.socket();
    let mut kept = Vec::new();
    let first = as_user(ALICE, || UnixStream::connect(&socket).unwrap());
    for uid in [ALICE, 0] {
        // More than say goodbye at a time.
        for _ in 0..40 {
            as_user(uid, || {
                let stream = UnixStream::connect(&socket).unwrap();
                send_one(&stream, b"x", lingering(&mut kept));
            });
        }
        another_is_answered(&stage, "many who are not let in");
    }
    drop(first);
    stage.end();
}

/// A filesystem whose server does not answer when a file is closed; `None` where there is no FUSE.
fn never_flushes() -> Option<Fuse> {
    Fuse::mount(include_str!("never-flushes.py"))
}

fn opened(files: &Fuse) -> OwnedFd {
    File::open(files.path("x")).unwrap().into()
}

#[test]
fn files_of_a_server_that_never_answers_take_their_senders_places_alone() {
    let Some(files) = never_flushes() else { return };
    let capacity = Capacity { connections_of_user: 12, ..Capacity::UNIT };
    let stage = Stage::with(Simulated::yes(), capacity, Patience::CONTRACT);
    for way in ways(|| opened(&files)) {
        let what = format!("{} with {:?}", way.1, way.0.iter().map(Vec::len).collect::<Vec<_>>());
        // To close it here would be to wait as well.
        call(&stage.socket(), way, true);
        another_is_answered(&stage, &what);
    }
    // Until there is no place left.
    let begun = Instant::now();
    while is_let_in(&stage) {
        call(&stage.socket(), (vec![vec![opened(&files)]], "ListObjects", Vec::new()), true);
        assert!(begun.elapsed() < LONG, "there are places for ever");
    }
    another_is_answered(&stage, "all places of the first are taken");
    // Once the server is gone everything is as it was.
    drop(files);
    let begun = Instant::now();
    while !is_let_in(&stage) {
        assert!(begun.elapsed() < LONG, "the places are given back");
        std::thread::sleep(Duration::from_millis(20));
    }
    stage.end();
}

/// Whether the first user has a place left.
fn is_let_in(stage: &Stage) -> bool {
    let socket = stage.socket();
    as_user(ALICE, || {
        runtime().block_on(async {
            let connecting = banger_proto::roothelper::RootHelper::connect(&socket).await;
            match connecting {
                Ok(mut helper) => helper.describe(false).await.is_ok(),
                Err(_) => false,
            }
        })
    })
}
