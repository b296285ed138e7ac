//! What systemd passes to a service, and what it wants to be told.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What the environment says, before it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Passed {
    /// Listening sockets, from descriptor 3 on.
    pub(crate) sockets: usize,
    /// Where to tell of the service's state.
    pub(crate) notify: Option<OsString>,
    /// How often it must be told that all is well, at least.
    pub(crate) watchdog: Option<Duration>,
}

impl Passed {
    /// What is said to the process of this number; what is said to another is not for us.
    pub(crate) fn read(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let ours = |name| number(name) == Some(pid.into());
        let sockets = number("LISTEN_FDS").filter(|_| ours("LISTEN_PID")).unwrap_or(0);
        let watched = number("WATCHDOG_PID").is_none() || ours("WATCHDOG_PID");
        Self {
            sockets: usize::try_from(sockets).unwrap_or(usize::MAX),
            notify: variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
            watchdog: number("WATCHDOG_USEC")
                .filter(|&interval| watched && interval > 0)
                .map(Duration::from_micros),
        }
    }
}

/// The way to systemd.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// The way to this socket: a path, or with `@` a name that is none.
    ///
    /// # Errors
    /// When there is no such way.
    pub(crate) fn to(socket: Option<OsString>) -> io::Result<Self> {
        let Some(name) = socket else { return Ok(Self { socket: None }) };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // Its reader must not hold up who asks.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some((socket, address)) })
    }

    /// Tells a state: `READY=1`.
    pub(crate) fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            // There is nobody else to tell of a failure; the watchdog ends what stays silent.
            let _untold = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Passed {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Passed::read(7, |name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn what_is_said_to_another_process_is_not_for_us() {
        assert_eq!(read(&[]), Passed::default());
        assert_eq!(read(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "1")]).sockets, 1);
        for (pid, sockets) in [("8", "1"), ("", "1"), ("7", "-1"), ("7", "x"), ("7", "")] {
            let passed = read(&[("LISTEN_PID", pid), ("LISTEN_FDS", sockets)]);
            assert_eq!(passed.sockets, 0, "{pid} {sockets}");
        }
        let watchdog = read(&[("WATCHDOG_USEC", "60000000")]).watchdog;
        assert_eq!(watchdog, Some(Duration::from_secs(60)));
        for (pid, interval) in [("8", "1"), ("7", "0"), ("7", "x")] {
            let passed = read(&[("WATCHDOG_PID", pid), ("WATCHDOG_USEC", interval)]);
            assert_eq!(passed.watchdog, None, "{pid} {interval}");
        }
    }

    #[test]
    fn states_reach_a_path_and_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("banger-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        let ways = [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())];
        for (reader, socket) in ways {
            Notify::to(Some(socket)).unwrap().tell("READY=1");
            let mut buffer = [0; 64];
            let length = reader.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
        // Nobody there is nobody's failure.
        Notify::to(Some("/nowhere".into())).unwrap().tell("READY=1");
        Notify::to(None).unwrap().tell("READY=1");
    }
}
