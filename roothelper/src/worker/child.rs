//! The worker's life: take the device, shut oneself in, do what is asked, tell, end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use banger_ext4::{Disk, Filesystem};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::answer::Answer;
use super::device_disk::DeviceDisk;
use super::program::{ARGUMENT, Arguments};
use super::refusal::{Refusal, chain};
use super::request::{LARGEST, Request};
use super::sandbox::{Needs, shut_in};
use super::state::state;
use super::{read, write};

/// The number that the device has in a worker.
const DEVICE: i32 = 3;
/// The device, until the very end: closing it is one more system call that nobody needs.
static KEPT: OnceLock<Arc<dyn Disk>> = OnceLock::new();

/// What a test does once the walls stand, with the worker's disk in its hands. The worker
/// itself does nothing then.
pub type Inside = fn(Arc<dyn Disk>) -> Arc<dyn Disk>;

/// Is this process to be a worker? Then it is one, and this is how it ended. To be asked
/// before anything else is done.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    run_with(arguments, |disk| disk)
}

/// As [`run`], for programs of tests.
#[doc(hidden)]
pub fn run_with(arguments: impl IntoIterator<Item = OsString>, inside: Inside) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let words: Vec<_> = arguments.collect();
    Some(match Arguments::parse(&words).map(|arguments| live(arguments, inside)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        // Nobody is there to be told: the helper sees the exit.
        Some(Err(_)) => ExitCode::FAILURE,
        None => ExitCode::from(2),
    })
}

fn live(arguments: Arguments, inside: Inside) -> io::Result<()> {
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    // The usual one says it in many system calls.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let _gone = say(io::stdin().as_fd(), &Answer::Panicked(place));
        std::process::abort();
    }));
    let disk = match confined(arguments, socket) {
        Ok(disk) => inside(Arc::clone(KEPT.get_or_init(|| disk))),
        Err(error) => return say(socket, &Answer::NotShutIn(chain(&*error))),
    };
    let message = super::frame::read(socket, LARGEST)?;
    let request = Request::decode(&message).map_err(io::Error::other)?;
    drop(message);
    let done = match &request {
        Request::Read { paths, limit } => {
            Filesystem::open(disk).and_then(|fs| read::read(&fs, paths, *limit)).map(Answer::Found)
        }
        Request::Look { touched } => {
            Filesystem::open(disk).and_then(|fs| state(&fs, touched)).map(Answer::State)
        }
        Request::Write { writes } => write::write(&disk, writes, &mut |answer| say(socket, answer)),
    };
    say(socket, &done.unwrap_or_else(|error| Answer::Refused(Refusal::from(error))))
}

fn say(socket: BorrowedFd<'_>, answer: &Answer) -> io::Result<()> {
    super::frame::write(socket, &answer.encode())
}

/// The device, once everything else has been given up.
fn confined(
    arguments: Arguments,
    socket: BorrowedFd<'_>,
) -> Result<Arc<dyn Disk>, Box<dyn std::error::Error>> {
    let device = device(socket)?;
    let disk = DeviceDisk::new(device)?;
    shut_in(&Needs { arguments, device_len: disk.len() })?;
    Ok(Arc::new(disk))
}

/// The device comes over the socket, with a byte of its own.
fn device(socket: BorrowedFd<'_>) -> io::Result<File> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let device = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let device = device.ok_or_else(|| io::Error::other("no device came"))?;
    if device.as_raw_fd() == DEVICE {
        return Ok(device.into());
    }
    Err(io::Error::other(format!("the device came as {}", device.as_raw_fd())))
}
