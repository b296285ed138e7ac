//! The forwarder: this very program once more, with sockets that are bound already, and without a
//! way to anything but the guest's ports.

use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::{Lead, Order, Report, tcp, udp};
use crate::confine::{Needs, confine};
use crate::spawn::handed;

/// Connections at once, over all ports.
const CONNECTIONS: usize = 512;
/// Senders of datagrams at once, over all ports.
const SENDERS: usize = 2048;
/// Descriptors: two a connection, one a sender, one a port, and some.
const DESCRIPTORS: u64 = 4096;

/// Leads the ports that are handed over on standard input, until their VMM has ended.
///
/// # Errors
/// When there is nothing to lead, or the kernel refuses.
pub(crate) fn run() -> io::Result<()> {
    let (order, mut descriptors): (Order, _) = handed::receive(io::stdin())?;
    if descriptors.len() != order.ports.len() + 1 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let vmm = descriptors.remove(0);
    let connects: Vec<u16> =
        order.ports.iter().filter(|lead| !lead.udp).map(|lead| lead.guest).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let needs = Needs {
        largest_file: Some(0),
        descriptors: DESCRIPTORS,
        folder: None,
        connects: &connects,
    };
    let (walls, missing) = confine(&needs);
    tell(&Report { walls, missing })?;
    LocalSet::new().block_on(&runtime, async {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let senders = Arc::new(Semaphore::new(SENDERS));
        for (Lead { udp, guest }, socket) in order.ports.into_iter().zip(descriptors) {
            let to = SocketAddrV4::new(order.to, guest);
            if udp {
                tokio::task::spawn_local(udp::lead(socket.into(), to, senders.clone()));
            } else {
                tokio::task::spawn_local(tcp::lead(socket.into(), to, places.clone()));
            }
        }
        ended(vmm).await
    })
}

/// A line, and nothing after it.
fn tell(report: &Report) -> io::Result<()> {
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, report)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Returns once the VMM has ended.
async fn ended(vmm: OwnedFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "sound for an OwnedFd, which names one descriptor all its life; what replaces it needs unsafe code"
    )]
    let vmm = AsyncFd::with_interest(vmm, Interest::READABLE)?;
    vmm.readable().await.map(drop)
}
