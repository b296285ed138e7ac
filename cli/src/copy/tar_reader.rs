//! Reads a tar that a guest sends: member by member, with limits, and believing nothing.

use std::io::{self, Read};

use tar::{Archive, Entries, EntryType};

/// Longest name or target of a link, in bytes.
const LONGEST: u64 = 16 << 10;
/// Most bytes of the headers that come before one member.
const HEADERS: u64 = 256 << 10;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File {
        size: u64,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// Another name for a member that came before.
    HardLink {
        target: Vec<u8>,
    },
    /// A device, a pipe, and whatever else a host has no use for.
    Other,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

/// Names that came before their member.
#[derive(Debug, Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    bytes: u64,
}

fn broken(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words.to_owned())
}

/// Gives each member and its content to `take`.
///
/// # Errors
/// When the stream is no tar or goes beyond the limits, and those of `take`.
pub(super) fn read<R: Read, E: From<io::Error>>(
    stream: R,
    mut take: impl FnMut(Member, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(stream);
    // Raw: what a long name may cost is decided here.
    let entries: Entries<'_, R> = archive.entries()?.raw(true);
    let mut before = Before::default();
    for entry in entries {
        let mut entry = entry?;
        let header = entry.header();
        let kind = header.entry_type();
        let size = header.entry_size()?;
        if matches!(
            kind,
            EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader
        ) {
            before.bytes += size;
            if before.bytes > HEADERS {
                return Err(broken("the headers before a member are too long").into());
            }
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            match kind {
                EntryType::GNULongName => before.name = Some(text(data)?),
                EntryType::GNULongLink => before.link = Some(text(data)?),
                EntryType::XHeader => before.extended(&data)?,
                _ => {}
            }
            continue;
        }
        let before = std::mem::take(&mut before);
        if before.size.is_some_and(|stated| stated != size) {
            return Err(broken("a member states two sizes").into());
        }
        let name = before.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = before
            .link
            .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let member = Member {
            name,
            mode: header.mode()?,
            mtime: i64::try_from(header.mtime()?).unwrap_or(0),
            kind: match kind {
                EntryType::Regular | EntryType::Continuous => Kind::File { size },
                EntryType::Directory => Kind::Directory,
                EntryType::Symlink => Kind::Symlink { target: link },
                EntryType::Link => Kind::HardLink { target: link },
                _ => Kind::Other,
            },
        };
        take(member, &mut entry)?;
    }
    Ok(())
}

/// A name without what ends it.
fn text(mut data: Vec<u8>) -> io::Result<Vec<u8>> {
    if let Some(end) = data.iter().position(|&byte| byte == 0) {
        data.truncate(end);
    }
    if data.len() as u64 > LONGEST {
        return Err(broken("a name is too long"));
    }
    Ok(data)
}

impl Before {
    /// What a PAX header says of the member that follows: `length keyword=value\n`, again and
    /// again. Attributes and precise times are left out.
    fn extended(&mut self, mut data: &[u8]) -> io::Result<()> {
        let wrong = || broken("an extended header is damaged");
        while !data.is_empty() {
            let space = data.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
            let (digits, _) = data.split_at(space);
            let length: usize = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(wrong)?;
            let record = data.get(space + 1..length).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
            let (keyword, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default().to_vec();
            match keyword {
                b"path" => self.name = Some(text(value)?),
                b"linkpath" => self.link = Some(text(value)?),
                b"size" => {
                    let size = String::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(wrong)?);
                }
                _ => {}
            }
            data = data.get(length..).ok_or_else(wrong)?;
        }
        Ok(())
    }
}
