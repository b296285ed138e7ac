//! The guest's serial console: a log that is kept short, and its end for people.
//!
//! QEMU appends to `console.log` whether or not the daemon runs, and reads what is typed
//! from the pipe `console.in`. The daemon cuts
//! it now and then: what is cut off is kept once, in `console.log.1`. The guest
//! writes this log, so nothing in it is to be believed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use super::spec::Files;

/// Bytes at which a log is cut.
pub const LIMIT: u64 = 4 << 20;

/// Opens a log, never by way of a link that whoever writes it may have put there.
fn open_log(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(open(path, flags, Mode::from_raw_mode(0o600))?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the log is not a regular file"))
    }
}

/// Begins the log of a new boot: the older one is kept as `console.log.1`.
///
/// # Errors
/// When the files cannot be made.
pub fn begin(files: &Files) -> io::Result<()> {
    match std::fs::rename(files.console(), files.console_before()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    open_log(&files.console(), flags).map(drop)?;
    // Made anew: whoever is still attached to the boot before types nothing into this one.
    for end in [files.console_input(), files.console_output()] {
        match std::fs::remove_file(end) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, files.console_input(), FileType::Fifo, mode, 0)?;
    std::os::unix::fs::symlink("/dev/null", files.console_output())
}

/// Cuts the console's log, and the VMM's own, when they have passed `limit` bytes
/// ([`LIMIT`] is meant). Output that comes while it is cut may be lost.
///
/// # Errors
/// When a log cannot be read, or what is cut off cannot be kept.
pub fn trim(files: &Files, limit: u64) -> io::Result<()> {
    trim_one(&files.console(), Some(&files.console_before()), limit)?;
    trim_one(&files.vmm_log(), None, limit)?;
    trim_one(&files.firecracker_log(), None, limit)
}

fn trim_one(path: &Path, keep: Option<&Path>, limit: u64) -> io::Result<()> {
    let mut log = match open_log(path, OFlags::RDWR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    let len = log.metadata()?.len();
    if len <= limit {
        return Ok(());
    }
    if let Some(keep) = keep {
        let folder = keep.parent().unwrap_or(Path::new("."));
        let mut kept = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        log.seek(SeekFrom::Start(len.saturating_sub(limit)))?;
        io::copy(&mut (&mut log).take(limit), &mut kept)?;
        kept.flush()?;
        kept.persist(keep)?;
    }
    // QEMU appends, so that it goes on at the new end.
    log.set_len(0)
}

/// The last `lines` lines of what the guest wrote, fit for a terminal.
#[must_use]
pub fn tail(files: &Files, lines: usize) -> String {
    tail_of(&files.console(), lines)
}

/// What the guest wrote, fit for a terminal: at most the last MiB of it.
#[must_use]
pub fn text(files: &Files) -> String {
    printable(&end_of(&files.console(), 1 << 20))
}

/// The last `lines` lines of a log, fit for a terminal; empty when there is none.
#[must_use]
pub fn tail_of(log: &Path, lines: usize) -> String {
    let text = printable(&end_of(log, 64 << 10));
    let all: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The last bytes of a log, `most` of them at most.
fn end_of(log: &Path, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = open_log(log, OFlags::RDONLY) {
        let len = file.metadata().map_or(0, |m| m.len());
        let _short_tail = file
            .seek(SeekFrom::Start(len.saturating_sub(most)))
            .and_then(|_| file.take(most).read_to_end(&mut bytes));
    }
    bytes
}

/// Text without control characters and terminal sequences; line ends stay.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => out.push(letter),
            // CSI: parameters, then one final letter. OSC and its like: up to BEL or ESC \.
            '\u{1b}' => match letters.next() {
                Some('[') => while letters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = letters.next() {
                        if c == '\u{7}' {
                            break;
                        }
                        if c == '\u{1b}' {
                            letters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                _ => {}
            },
            // Also those that turn the direction of writing, and other invisible ones.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ if letter.is_control() => {}
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn terminal_sequences_do_not_reach_a_terminal() {
        let text = printable(
            b"\x1b[2J\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07a\x1b]52;c;x\x1b\\b\x1bPq\x1b\\c\x00\x7f\xff\n",
        );
        assert_eq!(text, "red\nabc\u{fffd}\n");
        assert!(printable("\u{9b}31m\u{202e}x".as_bytes()).ends_with("31mx"));
        assert_eq!(printable(b"\x1b[31"), "");
    }

    #[test]
    fn a_log_that_is_held_open_is_cut_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        begin(&files).unwrap();
        let mut guest = File::options().append(true).open(files.console()).unwrap();
        guest.write_all(b"0123456789").unwrap();
        trim(&files, 10).unwrap();
        assert_eq!(fs::read(files.console()).unwrap(), b"0123456789", "not beyond the limit yet");
        guest.write_all(b"abc").unwrap();
        trim(&files, 10).unwrap();
        guest.write_all(b"new").unwrap();
        assert_eq!(fs::read(files.console()).unwrap(), b"new");
        assert_eq!(fs::read(files.console_before()).unwrap(), b"3456789abc");
        begin(&files).unwrap();
        assert_eq!(fs::read(files.console_before()).unwrap(), b"new");
        assert_eq!(tail(&files, 5), "");
    }

    #[test]
    fn a_log_that_became_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let secret = folder.path().join("secret");
        fs::write(&secret, "0123456789").unwrap();
        std::os::unix::fs::symlink(&secret, files.console()).unwrap();
        assert!(trim(&files, 1).is_err());
        assert_eq!(tail(&files, 5), "");
        assert_eq!(fs::read(&secret).unwrap(), b"0123456789");
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        fs::write(files.console(), "a\r\nb\r\n\r\nc\r\n").unwrap();
        assert_eq!(tail(&files, 2), "b\nc");
    }
}
