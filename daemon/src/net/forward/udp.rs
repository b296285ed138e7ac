//! Datagrams to a published port: each sender has a socket of its own towards the guest, by which
//! the answers find back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket as Bound};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Senders at once, a port. One more is not heard before another has been silent for long.
const SENDERS: usize = 128;
/// After how long of silence, in both directions, a sender is forgotten.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of the largest datagram.
const LARGEST: usize = 1 << 16;
/// Before the next attempt, where the kernel reports an error: a guest that does not listen is one.
const LATER: Duration = Duration::from_millis(5);

/// A sender's way to the guest.
#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    last: Cell<Instant>,
    _place: OwnedSemaphorePermit,
}

/// What a datagram is carried in: one at a time, by one thread.
type Piece = Rc<RefCell<Vec<u8>>>;
type Flows = Rc<RefCell<HashMap<SocketAddr, Rc<Flow>>>>;

/// Leads datagrams of the port to the guest's, and its answers back, for as many senders as there
/// are `places` over all ports.
pub(super) async fn lead(
    port: Bound,
    to: SocketAddrV4,
    places: Arc<Semaphore>,
) -> std::io::Result<()> {
    port.set_nonblocking(true)?;
    let port = Rc::new(UdpSocket::from_std(port)?);
    let flows = Flows::default();
    let mut datagram = vec![0; LARGEST];
    let answers = Piece::new(RefCell::new(vec![0; LARGEST]));
    loop {
        let Ok((length, sender)) = port.recv_from(&mut datagram).await else {
            tokio::time::sleep(LATER).await;
            continue;
        };
        let known = flows.borrow().get(&sender).cloned();
        let flow = match known {
            Some(flow) => flow,
            None if flows.borrow().len() >= SENDERS => continue,
            None => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let Ok(flow) = begin(to, place).await else { continue };
                let flow = Rc::new(flow);
                flows.borrow_mut().insert(sender, flow.clone());
                tokio::task::spawn_local(answer(
                    port.clone(),
                    sender,
                    flow.clone(),
                    flows.clone(),
                    answers.clone(),
                ));
                flow
            }
        };
        flow.last.set(Instant::now());
        // One that is lost is lost, as datagrams are.
        let _lost = flow.socket.try_send(datagram.get(..length).unwrap_or_default());
    }
}

async fn begin(to: SocketAddrV4, place: OwnedSemaphorePermit) -> std::io::Result<Flow> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    // Datagrams of others do not come in there.
    socket.connect(to).await?;
    // Known to be writable from here on.
    socket.writable().await?;
    Ok(Flow { socket, last: Cell::new(Instant::now()), _place: place })
}

/// Carries the guest's answers to a sender until both have been silent for long.
async fn answer(
    port: Rc<UdpSocket>,
    sender: SocketAddr,
    flow: Rc<Flow>,
    flows: Flows,
    piece: Piece,
) {
    loop {
        let end = flow.last.get() + SILENCE;
        match tokio::time::timeout_at(end, flow.socket.readable()).await {
            Ok(Ok(())) => {
                let received = {
                    let mut datagram = piece.borrow_mut();
                    flow.socket.try_recv(&mut datagram).map(|length| {
                        flow.last.set(Instant::now());
                        let datagram = datagram.get(..length).unwrap_or_default();
                        let _lost = port.try_send_to(datagram, sender);
                    })
                };
                match received {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => {
                        tokio::time::sleep(LATER).await;
                    }
                    _ => {}
                }
            }
            Ok(Err(_)) => tokio::time::sleep(LATER).await,
            Err(_) if flow.last.get() + SILENCE > Instant::now() => {}
            Err(_) => break,
        }
    }
    flows.borrow_mut().remove(&sender);
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    fn bound() -> (Bound, SocketAddrV4) {
        let socket = Bound::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!() };
        (socket, address)
    }

    /// A guest that answers each sender how many datagrams have come of it.
    async fn guest() -> SocketAddrV4 {
        let (socket, address) = bound();
        socket.set_nonblocking(true).unwrap();
        let socket = UdpSocket::from_std(socket).unwrap();
        tokio::task::spawn_local(async move {
            let mut counts = HashMap::new();
            let mut datagram = [0; 16];
            loop {
                let (_, sender) = socket.recv_from(&mut datagram).await.unwrap();
                let count = counts.entry(sender).or_insert(0_u8);
                *count += 1;
                socket.send_to(&[*count], sender).await.unwrap();
            }
        });
        address
    }

    async fn ask(port: SocketAddrV4, client: &UdpSocket) -> Option<u8> {
        client.send_to(b"x", port).await.unwrap();
        let mut answer = [0];
        let answered =
            tokio::time::timeout(Duration::from_millis(500), client.recv(&mut answer)).await;
        answered.ok().map(|length| answer[length.unwrap() - 1])
    }

    #[tokio::test]
    async fn each_sender_is_one_to_the_guest_and_there_are_not_too_many() {
        let conversation = async {
            let (port, address) = bound();
            let places = Arc::new(Semaphore::new(SENDERS + 1));
            tokio::task::spawn_local(lead(port, guest().await, places.clone()));
            let mut clients = Vec::new();
            for _ in 0..SENDERS {
                let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                assert_eq!(ask(address, &client).await, Some(1));
                clients.push(client);
            }
            assert_eq!(ask(address, &clients[0]).await, Some(2));
            let late = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            assert_eq!(ask(address, &late).await, None);
            // Another port has what is left of the places of all.
            let (port, address) = bound();
            tokio::task::spawn_local(lead(port, guest().await, places));
            assert_eq!(ask(address, &late).await, Some(1));
            assert_eq!(ask(address, &clients[0]).await, None);
            assert_eq!(ask(address, &late).await, Some(2));
        };
        LocalSet::new().run_until(conversation).await;
    }
}
