//! The host's ports that guests are published at: who has which, and whether one is free.

use std::io::{self, ErrorKind};
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use banger_proto::{Code, PortForward, Protocol, Refusal, VmName};

/// Which VM has which ports, over all VMs that run or are being started.
#[derive(Debug, Default)]
pub struct PortBook {
    claims: Mutex<Vec<(u64, VmName, PortForward)>>,
    /// Tells claims apart.
    next: std::sync::atomic::AtomicU64,
}

/// The ports of one VM, until it is dropped.
#[derive(Debug)]
pub struct PortClaim {
    book: Arc<PortBook>,
    number: u64,
}

impl PortBook {
    /// Claims ports for a VM; those that are yet to be chosen are left out.
    ///
    /// # Errors
    /// [`Code::FailedPrecondition`] when another VM of ours has one of them.
    pub fn claim(
        self: &Arc<Self>,
        name: &VmName,
        ports: &[PortForward],
    ) -> Result<PortClaim, Refusal> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports {
            if let Some((_, other, _)) = claims.iter().find(|claim| claim.2.overlaps(port)) {
                return Err(Refusal::new(
                    Code::FailedPrecondition,
                    format!("{} of this host is taken by the VM {other}", shown(port)),
                )
                .hint(format!(
                    "stop that VM, or make one with another port: banger stop {other}"
                )));
            }
        }
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let bound = ports.iter().filter(|port| port.host.is_some());
        claims.extend(bound.map(|port| (number, name.clone(), *port)));
        drop(claims);
        Ok(PortClaim { book: self.clone(), number })
    }
}

impl Drop for PortClaim {
    fn drop(&mut self) {
        let mut claims = self.book.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|claim| claim.0 != self.number);
    }
}

fn shown(port: &PortForward) -> String {
    format!("the {} port {}", port.protocol.as_str(), port.bound())
}

/// A socket that keeps a port, for as long as nobody else is to have it.
#[derive(Debug)]
pub(super) enum Kept {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Kept {
    /// Binds the port, or a free one of the address.
    pub(super) fn bind(forward: &PortForward) -> io::Result<Self> {
        let address = SocketAddrV4::new(forward.address, forward.host.unwrap_or(0));
        match forward.protocol {
            Protocol::Tcp => TcpListener::bind(address).map(Self::Tcp),
            Protocol::Udp => UdpSocket::bind(address).map(Self::Udp),
        }
    }

    /// The port that is bound.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }?
        .port())
    }
}

impl From<Kept> for OwnedFd {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Tcp(socket) => socket.into(),
            Kept::Udp(socket) => socket.into(),
        }
    }
}

/// The first port that an ordinary user may bind.
fn first_unprivileged() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

/// Refuses ports that an ordinary user may not bind, whoever has them.
///
/// # Errors
/// [`Code::FailedPrecondition`].
pub fn refuse_privileged(ports: &[PortForward]) -> Result<(), Refusal> {
    refuse_below(first_unprivileged(), ports)
}

fn refuse_below(first: u16, ports: &[PortForward]) -> Result<(), Refusal> {
    let privileged = ports.iter().filter(|port| port.host.is_some_and(|host| host < first));
    match privileged.min() {
        None => Ok(()),
        Some(port) => Err(Refusal::new(
            Code::FailedPrecondition,
            format!("{} of this host is not for ordinary users", shown(port)),
        )
        .hint(format!(
            "use a port from {first} on, or: sudo sysctl net.ipv4.ip_unprivileged_port_start={}",
            port.host.unwrap_or(first)
        ))),
    }
}

/// Refuses ports that cannot be bound now.
///
/// # Errors
/// [`Code::FailedPrecondition`].
pub fn refuse_taken(ports: &[PortForward]) -> Result<(), Refusal> {
    for port in ports.iter().filter(|port| port.host.is_some()) {
        Kept::bind(port).map_err(|error| taken(port, &error))?;
    }
    Ok(())
}

