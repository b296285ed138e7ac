//! The journal, in its own protocol: fields in one datagram.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::{Decision, Entry, Outcome, Sink};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What entries of this kind have in common, for whoever looks for them.
const MESSAGE_ID: &str = "5f0d3c0d0a6f4d0c9a3f8f2f6b1f7a51";
/// syslog's numbers.
const WARNING: &str = "4";
const INFO: &str = "6";

/// The journal; where it does not listen, standard error.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::at(Path::new(SOCKET))
    }
}

impl Journal {
    /// The journal behind this socket.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        // Not blocking: the log of one must not hold up the others.
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .ok();
        Self { path: path.to_owned(), socket }
    }
}

impl Sink for Journal {
    fn write(&self, entry: &Entry) {
        let sent = self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.send_to(&datagram(entry), &self.path).is_ok());
        if !sent {
            // systemd takes it from here; without systemd whoever started the helper does.
            let fields = entry.fields().into_iter().map(|(name, value)| format!(" {name}={value}"));
            let line = format!("{}{}\n", entry.message(), fields.collect::<String>());
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    }
}

/// The entry in the journal's form.
fn datagram(entry: &Entry) -> Vec<u8> {
    let priority = match entry.decision {
        Decision::Allowed | Decision::Abandoned | Decision::Ended(Outcome::Applied) => INFO,
        Decision::Refused | Decision::Ended(_) => WARNING,
    };
    let mut datagram = Vec::new();
    let fixed = [
        ("MESSAGE", entry.message()),
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("PRIORITY", priority.to_owned()),
        ("SYSLOG_IDENTIFIER", "banger-roothelper".to_owned()),
    ];
    for (name, value) in fixed.into_iter().chain(entry.fields()) {
        field(&mut datagram, name, &value);
    }
    datagram
}

/// A value with a line break in it would be two fields: such a one goes with its length.
fn field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Subject;

    #[test]
    fn a_line_break_makes_no_field() {
        let mut datagram = Vec::new();
        field(&mut datagram, "A", "x\nBANGER_UID=0");
        field(&mut datagram, "B", "y");
        assert_eq!(datagram, b"A\n\x0e\0\0\0\0\0\0\0x\nBANGER_UID=0\nB=y\n");
    }

    #[test]
    fn the_journal_gets_one_datagram_an_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        journal.set_nonblocking(true).unwrap();
        let mut entry = Entry::new(Subject { uid: 1000, pid: Some(7) }, None);
        entry.decision = Decision::Refused;
        entry.reason = "why".to_owned();
        Journal::at(&path).write(&entry);
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "MESSAGE=uid 1000 (pid 7) refused: why",
                &format!("MESSAGE_ID={MESSAGE_ID}"),
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=banger-roothelper",
                "BANGER_UID=1000",
                "BANGER_DECISION=refused",
                "BANGER_DURATION_USEC=0",
                "BANGER_PID=7",
                "BANGER_REASON=why",
            ]
        );
        assert!(journal.recv(&mut buffer).is_err(), "one entry, one datagram");
    }

    #[test]
    fn a_journal_that_does_not_read_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _journal = UnixDatagram::bind(&path).unwrap();
        let sink = Journal::at(&path);
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            sink.write(&Entry::new(Subject { uid: 1000, pid: None }, None));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        // Nor does one that is not there.
        Journal::at(&folder.path().join("nowhere"))
            .write(&Entry::new(Subject { uid: 1000, pid: None }, None));
    }
}
