//! A tar stream as a source: ustar, GNU and PAX, sparse members included.
//!
//! The framing is our own, on the `tar` crate's header type: that crate's iterator
//! holds extended headers of any size in memory, splits their values at newlines,
//! and takes a stream that breaks off between two members for a whole one.

use std::io::Read;

use tar::Header;

use super::content::Content;
use super::paged::Paged;
use super::pax::{Pax, decimal};
use super::source::{Entry, EntryKind, Sink, Source, clean, refused};
use super::sparse::{MOST_PIECES, Piece, SparseMap, consistent, of_records, pieces};
use super::tar_member::{LongNames, Member, member, number, packed_by, sum_is_right};
use crate::{Error, Result};

/// Bytes of a block, the unit of a tar stream.
const BLOCK: u64 = 512;
/// Bytes one PAX header may have; attributes are the largest thing in it.
const LONGEST_PAX: u64 = 1 << 20;
/// Bytes of the PAX headers that hold for all members to come, together.
const LONGEST_GLOBALS: u64 = 64 << 10;
/// Bytes a name in a member of its own may have.
const LONGEST_NAME: u64 = 1 << 16;
/// Bytes after the end mark that are read, so that a writer at the other end of a
/// pipe is not cut off in its padding.
const LONGEST_TRAILER: u64 = 16 << 20;

/// Bytes that are passed over at once.
const PASSED: usize = 64 << 10;

/// A tar stream. Paths lose leading slashes and `.` components; a `..` in one
/// refuses the stream, as do a stream that breaks off, a damaged header, and a
/// member of a type no filesystem has. Names that begin with `.wh.` are plain names.
#[derive(Debug)]
pub struct TarStream<R> {
    reader: R,
}

impl<R: Read> TarStream<R> {
    /// Takes a reader at the start of the stream, decompressed already. It is read in pieces
    /// of 128 KiB: it needs no buffer of its own.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self { reader }
    }

    /// Gives the reader back; after [`Source::feed`] it stands behind the stream.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: Read> Source for TarStream<R> {
    fn feed(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut reader = Paged::new(&mut self.reader);
        let mut frames = Frames { reader: &mut reader, position: 0, passed: Vec::new() };
        let mut globals = Pax::default();
        while let Some((header, pax, long)) = next_header(&mut frames, &mut globals)? {
            give(&mut frames, &header, &pax, long, sink)?;
        }
        frames.drain()
    }
}

/// The stream, counted, so that a message can tell where it went wrong.
struct Frames<'a> {
    reader: &'a mut dyn Read,
    position: u64,
    /// Where what is passed over goes.
    passed: Vec<u8>,
}

impl Frames<'_> {
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::Source {
                        what: format!("the tar stream at byte {}", self.position),
                        source: Some(error),
                    });
                }
                Ok(read) => {
                    self.position += read as u64;
                    return Ok(read);
                }
            }
        }
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.some(rest)? {
                0 if self.position == 0 => return Err(self.refused("it is empty")),
                0 => return Err(self.refused("it breaks off")),
                read => filled += read,
            }
        }
        Ok(())
    }

    fn skip(&mut self, mut len: u64) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.passed);
        while len > 0 {
            let step = usize::try_from(len).map_or(PASSED, |len| len.min(PASSED));
            buffer.resize(buffer.len().max(step), 0);
            self.exact(buffer.get_mut(..step).unwrap_or_default())?;
            len -= step as u64;
        }
        self.passed = buffer;
        Ok(())
    }

    /// The body of an extended header, and its padding.
    fn body(&mut self, len: u64, longest: u64) -> Result<Vec<u8>> {
        if len > longest {
            return Err(Error::TooLarge {
                what: "an extended tar header".to_owned(),
                limit: longest,
            });
        }
        let mut body = vec![0; usize::try_from(len).unwrap_or(0)];
        self.exact(&mut body)?;
        self.skip(padding(len))?;
        Ok(body)
    }

    fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; PASSED];
        let end = self.position.saturating_add(LONGEST_TRAILER);
        while self.position < end && self.some(&mut buffer)? > 0 {}
        Ok(())
    }

    fn refused(&self, reason: &str) -> Error {
        Error::Source {
            what: format!("the tar stream at byte {}: {reason}", self.position),
            source: None,
        }
    }
}

fn padding(len: u64) -> u64 {
    (BLOCK - len % BLOCK) % BLOCK
}

type Headers = (Header, Pax, LongNames);

