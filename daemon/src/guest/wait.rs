//! Waits until a guest's sshd answers, and tells apart the ways in which it does not.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::diagnose::{self, Diagnosis, Vmm, diagnose};
use super::ready;
use crate::spawn::{Process, ProcessId};
use crate::vmm::{Files, console};

/// The shortest and the longest time between one attempt and the next. The longest, with
/// [`ATTEMPT`], keeps half of the places free that sshd has for clients who have not logged in.
const BETWEEN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How long an attempt is kept open. The network's program accepts a connection long
/// before the guest does, and a passt of 2023 keeps a processor busy over one that its
/// client has closed until it gives the guest up itself, after 10 s: so it goes first.
const ATTEMPT: Duration = Duration::from_secs(11);
/// Lines of the console in which the guest's word is looked for.
const RECENT: usize = 1000;
/// How often the console is looked at while the guest boots.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a guest that has given up must have done so.
const SURE: Duration = Duration::from_secs(2);
/// Lines of the console that an error shows.
const TAIL: usize = 20;

/// Why a guest does not answer.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It panicked, or its VMM ended, or it did not answer within the deadline and may
    /// still be booting.
    #[error("{}", diagnosis.message(&format!("{} s", deadline.as_secs())))]
    NoAnswer {
        /// What became of it.
        diagnosis: Diagnosis,
        /// How long it had.
        deadline: Duration,
        /// The end of its console.
        console: String,
    },
    /// The VMM cannot be watched.
    #[error("the VMM cannot be watched")]
    Unwatched(#[from] io::Error),
}

/// Returns once the guest's sshd, which is reached there, has said who it is. What
/// is given back is what its owner should know of its network all the same.
///
/// A connection alone says nothing: whoever carries the network accepts it before
/// the guest does. So the greeting is read.
///
/// # Errors
/// [`WaitError`]. The VMM is left as it is.
pub async fn for_ssh(
    sshd: SocketAddrV4,
    vmm: &ProcessId,
    files: &Files,
    deadline: Duration,
) -> Result<Option<String>, WaitError> {
    until(greeting(sshd), vmm, files, deadline).await?;
    Ok(diagnose::flaw(&console::text(files)))
}

/// Returns once a guest without a network has said on its console that it has booted.
///
/// # Errors
/// [`WaitError`]. The VMM is left as it is.
pub async fn for_boot(
    vmm: &ProcessId,
    files: &Files,
    deadline: Duration,
) -> Result<Option<String>, WaitError> {
    until(said_ready(files), vmm, files, deadline).await.map_err(|error| match error {
        // It has no network, and no sshd is waited for.
        WaitError::NoAnswer { diagnosis, deadline, console } if !diagnosis.is_final() => {
            WaitError::NoAnswer { diagnosis: Diagnosis::NotReady, deadline, console }
        }
        error => error,
    })?;
    Ok(None)
}

/// The log is begun anew by every start.
async fn said_ready(files: &Files) {
    while !console::tail(files, RECENT).lines().any(|line| line.contains(ready::WORDS)) {
        tokio::time::sleep(BETWEEN[0] * 2).await;
    }
}

/// Waits for an answer as long as the VMM runs, the guest has not given up, and the time is
/// not over.
async fn until(
    answered: impl Future<Output = ()>,
    vmm: &ProcessId,
    files: &Files,
    deadline: Duration,
) -> Result<(), WaitError> {
    let no_answer = |diagnosis| {
        let console = match diagnosis {
            // Its reason stands before a long list of addresses.
            Diagnosis::Panicked(_) | Diagnosis::NoInit(_) => {
                diagnose::panic(&console::text(files), TAIL)
            }
            _ => console::tail(files, TAIL),
        };
        WaitError::NoAnswer { diagnosis, deadline, console }
    };
    let ended = || {
        let words = console::tail_of(&files.vmm_log(), 4);
        no_answer(diagnose(&console::text(files), Vmm::Ended(&words)))
    };
    let Some(vmm) = Process::find(vmm)? else {
        return Err(ended());
    };
    tokio::select! {
        () = answered => Ok(()),
        outcome = vmm.ended() => {
            outcome?;
            Err(ended())
        }
        diagnosis = hopeless(files) => Err(no_answer(diagnosis)),
        () = tokio::time::sleep(deadline) => {
            Err(no_answer(diagnose(&console::text(files), Vmm::Runs)))
        }
    }
}

