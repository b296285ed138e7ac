//! Bytes of a connection, and descriptors among them: which come first, is seen before either
//! is taken.
//!
//! Descriptors are taken on a thread of the user's (`errands`). Those that do not fit the
//! kernel closes at once, on the thread that takes or ends what holds them; that can take as
//! long as their maker likes.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, Shutdown, recv, recvmsg,
    shutdown,
};

use super::admission::Ticket;
use crate::kernel::Received;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes alone, which were taken; none at the end.
    Bytes(usize),
    /// Up to so many bytes with descriptors among them, which were not.
    Descriptors(usize),
}

/// Bytes and descriptors that were taken together.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<Received>,
    /// More descriptors came than are taken.
    pub(super) cut: bool,
}

/// Takes the bytes that come before any descriptor.
pub(super) fn take_bytes(socket: impl AsFd, room: &mut [u8]) -> io::Result<Next> {
    let mut nothing = RecvAncillaryBuffer::default();
    let mut buffers = [IoSliceMut::new(room)];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let peeked = recvmsg(&socket, &mut buffers, &mut nothing, flags)?;
    // Without room for it, what there is beside bytes is told as cut.
    if peeked.flags.contains(ReturnFlags::CTRUNC) {
        return Ok(Next::Descriptors(peeked.bytes));
    }
    // No more than was seen: behind it there may be one by now.
    let seen = room.get_mut(..peeked.bytes).unwrap_or_default();
    if seen.is_empty() {
        return Ok(Next::Bytes(0));
    }
    Ok(Next::Bytes(recv(socket, seen, RecvFlags::DONTWAIT)?.1))
}

/// Takes up to so many bytes with the descriptors among them, which hold the place.
pub(super) fn take_load(socket: impl AsFd, count: usize, place: &Arc<Ticket>) -> io::Result<Load> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; count];
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(socket, &mut buffers, &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights.map(|descriptor| {
                let place = Arc::clone(place);
                Received::new(descriptor, move |it| place.errand(move || drop(it)))
            }));
        }
    }
    bytes.truncate(message.bytes);
    Ok(Load { bytes, descriptors, cut: message.flags.contains(ReturnFlags::CTRUNC) })
}

/// Ends our side of a conversation.
pub(super) fn say_no_more(socket: impl AsFd) -> io::Result<()> {
    Ok(shutdown(socket, Shutdown::Write)?)
}

/// Ends a conversation for both sides. Is a descriptor left in what was not read?
pub(super) fn end(socket: impl AsFd) -> bool {
    let shut = shutdown(&socket, Shutdown::Both);
    if shut.is_err_and(|error| error != Errno::NOTCONN) {
        return true;
    }
    let mut room = [0; 4096];
    loop {
        match take_bytes(&socket, &mut room) {
            Ok(Next::Bytes(1..)) => {}
            Ok(Next::Bytes(0)) => return false,
            Ok(Next::Descriptors(_)) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => {}
            Err(_) => return true,
        }
    }
}
