//! An order and its descriptors, in one message over a socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::Order;

/// As many ports as a VM may publish, and a pidfd.
const DESCRIPTORS: usize = 65;
/// Bytes of the longest order: some forty for each port.
const LONGEST: usize = 8 << 10;

/// Sends both.
pub(super) fn send(socket: impl AsFd, order: &Order, descriptors: &[OwnedFd]) -> io::Result<()> {
    let text = serde_json::to_vec(order)?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if text.len() > LONGEST || !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives both; what is no such message is an error.
pub(super) fn receive(socket: impl AsFd) -> io::Result<(Order, Vec<OwnedFd>)> {
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
    let order: Order = serde_json::from_slice(text.get(..said.bytes).unwrap_or_default())?;
    if said.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() != order.ports.len() + 1 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((order, descriptors))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::super::Lead;
    use super::*;

    #[test]
    fn an_order_arrives_with_its_descriptors_or_not_at_all() {
        let (one, other) = UnixStream::pair().unwrap();
        let count = DESCRIPTORS - 1;
        let lead = |udp| Lead { udp, guest: u16::MAX };
        let order = Order {
            to: [255, 255, 255, 255].into(),
            ports: (0..count).map(|number| lead(number % 2 == 0)).collect(),
        };
        let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let descriptors: Vec<_> = (0..=count).map(|_| socket()).collect();
        send(&one, &order, &descriptors).unwrap();
        let (received, theirs) = receive(&other).unwrap();
        assert_eq!((received, theirs.len()), (order.clone(), count + 1));
        // Fewer than it speaks of.
        send(&one, &order, &descriptors[..2]).unwrap();
        assert!(receive(&other).is_err());
        drop(one);
        assert!(receive(&other).is_err());
    }
}