/// Returns when the console says that the guest has given up. A kernel that panics is told
/// to end its VMM at once, but not every kernel listens.
async fn hopeless(files: &Files) -> Diagnosis {
    let mut since: Option<(Diagnosis, Instant)> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = diagnose(&console::text(files), Vmm::Runs);
        since = match since {
            _ if !now.is_final() => None,
            Some((before, since)) if before == now => {
                if since.elapsed() >= SURE {
                    return now;
                }
                Some((before, since))
            }
            _ => Some((now, Instant::now())),
        };
    }
}

/// Tries again and again.
///
/// The longer it takes, the rarer the attempts: a guest that boots slowly answers slowly
/// too, and sshd turns clients away once ten have not logged in yet.
pub(crate) async fn greeting(sshd: SocketAddrV4) {
    if sshd.ip().is_loopback() { greeting_behind(sshd).await } else { greeting_of(sshd).await }
}

/// How long after one attempt the next may come.
fn pause(start: Instant) -> Duration {
    (start.elapsed() / 20).clamp(BETWEEN[0], BETWEEN[1])
}

/// Of a guest that is reached by its own address: one attempt at a time. One that its kernel
/// does not take up is given up for the next; many that hang until there is a network would
/// all be clients of sshd's a moment later.
async fn greeting_of(sshd: SocketAddrV4) {
    let start = Instant::now();
    loop {
        let (begun, pause) = (Instant::now(), pause(start));
        if let Ok(Ok(stream)) = tokio::time::timeout(pause, TcpStream::connect(sshd)).await
            && matches!(tokio::time::timeout(ATTEMPT, greets(stream)).await, Ok(Ok(true)))
        {
            return;
        }
        tokio::time::sleep_until(begun + pause).await;
    }
}

/// Of a guest behind a program that carries its network: several attempts at once. One that
/// the guest was not ready for may hang, and must not hold up the next. Those from before the
/// guest had a network do not count for sshd: its kernel refuses them when it has one.
async fn greeting_behind(sshd: SocketAddrV4) {
    let start = Instant::now();
    let mut attempts = JoinSet::new();
    let mut next = start;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                attempts.spawn(tokio::time::timeout(ATTEMPT, greeted(sshd)));
                next = Instant::now() + pause(start);
            }
            Some(outcome) = attempts.join_next() => {
                if matches!(outcome, Ok(Ok(Ok(true)))) {
                    return;
                }
            }
        }
    }
}

/// True when an ssh server greets.
async fn greeted(sshd: SocketAddrV4) -> io::Result<bool> {
    greets(TcpStream::connect(sshd).await?).await
}

