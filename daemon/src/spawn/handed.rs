//! Words and descriptors, in one message over a socket between this program's processes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most descriptors of a message: as many ports as a VM may publish, and a pidfd.
const DESCRIPTORS: usize = 65;
/// Bytes of the longest message: some forty for each port.
const LONGEST: usize = 8 << 10;

/// Sends both.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] where it is too much, and what the operating system says.
pub(crate) fn send(
    socket: impl AsFd,
    words: &impl Serialize,
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let text = serde_json::to_vec(words)?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if text.len() > LONGEST || !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives both.
///
/// # Errors
/// Where the other end was closed, what came is no such message, or descriptors were lost on the
/// way.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut text = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let said = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if said.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let words = serde_json::from_slice(text.get(..said.bytes).unwrap_or_default())?;
    if said.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((words, descriptors))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn words_arrive_with_their_descriptors_or_not_at_all() {
        let (one, other) = UnixStream::pair().unwrap();
        let words = vec!["x".repeat(60); 100];
        let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let descriptors: Vec<_> = (0..DESCRIPTORS).map(|_| socket()).collect();
        send(&one, &words, &descriptors).unwrap();
        let (received, theirs) = receive::<Vec<String>>(&other).unwrap();
        assert_eq!((received, theirs.len()), (words.clone(), DESCRIPTORS));
        // What somebody else expects.
        send(&one, &words, &[]).unwrap();
        assert!(receive::<u32>(&other).is_err());
        assert!(send(&one, &[words.clone(), words].concat(), &[]).is_err());
        drop(one);
        assert!(receive::<Vec<String>>(&other).is_err());
    }
}
