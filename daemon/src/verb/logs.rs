//! `vm logs`: what the guest wrote on its console.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use banger_proto::{Code, Refusal, VmState};
use futures_util::Stream;
use rustix::fs::{Mode, OFlags, open};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::blocking;
use super::log_watch::LogWatch;
use crate::vm::Handle;

/// Bytes that are sent at once.
const CHUNK: u64 = 64 << 10;
/// Largest part of the log's end that is searched for lines.
const TAIL: u64 = 4 << 20;

/// A part of what the guest wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The bytes, as they are.
    pub data: Vec<u8>,
    /// Whether they were there when the reading began.
    pub old: bool,
}

/// The console's raw bytes, all of them or the last `tail` lines; with `follow` also
/// what comes, until the VM ends. What is there when this returns is old, all else is not.
///
/// # Errors
/// [`Code::Internal`] when the log cannot be read.
pub async fn read_logs(
    vm: &Handle,
    follow: bool,
    tail: Option<u32>,
) -> Result<impl Stream<Item = Result<Piece, Refusal>> + Send + use<>, Refusal> {
    let path = vm.files().run().console();
    let position =
        blocking(move || Position::begin(&path, tail).map_err(|error| unread(&error))).await?;
    let (sender, receiver) = mpsc::channel(4);
    let vm = vm.clone();
    tokio::spawn(async move {
        if let Err(refusal) = send(&vm, follow, position, &sender).await {
            // Whoever has gone away does not need to know.
            let _nobody_listens = sender.send(Err(refusal)).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

fn unread(error: &io::Error) -> Refusal {
    Refusal::from_error(Code::Internal, error).hint("see whether the VM still exists")
}

/// Where the reading of a log is.
#[derive(Debug)]
struct Position {
    path: PathBuf,
    /// The file that was read, and how far.
    at: Option<(u64, u64)>,
    /// The file that was there at first, and its length then.
    old: Option<(u64, u64)>,
}

async fn send(
    vm: &Handle,
    follow: bool,
    mut position: Position,
    sender: &mpsc::Sender<Result<Piece, Refusal>>,
) -> Result<(), Refusal> {
    let watch = vm.watch();
    let path = position.path.clone();
    let log_watch = LogWatch::new();
    loop {
        log_watch.watch(&path);
        // Asked before reading: what was written before the end is read after it.
        let over = watch.has_changed().is_err()
            || !matches!(
                watch.borrow().phase.state(),
                VmState::Starting | VmState::Running | VmState::Stopping
            );
        let piece;
        (position, piece) = blocking(move || {
            let piece = position.read().map_err(|error| unread(&error))?;
            Ok((position, piece))
        })
        .await?;
        if !piece.data.is_empty() {
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        } else if !follow || over {
            return Ok(());
        } else {
            tokio::select! {
                () = log_watch.wait() => {}
                () = sender.closed() => return Ok(()),
            }
        }
    }
}

/// Opens a log, which the VMM writes: never a link, and never something that blocks.
fn open_log(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Position {
    /// At the beginning of the log, or of its last `tail` lines. A log that is not there yet
    /// is read from its beginning when it comes.
    fn begin(path: &Path, tail: Option<u32>) -> io::Result<Self> {
        let mut position = Self { path: path.to_owned(), at: None, old: None };
        if let Some(mut file) = open_log(path)? {
            let metadata = file.metadata()?;
            let at = match tail {
                Some(lines) => start_of_tail(&mut file, metadata.len(), lines)?,
                None => 0,
            };
            position.at = Some((metadata.ino(), at));
            position.old = Some((metadata.ino(), metadata.len()));
        }
        Ok(position)
    }

    /// What comes next; nothing when there is nothing yet. A file that was cut, or
    /// replaced by a later boot's, is read from its beginning.
    fn read(&mut self) -> io::Result<Piece> {
        let Some(mut file) = open_log(&self.path)? else {
            return Ok(Piece { data: Vec::new(), old: false });
        };
        let metadata = file.metadata()?;
        let at = match self.at {
            Some((inode, at)) if inode == metadata.ino() && at <= metadata.len() => at,
            _ => 0,
        };
        file.seek(SeekFrom::Start(at))?;
        // No piece is old in part.
        let left_of_old = self
            .old
            .filter(|(inode, length)| *inode == metadata.ino() && *length <= metadata.len())
            .map_or(0, |(_, length)| length.saturating_sub(at));
        let old = left_of_old > 0;
        let mut data = Vec::new();
        file.take(if old { CHUNK.min(left_of_old) } else { CHUNK }).read_to_end(&mut data)?;
        self.at = Some((metadata.ino(), at + data.len() as u64));
        Ok(Piece { data, old })
    }
}

/// Where the last `lines` lines of the first `length` bytes begin.
fn start_of_tail(file: &mut File, length: u64, lines: u32) -> io::Result<u64> {
    let Some(before) = (lines as usize).checked_sub(1) else { return Ok(length) };
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length - from).read_to_end(&mut bytes)?;
    // The line end at the very end closes the last line and begins none.
    let searched = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = searched
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(before)
        .map_or(0, |(at, _)| at + 1);
    Ok(from + start as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(position: &mut Position) -> String {
        let mut all = Vec::new();
        loop {
            let piece = position.read().unwrap();
            if piece.data.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend(piece.data);
        }
    }

    #[test]
    fn a_log_is_followed_over_growth_cuts_and_boots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut position = Position::begin(&path, None).unwrap();
        assert_eq!(read_all(&mut position), "");
        let mut file = File::options().append(true).create(true).open(&path).unwrap();
        let long = "x".repeat(200_000);
        file.write_all(long.as_bytes()).unwrap();
        assert_eq!(read_all(&mut position), long);
        file.write_all(b"more\n").unwrap();
        assert_eq!(read_all(&mut position), "more\n");
        assert_eq!(read_all(&mut position), "");
        file.set_len(0).unwrap();
        file.write_all(b"after the cut\n").unwrap();
        assert_eq!(read_all(&mut position), "after the cut\n");
        std::fs::rename(&path, folder.path().join("console.log.1")).unwrap();
        std::fs::write(&path, "the next boot\n").unwrap();
        assert_eq!(read_all(&mut position), "the next boot\n");
    }

    #[test]
    fn a_tail_is_so_many_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let tail = |text: &str, lines| {
            std::fs::write(&path, text).unwrap();
            read_all(&mut Position::begin(&path, Some(lines)).unwrap())
        };
        assert_eq!(tail("a\nb\nc\n", 0), "");
        assert_eq!(tail("a\nb\nc\n", 1), "c\n");
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc\n", 3), "a\nb\nc\n");
        assert_eq!(tail("a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("\n", 1), "\n");
        assert_eq!(tail("", 5), "");
    }

    #[test]
    fn what_was_there_at_first_is_told_from_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let mut position = Position::begin(&path, Some(1)).unwrap();
        let mut piece = || {
            let piece = position.read().unwrap();
            (String::from_utf8(piece.data).unwrap(), piece.old)
        };
        assert_eq!(piece(), ("two\n".into(), true));
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(piece(), ("three\n".into(), false));
        file.set_len(0).unwrap();
        file.write_all(b"cut\n").unwrap();
        assert_eq!(piece(), ("cut\n".into(), false), "it begins where the old was, and is new");
    }

    #[test]
    fn what_is_written_right_after_the_beginning_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let absent = Position::begin(&path, Some(0)).unwrap();
        std::fs::write(&path, "one\n").unwrap();
        let present = Position::begin(&path, Some(0)).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"two\n").unwrap();
        for (mut position, new) in [(absent, "one\ntwo\n"), (present, "two\n")] {
            let piece = position.read().unwrap();
            assert_eq!((piece.data.as_slice(), piece.old), (new.as_bytes(), false));
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(Position::begin(&path, None).is_err());
    }
}
