//! Connections to a published port, each led to the guest.

use std::net::{SocketAddrV4, TcpListener as Bound};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long the guest may take to accept a connection.
const ACCEPTS: Duration = Duration::from_secs(10);
/// After how long of silence it is asked whether the other end is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// Before the next attempt to accept, where there is no descriptor left.
const LATER: Duration = Duration::from_millis(50);

/// Leads every connection of the port to the guest's. While all places are taken the next one
/// waits for one, and those behind it in the kernel's queue.
pub(super) async fn lead(
    port: Bound,
    to: SocketAddrV4,
    places: Arc<Semaphore>,
) -> std::io::Result<()> {
    port.set_nonblocking(true)?;
    let port = TcpListener::from_std(port)?;
    loop {
        let Ok((client, _)) = port.accept().await else {
            tokio::time::sleep(LATER).await;
            continue;
        };
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        tokio::task::spawn_local(async move {
            // Whatever ends it ends both of its halves; the log is not for every broken connection.
            let _ended = carry(client, to).await;
            drop(place);
        });
    }
}

/// Carries bytes both ways until both ends have said that they say no more: an end that has said
/// so still hears the other.
async fn carry(mut client: TcpStream, to: SocketAddrV4) -> std::io::Result<()> {
    let mut guest = tokio::time::timeout(ACCEPTS, TcpStream::connect(to)).await??;
    for end in [&client, &guest] {
        end.set_nodelay(true)?;
        set_socket_keepalive(end, true)?;
        set_tcp_keepidle(end, SILENCE)?;
    }
    copy_bidirectional(&mut client, &mut guest).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    use super::*;

    fn bound() -> (Bound, SocketAddrV4) {
        let port = Bound::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = port.local_addr().unwrap() else { panic!() };
        (port, address)
    }

    /// A guest that says how many bytes came when its client has said all, and more after that.
    async fn guest() -> SocketAddrV4 {
        let (port, address) = bound();
        port.set_nonblocking(true).unwrap();
        let port = TcpListener::from_std(port).unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (mut peer, _) = port.accept().await.unwrap();
                tokio::task::spawn_local(async move {
                    let mut all = Vec::new();
                    peer.read_to_end(&mut all).await.unwrap();
                    peer.write_all(format!("{} bytes", all.len()).as_bytes()).await.unwrap();
                });
            }
        });
        address
    }

    async fn led(places: usize) -> SocketAddrV4 {
        let (port, address) = bound();
        let to = guest().await;
        tokio::task::spawn_local(lead(port, to, Arc::new(Semaphore::new(places))));
        address
    }

    #[tokio::test]
    async fn an_end_that_says_no_more_still_hears_the_other() {
        let conversation = async {
            let mut client = TcpStream::connect(led(4).await).await.unwrap();
            client.write_all(&vec![7; 3 << 20]).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, format!("{} bytes", 3 << 20));
        };
        LocalSet::new().run_until(conversation).await;
    }

    #[tokio::test]
    async fn those_for_whom_there_is_no_place_wait_for_one() {
        let conversation = async {
            let port = led(2).await;
            let mut clients = Vec::new();
            for _ in 0..5 {
                let mut client = TcpStream::connect(port).await.unwrap();
                client.write_all(b"abc").await.unwrap();
                clients.push(client);
            }
            // The last of those that came has none before two others have gone.
            let mut last = clients.pop().unwrap();
            last.shutdown().await.unwrap();
            let mut answer = String::new();
            let waits =
                tokio::time::timeout(Duration::from_millis(300), last.read_to_string(&mut answer));
            assert!(waits.await.is_err(), "{answer}");
            drop(clients);
            last.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "3 bytes");
        };
        LocalSet::new().run_until(conversation).await;
    }

    #[tokio::test]
    async fn a_guest_that_does_not_listen_ends_the_connection() {
        let (closed, nowhere) = bound();
        drop(closed);
        let conversation = async {
            let (port, address) = bound();
            tokio::task::spawn_local(lead(port, nowhere, Arc::new(Semaphore::new(1))));
            for _ in 0..2 {
                let mut client = TcpStream::connect(address).await.unwrap();
                let mut answer = Vec::new();
                let _reset_or_closed = client.read_to_end(&mut answer).await;
                assert!(answer.is_empty());
            }
        };
        LocalSet::new().run_until(conversation).await;
    }
}
