//! The journal, in its own protocol: fields in one datagram.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Decision, Entry, Outcome, Sink};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What entries of this kind have in common, for whoever looks for them.
const MESSAGE_ID: &str = "5f0d3c0d0a6f4d0c9a3f8f2f6b1f7a51";
/// syslog's numbers.
const WARNING: &str = "4";
const INFO: &str = "6";

/// Most bytes of a line beside the journal: as many as a pipe that has room takes at once.
const LINE: usize = 4096;

/// The journal; where it does not listen, standard error. Neither is waited for.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    beside: Option<OwnedFd>,
    /// Entries that neither took since the last one.
    lost: AtomicU64,
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
        let beside = std::io::stderr().as_fd().try_clone_to_owned().ok();
        Self { path: path.to_owned(), socket, beside, lost: AtomicU64::new(0) }
    }

    /// Writes a line for people, if that can be done now.
    fn write_beside(&self, line: &str) -> bool {
        let Some(beside) = &self.beside else { return false };
        let line = line.as_bytes();
        let line = line.get(..LINE - 1).unwrap_or(line);
        // Whoever reads it may have stopped: the log of one must not hold up the others.
        let mut ready = [PollFd::new(beside, PollFlags::OUT)];
        let is_ready = poll(&mut ready, Some(&Timespec::default())).is_ok()
            && ready.iter().all(|beside| beside.revents() == PollFlags::OUT);
        is_ready && rustix::io::write(beside, &[line, b"\n"].concat()).is_ok()
    }
}

impl Sink for Journal {
    fn write(&self, entry: &Entry) {
        let lost = self.lost.load(Ordering::Relaxed);
        let datagram = datagram(entry, lost);
        let socket = self.socket.as_ref();
        let sent = socket.is_some_and(|socket| socket.send_to(&datagram, &self.path).is_ok());
        if sent || self.write_beside(&line(entry, lost)) {
            self.lost.store(0, Ordering::Relaxed);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The entry for whoever reads standard error: systemd, or who started the helper without it.
fn line(entry: &Entry, lost: u64) -> String {
    let fields = entry.fields().into_iter().map(|(name, value)| format!(" {name}={value}"));
    message(entry, lost) + &fields.collect::<String>()
}

/// The entry's message, and what is not to be found before it.
fn message(entry: &Entry, lost: u64) -> String {
    match lost {
        0 => entry.message(),
        lost => format!("{}; {lost} entries before it are lost", entry.message()),
    }
}

/// The entry in the journal's form.
fn datagram(entry: &Entry, lost: u64) -> Vec<u8> {
    let priority = match entry.decision {
        Decision::Allowed | Decision::Abandoned | Decision::Ended(Outcome::Applied) => INFO,
        Decision::Refused | Decision::Ended(_) => WARNING,
    };
    let mut datagram = Vec::new();
    let fixed = [
        ("MESSAGE", message(entry, lost)),
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
    fn where_nobody_reads_at_all_nobody_is_held_up_and_it_is_told_later() {
        use std::io::Read;

        let (mut reader, writer) = std::io::pipe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Journal::at(&folder.path().join("nowhere"));
        let journal = Journal { beside: Some(writer.into()), ..nowhere };
        let write = || journal.write(&Entry::new(Subject { uid: 1000, pid: None }, None));
        let begun = std::time::Instant::now();
        for _ in 0..5000 {
            write();
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        let lost = journal.lost.load(Ordering::Relaxed);
        assert!((1..5000).contains(&lost), "{lost}");
        let mut some = vec![0; 1 << 16];
        let read = reader.read(&mut some).unwrap();
        assert!(some[..read].starts_with(b"uid 1000 abandoned BANGER_UID=1000"));
        write();
        drop(journal);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let last = rest.lines().last().unwrap();
        assert!(last.contains(&format!("{lost} entries before it are lost")), "{last}");
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