/// Why a port cannot be had.
pub(crate) fn taken(port: &PortForward, error: &io::Error) -> Refusal {
    let refusal = |message: String| Refusal::new(Code::FailedPrecondition, message);
    match error.kind() {
        ErrorKind::AddrInUse => {
            let letter = match port.protocol {
                Protocol::Tcp => 't',
                Protocol::Udp => 'u',
            };
            let number = port.host.unwrap_or(0);
            refusal(format!("{} of this host is in use by another program", shown(port))).hint(
                format!("see which: ss -ln{letter}p 'sport = :{number}'; or publish another port"),
            )
        }
        ErrorKind::AddrNotAvailable => {
            refusal(format!("this host has no address {}", port.address))
                .hint("see which it has: ip -brief address")
        }
        _ => Refusal {
            chain: vec![error.to_string()],
            ..refusal(format!("{} of this host cannot be had", shown(port)))
        },
    }
}

/// A port for the guest's sshd, and all that are published with their ports of the host.
/// Each is free now; somebody may take one before it is used.
pub(super) fn choose(publish: &[PortForward]) -> io::Result<(PortForward, Vec<PortForward>)> {
    let fixed = |port: u16| publish.iter().any(|forward| forward.host == Some(port));
    // Kept until all are chosen, so that none is chosen twice.
    let mut kept = Vec::new();
    let mut free = |forward: &PortForward| loop {
        let socket = Kept::bind(&PortForward { host: None, ..*forward })?;
        let port = socket.port()?;
        kept.push(socket);
        if !fixed(port) {
            return io::Result::Ok(PortForward { host: Some(port), ..*forward });
        }
    };
    let ssh = free(&PortForward { host: None, ..PortForward::loopback(0, 22) })?;
    let mut chosen = Vec::new();
    for forward in publish {
        chosen.push(if forward.host.is_some() { *forward } else { free(forward)? });
    }
    Ok((ssh, chosen))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn forward(text: &str) -> PortForward {
        text.parse().unwrap()
    }

    #[test]
    fn a_port_is_one_vms_and_free_when_it_is_let_go() {
        let book = Arc::new(PortBook::default());
        let [web, db]: [VmName; 2] = ["web", "db"].map(|name| name.parse().unwrap());
        let held = book.claim(&web, &[forward("8080:80"), forward("80")]).unwrap();
        let refused = book.claim(&db, &[forward("9090:1"), forward("0.0.0.0:8080:80")]);
        let refused = refused.unwrap_err();
        assert!(refused.message.contains("0.0.0.0:8080 of this host is taken by the VM web"));
        // Nothing of a refused claim is left.
        drop(book.claim(&web, &[forward("9090:1")]).unwrap());
        drop(held);
        book.claim(&db, &[forward("8080:80")]).unwrap();
    }

    #[test]
    fn what_cannot_be_bound_is_refused_with_its_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = refuse_taken(&[forward("80"), PortForward::loopback(port, 80)]).unwrap_err();
        assert!(refused.message.contains(&format!("127.0.0.1:{port}")), "{refused:?}");
        assert!(refused.message.ends_with("in use by another program"), "{refused:?}");
        let elsewhere = PortForward { address: Ipv4Addr::new(192, 0, 2, 1), ..forward("8080:80") };
        let refused = refuse_taken(&[elsewhere]).unwrap_err();
        assert!(refused.message.contains("no address 192.0.2.1"), "{refused:?}");
        drop(listener);
        refuse_taken(&[PortForward::loopback(port, 80)]).unwrap();
    }

    #[test]
    fn ports_of_root_are_told_from_others() {
        let ports = [forward("8080:80"), forward("443:443"), forward("80:80")];
        assert!(refuse_below(80, &ports).is_ok());
        let refused = refuse_below(1024, &ports).unwrap_err();
        assert!(refused.hint.contains("from 1024 on") && refused.hint.ends_with("=80"));
        assert!(refuse_below(1024, &[forward("80")]).is_ok(), "a chosen one is never one");
    }

    #[test]
    fn chosen_ports_are_free_and_different() {
        let publish = [forward("80"), forward("81"), forward("53/udp"), forward("18080:80")];
        let (ssh, chosen) = choose(&publish).unwrap();
        let mut tcp: Vec<_> = chosen.iter().chain([&ssh]).filter_map(|port| port.host).collect();
        assert_eq!((ssh.guest, tcp.len(), chosen[3]), (22, 5, forward("18080:80")));
        // A port of each protocol may have one number.
        tcp.remove(2);
        tcp.sort_unstable();
        tcp.dedup();
        assert_eq!(tcp.len(), 4);
        refuse_taken(&chosen[..3]).unwrap();
    }
}