/// Reads up to the next member that stands for an entry; `None` at the end mark.
fn next_header(frames: &mut Frames<'_>, globals: &mut Pax) -> Result<Option<Headers>> {
    let mut local = Pax::default();
    let mut long = LongNames::default();
    let mut described = false;
    loop {
        let mut bytes = [0; BLOCK as usize];
        frames.exact(&mut bytes)?;
        let header = Header::from_byte_slice(&bytes);
        if header.as_bytes().iter().all(|&byte| byte == 0) {
            if described {
                return Err(frames.refused("an extended header is followed by no member"));
            }
            return Ok(None);
        }
        if !sum_is_right(header) {
            let first = frames.position == BLOCK;
            let packed = packed_by(header.as_bytes()).filter(|_| first);
            return Err(match packed {
                Some(name) => frames.refused(&format!("it is compressed with {name}")),
                None => frames.refused("this is no tar header, or a damaged one"),
            });
        }
        let size = number(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| frames.refused("a size is malformed"))?;
        let pax = |frames: &mut Frames<'_>| {
            let body = frames.body(size, LONGEST_PAX)?;
            Pax::parse(&body).ok_or_else(|| frames.refused("a PAX header is malformed"))
        };
        let name = |frames: &mut Frames<'_>| {
            let mut body = frames.body(size, LONGEST_NAME)?;
            let end = body.iter().position(|&byte| byte == 0).unwrap_or(body.len());
            body.truncate(end);
            Ok::<_, Error>(body)
        };
        described = true;
        match header.entry_type().as_byte() {
            b'x' | b'X' => local = pax(frames)?,
            b'g' => {
                if globals.extend(pax(frames)?) > LONGEST_GLOBALS {
                    return Err(frames.refused("too much is said of all members to come"));
                }
            }
            b'L' => long.path = Some(name(frames)?),
            b'K' => long.link = Some(name(frames)?),
            // The volume's label.
            b'V' => {
                frames.skip(size + padding(size))?;
                described = false;
            }
            _ => return Ok(Some((header.clone(), local.over(globals), long))),
        }
    }
}

/// Gives one entry and reads past what the sink left.
fn give(
    frames: &mut Frames<'_>,
    header: &Header,
    pax: &Pax,
    long: LongNames,
    sink: &mut dyn Sink,
) -> Result<()> {
    let Member { path, link, kind, mode, uid, gid, times, device, stored } =
        member(header, pax, long)?;
    let target;
    let mut content = MemberContent::new(frames, &path, stored);
    let kind = match kind {
        b'0' | 0 | b'7' | b'S' => {
            content.find_pieces(header, pax)?;
            EntryKind::File { len: content.len, content: &mut content }
        }
        b'1' => {
            target = clean(&link).filter(|target| !target.is_empty()).ok_or_else(|| {
                refused(&path, "it is a hard link to something outside of the tree")
            })?;
            EntryKind::Hardlink(&target)
        }
        b'2' if link.is_empty() => return Err(refused(&path, "it is a link to nothing")),
        b'2' => EntryKind::Symlink(&link),
        b'3' => EntryKind::CharDevice(device.0, device.1),
        b'4' => EntryKind::BlockDevice(device.0, device.1),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => {
            let reason = format!("members of type {:?} are not supported", char::from(other));
            return Err(refused(&path, reason));
        }
    };
    let entry = Entry { path: &path, kind, mode, uid, gid, times, xattrs: pax.xattrs() };
    sink.entry(entry)?;
    let left = content.left;
    let padding = padding(content.stored);
    frames.skip(left)?;
    frames.skip(padding)
}

/// The bytes of one member, its holes known.
struct MemberContent<'a, 'b> {
    frames: &'a mut Frames<'b>,
    path: &'a [u8],
    /// Bytes in the stream from where padding is counted.
    stored: u64,
    /// Of those, bytes not read yet.
    left: u64,
    len: u64,
    pieces: Vec<Piece>,
    /// The piece that holds `position`, or the first after it.
    current: usize,
    position: u64,
}

impl<'a, 'b> MemberContent<'a, 'b> {
    fn new(frames: &'a mut Frames<'b>, path: &'a [u8], stored: u64) -> Self {
        let pieces = vec![Piece { offset: 0, len: stored }];
        Self { frames, path, stored, left: stored, len: stored, pieces, current: 0, position: 0 }
    }

