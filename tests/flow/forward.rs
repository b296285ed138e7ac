//! The program that leads published ports to a guest, which is a listener here.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_tests::owner::Owner;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

/// A forwarder, and who stands for its VMM.
struct Forwarder {
    program: Child,
    vmm: Child,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        for child in [&mut self.program, &mut self.vmm] {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Starts one with what it is handed, and gives what it says.
fn start(owner: &Owner, order: &Value, sockets: Vec<OwnedFd>) -> (Forwarder, String) {
    let vmm = Command::new("sleep").arg("300").spawn().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut program = owner
        .command(owner.home().join("bin/bangerd"))
        .args(["forward-ports", "/nowhere"])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pidfd = pidfd_open(Pid::from_child(&vmm), PidfdFlags::empty()).unwrap();
    let all: Vec<_> = std::iter::once(pidfd).chain(sockets).collect();
    let borrowed: Vec<_> = all.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    let text = order.to_string();
    sendmsg(&ours, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty()).unwrap();
    let mut said = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut said).unwrap();
    (Forwarder { program, vmm }, said)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn ports_are_led_for_as_long_as_the_vmm_lives_by_who_can_do_nothing_else() {
    let Some(owner) = Owner::new() else { return };
    let (guest, inside) = listener();
    let (published, outside) = listener();
    let (guest_udp, published_udp) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let outside_udp = published_udp.local_addr().unwrap();
    let order = json!({ "to": "127.0.0.1", "ports": [
        { "udp": false, "guest": inside },
        { "udp": true, "guest": guest_udp.local_addr().unwrap().port() },
    ]});
    let sockets = vec![published.into(), published_udp.into()];
    let (mut forwarder, said) = start(&owner, &order, sockets);
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let walls = report["walls"].to_string();
    assert!(walls.contains("no_new_privs") && walls.contains("limits"), "{report}");
    let status = format!("/proc/{}/status", forwarder.program.id());
    assert!(std::fs::read_to_string(status).unwrap().contains("NoNewPrivs:\t1"));

    // Both ways, and each end by itself to its end.
    let mut client = TcpStream::connect(("127.0.0.1", outside)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (mut served, _) = guest.accept().unwrap();
    let mut heard = String::new();
    served.read_to_string(&mut heard).unwrap();
    served.write_all(b"answer").unwrap();
    drop(served);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((heard.as_str(), answer.as_str()), ("question", "answer"));

    let asks = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&asks, &guest_udp] {
        socket.set_read_timeout(Some(SOON)).unwrap();
    }
    asks.send_to(b"ping", outside_udp).unwrap();
    let mut datagram = [0; 16];
    let (length, sender) = guest_udp.recv_from(&mut datagram).unwrap();
    guest_udp.send_to(b"pong", sender).unwrap();
    assert_eq!(&datagram[..length], b"ping");
    let (length, from) = asks.recv_from(&mut datagram).unwrap();
    assert_eq!((&datagram[..length], from), (&b"pong"[..], outside_udp));

    // Whoever is connected then is not any more, and the ports are free.
    let mut late = TcpStream::connect(("127.0.0.1", outside)).unwrap();
    let _led = guest.accept().unwrap();
    forwarder.vmm.kill().unwrap();
    forwarder.vmm.wait().unwrap();
    let begun = Instant::now();
    while forwarder.program.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < SOON, "it outlives its VMM");
        std::thread::sleep(Duration::from_millis(10));
    }
    late.set_read_timeout(Some(SOON)).unwrap();
    assert!(matches!(late.read(&mut datagram), Ok(0) | Err(_)));
    TcpListener::bind(("127.0.0.1", outside)).unwrap();
}

#[test]
fn an_order_that_does_not_fit_its_sockets_is_refused() {
    let Some(owner) = Owner::new() else { return };
    let order = json!({ "to": "127.0.0.1", "ports": [{ "udp": false, "guest": 1 }] });
    let (mut forwarder, said) = start(&owner, &order, Vec::new());
    assert_eq!(said, "");
    assert!(!forwarder.program.wait().unwrap().success());
}
