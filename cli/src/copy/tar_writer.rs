//! Writes a tar for a guest: everything as root's, names and links to the byte.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// What is common to all members.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    /// Permission bits, with set-uid and its like.
    pub(super) mode: u32,
    /// Seconds since the epoch.
    pub(super) mtime: i64,
}

/// A tar that is being written.
#[derive(Debug)]
pub(super) struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    pub(super) fn directory(&mut self, name: &[u8], attributes: Attributes) -> io::Result<()> {
        self.header(EntryType::Directory, name, b"", attributes, 0)
    }

    /// The target is kept as it is.
    pub(super) fn symlink(
        &mut self,
        name: &[u8],
        target: &[u8],
        attributes: Attributes,
    ) -> io::Result<()> {
        self.header(EntryType::Symlink, name, target, attributes, 0)
    }

    /// A file of `size` bytes: of a longer one so many, and a shorter one is filled up with
    /// zeros. How many came from `content`.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        attributes: Attributes,
        size: u64,
        content: &mut impl Read,
    ) -> io::Result<u64> {
        self.header(EntryType::Regular, name, b"", attributes, size)?;
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        let padding = (size - copied) + (512 - size % 512) % 512;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out)?;
        Ok(copied)
    }

    /// The end of the tar.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 1024])?;
        self.out.flush()
    }

    fn header(
        &mut self,
        kind: EntryType,
        name: &[u8],
        link: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        let fits = |field: &mut [u8], value: &[u8]| match field.get_mut(..value.len()) {
            Some(head) => {
                head.copy_from_slice(value);
                true
            }
            None => false,
        };
        let name_fits = fits(&mut old.name, name);
        let link_fits = fits(&mut old.linkname, link);
        header.set_entry_type(kind);
        header.set_mode(attributes.mode);
        header.set_mtime(u64::try_from(attributes.mtime).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_cksum();
        if !name_fits {
            self.long(EntryType::GNULongName, name)?;
        }
        if !link_fits {
            self.long(EntryType::GNULongLink, link)?;
        }
        self.out.write_all(header.as_bytes())
    }

    /// A name that is too long for its field comes before its member.
    fn long(&mut self, kind: EntryType, value: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..13].copy_from_slice(b"././@LongLink");
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let size = value.len() as u64 + 1;
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(value)?;
        let padding = 1 + (512 - size % 512) % 512;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out)?;
        Ok(())
    }
}
