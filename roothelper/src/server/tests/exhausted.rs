//! No descriptor is left to accept with.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::stage::{ALICE, Stage, as_user, asks};
use crate::authority::simulated::Simulated;

/// Hundredths of a second that this process has used of the processor.
fn used(stat: &File) -> u64 {
    let mut bytes = [0; 4096];
    let length = stat.read_at(&mut bytes, 0).unwrap();
    let text = std::str::from_utf8(&bytes[..length]).unwrap();
    let fields = text.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn without_descriptors_accepting_rests_and_goes_on_when_there_are_some() {
    let stage = Stage::new(Simulated::yes());
    // Each test has a process of its own, so that the limit is only this one's. Everything that
    // needs a descriptor is opened before.
    asks(ALICE, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    let stat = File::open("/proc/self/stat").unwrap();
    let address = SocketAddrUnix::new(stage.socket()).unwrap();
    let waiting = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    assert!(File::open("/dev/null").is_err());
    as_user(ALICE, || connect(&waiting, &address).unwrap());
    let begun = used(&stat);
    std::thread::sleep(Duration::from_secs(1));
    let busy = used(&stat) - begun;
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(busy < 15, "{busy} hundredths of a second were spent on waiting");
    asks(ALICE, &stage.socket(), async |mut helper| drop(helper.describe(false).await.unwrap()));
    drop(waiting);
    stage.log_at_least(2);
}