    /// Finds out where the data of a sparse member lies.
    fn find_pieces(&mut self, header: &Header, pax: &Pax) -> Result<()> {
        let malformed = || refused(self.path, "its map of sparse data is malformed");
        if header.entry_type().is_gnu_sparse() {
            let gnu = header.as_gnu().ok_or_else(malformed)?;
            let len = number(&gnu.realsize).and_then(|len| u64::try_from(len).ok());
            self.len = len.ok_or_else(malformed)?;
            self.pieces = gnu_pieces(self.frames, gnu)?.ok_or_else(malformed)?;
        } else {
            match of_records(pax) {
                None => return Ok(()),
                Some(None) => return Err(malformed()),
                Some(Some((SparseMap::Known(pieces), len))) => {
                    self.len = len;
                    self.pieces = pieces;
                }
                Some(Some((SparseMap::InData, len))) => {
                    self.len = len;
                    let (pieces, read) =
                        map_in_data(self.frames, self.stored)?.ok_or_else(malformed)?;
                    self.pieces = pieces;
                    self.left = self.stored - read;
                }
            }
        }
        if consistent(&self.pieces, self.left, self.len) { Ok(()) } else { Err(malformed()) }
    }

    /// Bytes until data begins (0 within a piece), and bytes of data from there on.
    fn ahead(&mut self) -> (u64, u64) {
        while let Some(piece) = self.pieces.get(self.current) {
            let end = piece.offset + piece.len;
            if self.position < end {
                let hole = piece.offset.saturating_sub(self.position);
                return (hole, end - self.position.max(piece.offset));
            }
            self.current += 1;
        }
        (self.len.saturating_sub(self.position), 0)
    }
}

impl Content for MemberContent<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (hole, data) = self.ahead();
        let run = if hole > 0 { hole } else { data };
        let wanted = usize::try_from(run).map_or(buffer.len(), |run| run.min(buffer.len()));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = if hole > 0 {
            buffer.fill(0);
            buffer.len()
        } else {
            match self.frames.some(buffer)? {
                0 => return Err(refused(self.path, "the tar stream breaks off in its content")),
                read => read,
            }
        };
        if hole == 0 {
            self.left -= read as u64;
        }
        self.position += read as u64;
        Ok(read)
    }

    fn skip_hole(&mut self) -> Result<u64> {
        let (hole, _) = self.ahead();
        self.position += hole;
        Ok(hole)
    }
}

/// The map in a GNU header and the blocks that continue it.
fn gnu_pieces(frames: &mut Frames<'_>, gnu: &tar::GnuHeader) -> Result<Option<Vec<Piece>>> {
    let mut numbers = Vec::new();
    let mut add = |entries: &[tar::GnuSparseHeader]| {
        for entry in entries.iter().filter(|entry| !entry.is_empty()) {
            numbers.push(number(&entry.offset).and_then(|n| u64::try_from(n).ok()));
            numbers.push(number(&entry.numbytes).and_then(|n| u64::try_from(n).ok()));
        }
        numbers.len() / 2 <= MOST_PIECES
    };
    let mut fits = add(&gnu.sparse);
    let mut continues = gnu.is_extended();
    while continues && fits {
        let mut block = tar::GnuExtSparseHeader::new();
        frames.exact(block.as_mut_bytes())?;
        fits = add(block.sparse());
        continues = block.is_extended();
    }
    if !fits {
        return Err(frames.refused("a sparse member has too many pieces"));
    }
    let numbers: Option<Vec<u64>> = numbers.into_iter().collect();
    Ok(numbers.and_then(|numbers| pieces(&numbers)))
}

/// The map at the start of a member's data, and the bytes it takes with padding.
fn map_in_data(frames: &mut Frames<'_>, stored: u64) -> Result<Option<(Vec<Piece>, u64)>> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut digits = Vec::new();
    let mut read = 0;
    loop {
        if read + BLOCK > stored {
            return Ok(None);
        }
        let mut block = [0; BLOCK as usize];
        frames.exact(&mut block)?;
        read += BLOCK;
        for &byte in &block {
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Ok(None);
                }
                continue;
            }
            let Some(number) = decimal(&digits).filter(|_| !digits.is_empty()) else {
                return Ok(None);
            };
            digits.clear();
            numbers.push(number);
            // The first number counts the pairs that follow.
            let count = numbers.first().copied().unwrap_or(0);
            if count > MOST_PIECES as u64 {
                return Err(frames.refused("a sparse member has too many pieces"));
            }
            if numbers.len() as u64 == 1 + 2 * count {
                let pieces = pieces(numbers.get(1..).unwrap_or_default());
                return Ok(pieces.map(|pieces| (pieces, read)));
            }
        }
    }
}