/// True when an ssh server greets on this connection. It may say other lines before.
///
/// We greet first, as clients may: a passt of 2023 carries a connection to its end
/// only once the client has said something.
async fn greets(mut stream: TcpStream) -> io::Result<bool> {
    const LONGEST: usize = 8 << 10;
    stream.write_all(b"SSH-2.0-banger_waits\r\n").await?;
    let mut said = Vec::new();
    while said.len() < LONGEST {
        if stream.read_buf(&mut said).await? == 0 {
            return Ok(false);
        }
        // The last piece has no line end yet.
        let mut lines = said.split_inclusive(|b| *b == b'\n');
        if lines.any(|line| line.starts_with(b"SSH-2.0-") && line.ends_with(b"\n")) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(700);

    /// Listens and answers the n-th connection with the n-th text, the last for all later.
    async fn server(texts: &'static [&'static str]) -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(sshd) = listener.local_addr().unwrap() else { panic!() };
        tokio::spawn(async move {
            let mut kept = Vec::new();
            for index in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let text = texts[texts.len().min(index + 1) - 1];
                // As behind passt: nothing is said before the client has spoken.
                let mut first = [0];
                stream.read_exact(&mut first).await.unwrap();
                stream.write_all(text.as_bytes()).await.unwrap();
                if text.is_empty() {
                    kept.push(stream);
                }
            }
        });
        sshd
    }

    async fn wait(
        sshd: SocketAddrV4,
        vmm: &ProcessId,
        files: &Files,
    ) -> Result<Option<String>, WaitError> {
        for_ssh(sshd, vmm, files, SOON).await
    }

    fn diagnosis(outcome: Result<Option<String>, WaitError>) -> (Diagnosis, String) {
        match outcome {
            Err(WaitError::NoAnswer { diagnosis, console, .. }) => (diagnosis, console),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_greeting_is_waited_for_beyond_connections_that_hang_or_close() {
        let me = Process::hold(std::process::id()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let texts = &["", "HTTP/1.1 400\r\n", "SSH-2", "hello\nSSH-2.0-OpenSSH_9\r\n"];
        assert_eq!(wait(server(texts).await, me.id(), &files).await.unwrap(), None);
        std::fs::write(files.console(), "banger-network: no way out: eth0 has 1\n").unwrap();
        let flaw = wait(server(texts).await, me.id(), &files).await.unwrap();
        assert_eq!(flaw.as_deref(), Some("eth0 has 1"));
    }

    #[tokio::test]
    async fn a_guest_with_an_address_of_its_own_has_one_client_that_waits() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(sshd) = listener.local_addr().unwrap() else { panic!() };
        // Refused at first, then slow to greet.
        drop(listener);
        let server = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let listener = TcpListener::bind(sshd).await.unwrap();
            let (closed, _) = listener.accept().await.unwrap();
            drop(closed);
            let (mut stream, _) = listener.accept().await.unwrap();
            let another = tokio::time::timeout(Duration::from_millis(500), listener.accept()).await;
            assert!(another.is_err(), "a second client beside the one that waits");
            stream.write_all(b"SSH-2.0-slow\r\n").await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = greeting_of(sshd) => {}
            () = server => {}
        }
    }

    #[tokio::test]
    async fn a_silent_guest_is_given_up_with_the_end_of_its_console() {
        let me = Process::hold(std::process::id()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        std::fs::write(files.console(), "[    0.1] virtio: hm\n").unwrap();
        let outcome = wait(server(&[""]).await, me.id(), &files).await;
        let (diagnosis, console) = diagnosis(outcome);
        assert_eq!(diagnosis, Diagnosis::InKernel);
        assert_eq!(console, "[    0.1] virtio: hm");
    }

    #[tokio::test]
    async fn a_panic_is_noticed_also_when_the_vmm_lives_on() {
        let me = Process::hold(std::process::id()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        std::fs::write(files.console(), "Kernel panic - not syncing: told to\n").unwrap();
        let begun = Instant::now();
        let long = Duration::from_secs(60);
        let outcome = for_ssh(server(&[""]).await, me.id(), &files, long).await;
        assert_eq!(diagnosis(outcome).0, Diagnosis::Panicked("told to".into()));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_guest_without_a_network_says_that_it_has_booted() {
        let me = Process::hold(std::process::id()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let outcome = for_boot(me.id(), &files, SOON).await;
        assert_eq!(diagnosis(outcome).0, Diagnosis::NotReady);
        let said = format!("[ 1.0] usb: {}\r\nlogin: ", ready::WORDS);
        std::fs::write(files.console(), said).unwrap();
        for_boot(me.id(), &files, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_and_another_end_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let mut child = std::process::Command::new("/bin/sleep").arg("0.1").spawn().unwrap();
        let vmm = Process::hold(child.id()).unwrap().id().clone();
        std::fs::write(files.vmm_log(), "qemu: no space\n").unwrap();
        let port = server(&[""]).await;
        let outcome = wait(port, &vmm, &files).await;
        assert_eq!(diagnosis(outcome).0, Diagnosis::VmmDied("qemu: no space".into()));
        std::fs::write(files.console(), "Kernel panic - not syncing\n").unwrap();
        let outcome = wait(port, &vmm, &files).await;
        assert_eq!(diagnosis(outcome).0, Diagnosis::Panicked(String::new()));
        child.wait().unwrap();
    }
}
