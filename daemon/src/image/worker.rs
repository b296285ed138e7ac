//! The import worker: this very program once more, with a tar stream as standard input
//! and the disk of the new image as standard output, and without a way to anything else.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_ext4::{Batch, FileDisk, Flush, ImagePath, Ownership, TarStream};

use uuid::Uuid;

use super::worker_protocol::{Blame, Line};
use crate::causes::chain;
use crate::confine::{Needs, confine};
use crate::disk::format_options;

/// Between two words on progress.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("standard output is not the disk of an image")]
    NoDisk(#[source] io::Error),
    #[error("cannot make the root filesystem")]
    Make(#[source] banger_ext4::Error),
    #[error("cannot take in the tar stream")]
    TakeIn(#[source] banger_ext4::Error),
    #[error("cannot write the root filesystem")]
    Commit(#[source] banger_ext4::Error),
}

fn blame(error: &WorkerError) -> Blame {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        WorkerError::NoDisk(_) => Blame::Host,
        WorkerError::Make(error) | WorkerError::TakeIn(error) | WorkerError::Commit(error) => {
            match error {
                banger_ext4::Error::NoSpace { .. } => Blame::Image,
                banger_ext4::Error::Io { source, .. } => match source.kind() {
                    StorageFull | QuotaExceeded => Blame::HostFull,
                    _ => Blame::Host,
                },
                _ => Blame::Tar,
            }
        }
    }
}

/// Counts what is read through it.
struct Counting<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + count as u64);
        Ok(count)
    }
}

/// Takes a tar stream in; true when all went well. What there is to say goes to standard
/// error.
#[must_use]
pub fn run() -> bool {
    match take_in() {
        Ok((entries, bytes)) => {
            tell(&Line::Done { entries, bytes });
            true
        }
        Err(error) => {
            tell(&Line::Failed { chain: chain(&error), blame: blame(&error) });
            false
        }
    }
}

fn tell(line: &Line) {
    // A daemon that does not listen any more has given this import up.
    let _nobody_listens = io::stderr().write_all(line.text().as_bytes());
}

fn take_in() -> Result<(u64, u64), WorkerError> {
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(WorkerError::NoDisk)?;
    let file = File::from(output);
    let length = file.metadata().map_err(WorkerError::NoDisk)?.len();
    // Nothing of the input has been read yet.
    let (walls, missing) = confine(&Needs {
        largest_file: Some(length),
        descriptors: 16,
        folder: None,
        connects: &[],
    });
    tell(&Line::Confined { walls, missing });

    let disk = Arc::new(FileDisk::new(file).map_err(WorkerError::Make)?);
    let mut batch =
        Batch::create(disk, &format_options(Uuid::new_v4())).map_err(WorkerError::Make)?;
    let bytes = Rc::new(Cell::new(0));
    let input = Counting { inner: io::stdin().lock(), bytes: Rc::clone(&bytes) };
    let mut tar = TarStream::new(input);
    let mut told = Instant::now();
    let stats = batch
        .ingest_with_progress(&ImagePath::root(), &mut tar, Ownership::Keep, &mut |_| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tell(&Line::Progress { bytes: bytes.get() });
            }
        })
        .map_err(WorkerError::TakeIn)?;
    // The daemon makes the finished image durable, all of it at once.
    batch.commit(Flush::ProcessSafe).map_err(WorkerError::Commit)?;
    Ok((stats.entries, bytes.get()))
}
