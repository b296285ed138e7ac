//! Very many who are not let in, with descriptors in what nobody reads that cannot be closed at
//! once, or never: the helper serves the others on, and has in the end what it had before.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{
    set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::fuse::Fuse;
use super::raw::{LONG, keep_open, let_go, send};
use super::stage::{ALICE, BOB, Stage, as_user, asks, may_be_several_users};
use crate::authority::simulated::Simulated;
use crate::server::{Capacity, Ended, Patience};

/// Longer than a test waits.
const LINGER: Duration = Duration::from_secs(3000);
/// Many more than could be closed in turn, each with a moment's patience, while the test waits;
/// and more than the helper has descriptors for.
const MANY: usize = 2500;
/// What everybody else is answered within.
const SOON: Duration = Duration::from_secs(10);

/// What this process has of descriptors, and of threads that wait for others' closing. Threads of
/// the test's own may wait as well, where the helper was quicker than they.
fn had() -> (usize, usize) {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    };
    (open, tasks.map(name).filter(|name| name == "errand\n").count())
}

/// Waits until no more is had than before.
fn as_before(before: (usize, usize)) {
    let begun = Instant::now();
    loop {
        let now = had();
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        assert!(begun.elapsed() < LONG, "{before:?} before, and {now:?} now");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sockets whose last close takes long, of which little is in memory: each is connected to a
/// listener that accepts nobody, or to what it accepted.
struct Lingering {
    listener: TcpListener,
    kept: Vec<TcpStream>,
}

impl Lingering {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_socket_recv_buffer_size(&listener, 1).unwrap();
        Self { listener, kept: Vec::new() }
    }

    fn one(&mut self) -> OwnedFd {
        let mut ours = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        self.kept.push(self.listener.accept().unwrap().0);
        set_socket_send_buffer_size(&ours, 1).unwrap();
        ours.set_nonblocking(true).unwrap();
        let full = loop {
            if let Err(error) = ours.write(&[0; 1 << 12]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        set_socket_linger(&ours, Some(LINGER)).unwrap();
        ours.into()
    }
}

fn may_have_many() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 16);
    let many = Rlimit { current: Some(most), ..limit };
    may_be_several_users() && most >= 1 << 14 && setrlimit(Resource::Nofile, many).is_ok()
}

/// A helper that has one place a user, which somebody takes.
fn stage_without_a_place(idle: Duration) -> (Stage, UnixStream) {
    let patience = Patience { greeting: LINGER, idle, ..Patience::CONTRACT };
    let capacity = Capacity { connections_of_user: 1, ..Capacity::UNIT };
    let stage = Stage::with(Simulated::yes(), capacity, patience);
    let socket = stage.socket();
    let first = as_user(ALICE, || UnixStream::connect(&socket).unwrap());
    // It is let in.
    std::thread::sleep(Duration::from_millis(100));
    (stage, first)
}

/// Sends it to who does not let this one in; gives it back when the answer was there before.
fn is_turned_away(stage: &Stage, with: OwnedFd) -> Option<OwnedFd> {
    let socket = stage.socket();
    let stream = as_user(ALICE, || UnixStream::connect(&socket).unwrap());
    let load = [with];
    let sent = send(&stream, b"x", &load);
    let_go(stream);
    if sent.is_err() {
        return load.into_iter().next();
    }
    let_go(load);
    None
}

fn another_is_answered(stage: &Stage) {
    let begun = Instant::now();
    asks(BOB, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn very_many_that_linger_are_closed_within_seconds_and_end_nobody() {
    if !may_have_many() {
        return;
    }
    let (stage, first) = stage_without_a_place(LINGER);
    another_is_answered(&stage);
    let mut lingering = Lingering::new();
    let sockets: Vec<_> = (0..MANY).map(|_| lingering.one()).collect();
    let mut before = had();
    before.0 -= MANY;
    let begun = Instant::now();
    let mut kept = Vec::new();
    for (at, socket) in sockets.into_iter().enumerate() {
        kept.extend(is_turned_away(&stage, socket));
        if at % 500 == 0 {
            another_is_answered(&stage);
        }
    }
    another_is_answered(&stage);
    assert!(kept.len() < MANY / 2, "{} were not sent", kept.len());
    before.0 += kept.len();
    as_before(before);
    println!("RESULT {MANY} lingering connections were closed within {:?}", begun.elapsed());
    drop(first);
    stage.end();
    // To close these here would be to wait as well.
    keep_open(kept);
}

/// A filesystem whose server never writes back.
struct NeverWrites(Fuse);

impl NeverWrites {
    /// `None` where there is no FUSE.
    fn mount() -> Option<Self> {
        Fuse::mount(include_str!("never-writes.py")).map(Self)
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(self.0.path("0")).unwrap()
    }

    /// Sockets in which a file is in flight that nobody else has open and that is unchanged.
    fn in_flight(&self, count: usize) -> Vec<OwnedFd> {
        let one = || {
            let (from, to) = UnixStream::pair().unwrap();
            let load = [OwnedFd::from(self.open())];
            send(&from, b"x", &load).unwrap();
            to.into()
        };
        (0..count).map(|_| one()).collect()
    }

    /// Changes the file: whoever closes it from now on waits until that is written.
    fn change(&self) {
        let file = self.open();
        // A kernel that is short of memory may hold up who wrote until it was.
        let_go(std::thread::spawn(move || {
            file.write_all_at(&[b'x'; 4096], 0).unwrap();
            keep_open(file);
        }));
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn very_many_that_are_never_closed_take_nothing_from_others() {
    let Some(files) = may_have_many().then(NeverWrites::mount).flatten() else { return };
    let (stage, first) = stage_without_a_place(Duration::from_secs(2));
    another_is_answered(&stage);
    let before = had();
    let sockets = files.in_flight(MANY);
    files.change();
    let kept: Vec<_> =
        sockets.into_iter().filter_map(|socket| is_turned_away(&stage, socket)).collect();
    assert!(kept.len() < MANY / 2, "{} were not sent", kept.len());
    another_is_answered(&stage);
    let begun = Instant::now();
    // One thread hangs. What is not in its hands takes next to nothing.
    while had().0 > before.0 + kept.len() + 200 {
        assert!(begun.elapsed() < LONG, "{before:?} before, and {:?} now", had());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(had().1, 1, "something hangs, on one thread");
    // A helper that ends now would be there as long as its thread, and serve nobody.
    drop(first);
    std::thread::sleep(Duration::from_secs(5));
    another_is_answered(&stage);
    // Once the server is gone everything goes, and the helper, too.
    drop(files);
    drop(kept);
    assert_eq!(stage.ends_by_itself(), Ended::Idle);
}
