//! Where the daemon's log goes: a terminal, or a file of bounded size.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Largest size of the log in bytes; the one before is kept beside it.
const LARGEST: u64 = 4 << 20;

/// A log file that begins anew when it is full. It is made with the first entry, so
/// that a daemon with nothing to say makes none.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    open: Option<(File, u64)>,
}

impl LogFile {
    fn write(&mut self, entry: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, size)| *size >= LARGEST) {
            self.open = None;
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let (file, size) = match &mut self.open {
            Some(open) => open,
            closed => {
                let file =
                    OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
                let size = file.metadata()?.len();
                closed.insert((file, size))
            }
        };
        file.write_all(entry)?;
        *size += entry.len() as u64;
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<LogFile>>);

impl Write for Shared {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(entry).map(|()| entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Shared {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Begins logging: to the terminal when standard error is one, else to `bangerd.log` in
/// the state folder. `BANGER_LOG` chooses what is logged, as in `debug` or `bangerd=trace`.
pub(crate) fn begin(state: &Path) {
    let filter = EnvFilter::try_from_env("BANGER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let begun = if io::stderr().is_terminal() {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init()
    } else {
        let file = LogFile { path: state.join("bangerd.log"), open: None };
        let writer = Shared(Arc::new(Mutex::new(file)));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(writer)
            .try_init()
    };
    // Fails when somebody else in this process logs already, whose log is then used.
    let _logs_already = begun;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_made_by_its_first_entry_and_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bangerd.log");
        let mut log = LogFile { path: path.clone(), open: None };
        assert!(!path.exists());
        let entry = vec![b'x'; 1 << 20];
        for _ in 0..11 {
            log.write(&entry).unwrap();
        }
        assert_eq!(path.metadata().unwrap().len(), 3 << 20);
        assert_eq!(path.with_extension("log.1").metadata().unwrap().len(), LARGEST);
        let mut next = LogFile { path: path.clone(), open: None };
        next.write(b"more").unwrap();
        assert_eq!(path.metadata().unwrap().len(), (3 << 20) + 4);
    }
}
