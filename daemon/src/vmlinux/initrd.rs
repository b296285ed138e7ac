//! Whether an initial RAM disk has a module: names of its files, in archives packed or not.

use std::io::{self, BufRead, Read};

use memchr::memmem;

use super::format::Format;

/// Bytes of the header of an archive's entry.
const HEADER: usize = 110;
/// Bytes by which it is told from what is packed.
const BEGIN: usize = 6;
/// Longest name that is read.
const NAME: u64 = 4096;
/// Bytes that are looked through at most, unpacked.
const MOST: u64 = 2 << 30;

/// Whether a file's name, or anything in what is packed, holds `word`. What makes no sense
/// holds nothing.
pub(super) fn mentions(initrd: impl BufRead, word: &[u8]) -> bool {
    let mut initrd = Counting { inner: initrd, count: 0 };
    look(&mut initrd, word).unwrap_or(false)
}

fn look<R: BufRead>(initrd: &mut Counting<R>, word: &[u8]) -> io::Result<bool> {
    loop {
        let mut header = [0; HEADER];
        // Archives follow each other with zeros between them.
        while header[0] == 0 {
            initrd.read_exact(&mut header[..1])?;
        }
        initrd.read_exact(&mut header[1..BEGIN])?;
        if !header.starts_with(b"07070") {
            let Some(format) = Format::of(&header[..BEGIN]) else { return Ok(false) };
            // Only the last archive is packed: there is nothing behind it.
            let packed = header[..BEGIN].chain(initrd);
            return contains(&mut format.unpack(packed)?.take(MOST), word);
        }
        initrd.read_exact(&mut header[BEGIN..])?;
        let number = |at: usize| {
            let text = header.get(at..at + 8).and_then(|text| std::str::from_utf8(text).ok());
            text.and_then(|text| u64::from_str_radix(text, 16).ok())
                .ok_or(io::ErrorKind::InvalidData)
        };
        let (size, length) = (number(54)?, number(94)?);
        let mut name = Vec::new();
        initrd.by_ref().take(length.min(NAME)).read_to_end(&mut name)?;
        if memmem::find(&name, word).is_some() {
            return Ok(true);
        }
        initrd.align()?;
        io::copy(&mut initrd.by_ref().take(size), &mut io::sink())?;
        initrd.align()?;
    }
}

/// Whether `data` holds `word`, also across two pieces.
pub(super) fn contains(data: &mut impl Read, word: &[u8]) -> io::Result<bool> {
    let mut piece = vec![0; 128 << 10];
    let mut kept = 0;
    loop {
        let count = data.read(piece.get_mut(kept..).unwrap_or_default())?;
        if count == 0 {
            return Ok(false);
        }
        let whole = piece.get(..kept + count).unwrap_or_default();
        if memmem::find(whole, word).is_some() {
            return Ok(true);
        }
        let from = whole.len().saturating_sub(word.len() - 1);
        kept = whole.len() - from;
        piece.copy_within(from..from + kept, 0);
    }
}

/// Counts what is read: entries of archives begin at multiples of four.
struct Counting<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Counting<R> {
    fn align(&mut self) -> io::Result<()> {
        let rest = self.count.next_multiple_of(4) - self.count;
        io::copy(&mut self.by_ref().take(rest), &mut io::sink()).map(drop)
    }
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count += count as u64;
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut archive = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let content = "x".repeat(name.len());
            write!(archive, "070701{:048X}{:08X}", 0, content.len()).unwrap();
            write!(archive, "{:032X}{:08X}{:08X}{name}\0", 0, name.len() + 1, 0).unwrap();
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend_from_slice(content.as_bytes());
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive.resize(archive.len().next_multiple_of(512), 0);
        archive
    }

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    const WORD: &[u8] = b"virtio_mmio";

    #[test]
    fn a_module_is_found_in_every_archive() {
        let with = archive(&["init", "lib/modules/6.1/virtio_mmio.ko.xz"]);
        let without = archive(&["kernel/x86/microcode/AuthenticAMD.bin", "init"]);
        assert!(mentions(&with[..], WORD) && !mentions(&without[..], WORD));
        assert!(mentions(&packed(&with)[..], WORD) && !mentions(&packed(&without)[..], WORD));
        // As distributions have it: the processor's microcode first, which is not packed.
        let both = [without.clone(), packed(&with)].concat();
        assert!(mentions(&both[..], WORD));
        assert!(!mentions(&[without.clone(), packed(&without)].concat()[..], WORD));
        assert!(mentions(&[without, with].concat()[..], WORD));
    }

    #[test]
    fn a_word_is_found_wherever_it_lies() {
        for at in [0, (128 << 10) - 5, (256 << 10) - 11, 300_000] {
            let mut data = vec![b'v'; 400_000];
            data[at..at + WORD.len()].copy_from_slice(WORD);
            assert!(contains(&mut &data[..], WORD).unwrap(), "{at}");
        }
        assert!(!contains(&mut &[b'v'; 400_000][..], WORD).unwrap());
    }

    proptest! {
        #[test]
        fn damage_ends(at in any::<prop::sample::Index>(), bytes in any::<[u8; 6]>()) {
            let mut damaged = archive(&["init", "a/b", "c"]);
            let at = at.index(damaged.len() - bytes.len());
            damaged[at..at + bytes.len()].copy_from_slice(&bytes);
            let _whatever = mentions(&damaged[..], WORD);
            let _whatever = mentions(&packed(&damaged)[..], WORD);
        }
    }
}
