//! The archive that kernels unpack into their first root filesystem: cpio of the form "newc".

use std::io::{self, Write};

/// What marks the end.
const TRAILER: &str = "TRAILER!!!";
/// Types of files, in the mode.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// Writes an archive. The same entries make the same bytes: all are root's, and of no time.
#[derive(Debug)]
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, entries: 0, bytes: 0 }
    }

    /// A folder, in one that is there already.
    pub(super) fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, FOLDER | 0o755, b"")
    }

    /// A file in a folder that is there already, with the bits of its mode.
    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | (mode & 0o7777), content)
    }

    /// Ends it; returns its bytes.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.entry(TRAILER, 0, b"")?;
        self.to.flush()?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let number = |length: usize| u32::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge);
        // A file of its own each: two with one number would be one.
        self.entries += 1;
        let inode = if name == TRAILER { 0 } else { self.entries };
        let links = if mode & FOLDER != 0 { 2 } else { 1 };
        let fields = [
            inode,
            mode,
            0, // of root
            0, // and its group
            links,
            0, // of no time
            number(content.len())?,
            0, // on no device
            0,
            0, // and none itself
            0,
            number(name.len() + 1)?,
            0, // without a sum
        ];
        let mut head = String::from("070701");
        for field in fields {
            use std::fmt::Write as _;
            // Text is written into text, which fails never.
            let _written = write!(head, "{field:08x}");
        }
        self.put(head.as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(b"\0")?;
        self.align()?;
        self.put(content)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    /// Names and contents end at multiples of four.
    fn align(&mut self) -> io::Result<()> {
        let rest = (self.bytes.next_multiple_of(4) - self.bytes) as usize;
        self.put([0; 3].get(..rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_begins_at_a_multiple_of_four() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.folder("dev").unwrap();
        for length in 0..5 {
            archive.file(&"n".repeat(length + 1), 0o644, &vec![b'x'; length]).unwrap();
        }
        let length = archive.finish().unwrap();
        assert_eq!(length, bytes.len() as u64);
        let found = memchr::memmem::find_iter(&bytes, b"070701").collect::<Vec<_>>();
        assert_eq!(found.len(), 7);
        assert!(found.iter().all(|at| at % 4 == 0), "{found:?}");
        let text = String::from_utf8_lossy(&bytes[..116]);
        assert_eq!(
            text,
            "070701000000010000\
             41ed00000000000000000000000200000000000000000000000000000000000000000000000000000004\
             00000000dev\0\0\0"
        );
    }
}
