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
use super::growth::Growth;
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
/// what comes, until the VM ends.
pub fn read_logs(
    vm: &Handle,
    follow: bool,
    tail: Option<u32>,
) -> impl Stream<Item = Result<Piece, Refusal>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(4);
    let vm = vm.clone();
    tokio::spawn(async move {
        if let Err(refusal) = send(&vm, follow, tail, &sender).await {
            // Whoever has gone away does not need to know.
            let _nobody_listens = sender.send(Err(refusal)).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// Where the reading of a log is.
#[derive(Debug)]
struct Position {
    path: PathBuf,
    /// The file that was read, and how far.
    at: Option<(u64, u64)>,
    /// The file that was there at first, and its length then.
    old: Option<(u64, u64)>,
    tail: Option<u32>,
}

async fn send(
    vm: &Handle,
    follow: bool,
    tail: Option<u32>,
    sender: &mpsc::Sender<Result<Piece, Refusal>>,
) -> Result<(), Refusal> {
    let watch = vm.watch();
    let path = vm.files().run().console();
    let growth = Growth::new();
    let mut position = Position::new(&path, tail);
    loop {
        growth.watch(&path);
        // Asked before reading: what was written before the end is read after it.
        let over = watch.has_changed().is_err()
            || !matches!(
                watch.borrow().phase.state(),
                VmState::Starting | VmState::Running | VmState::Stopping
            );
        let piece;
        (position, piece) = blocking(move || {
            let piece = position.read().map_err(|error| {
                Refusal::from_error(Code::Internal, &error).hint("see whether the VM still exists")
            })?;
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
                () = growth.wait() => {}
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
    fn new(path: &Path, tail: Option<u32>) -> Self {
        Self { path: path.to_owned(), at: None, old: None, tail }
    }

    /// What comes next; nothing when there is nothing yet. A file that was cut, or
    /// replaced by a later boot's, is read from its beginning.
    fn read(&mut self) -> io::Result<Piece> {
        let Some(mut file) = open_log(&self.path)? else {
            return Ok(Piece { data: Vec::new(), old: false });
        };
        let metadata = file.metadata()?;
        let old = *self.old.get_or_insert((metadata.ino(), metadata.len()));
        let at = match self.at {
            Some((inode, at)) if inode == metadata.ino() && at <= metadata.len() => at,
            Some(_) => 0,
            None => match self.tail {
                Some(lines) => start_of_tail(&mut file, metadata.len(), lines)?,
                None => 0,
            },
        };
        file.seek(SeekFrom::Start(at))?;
        // No piece is old in part.
        let is_old = old.0 == metadata.ino() && at < old.1 && old.1 <= metadata.len();
        let most = if is_old { CHUNK.min(old.1 - at) } else { CHUNK };
        let mut data = Vec::new();
        file.take(most).read_to_end(&mut data)?;
        self.at = Some((metadata.ino(), at + data.len() as u64));
        Ok(Piece { data, old: is_old })
    }
}

/// Where the last `lines` lines begin.
fn start_of_tail(file: &mut File, length: u64, lines: u32) -> io::Result<u64> {
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    // The line end at the very end closes the last line and begins none.
    let searched = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = searched
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .nth((lines as usize).saturating_sub(1))
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
        let mut position = Position::new(&path, None);
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
            read_all(&mut Position::new(&path, Some(lines)))
        };
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
        let mut position = Position::new(&path, Some(1));
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
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(Position::new(&path, None).read().is_err());
    }
}
