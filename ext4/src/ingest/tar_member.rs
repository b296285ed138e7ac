//! One member of a tar stream: what its header and extended headers say.

use tar::Header;

use super::pax::Pax;
use super::source::{Times, Timestamp, clean, refused};
use crate::Result;

/// What headers say of a member.
#[derive(Debug)]
pub(super) struct Member {
    /// Cleaned path.
    pub(super) path: Vec<u8>,
    /// Target of a link, as written.
    pub(super) link: Vec<u8>,
    pub(super) kind: u8,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) times: Times,
    pub(super) device: (u32, u32),
    /// Bytes that follow in the stream, before padding.
    pub(super) stored: u64,
}

/// Names that came in members of their own, before the header (GNU).
#[derive(Debug, Default)]
pub(super) struct LongNames {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
}

/// A numeric field: octal digits, or base 256 when its first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement over the field's width less the marker bit.
        let mut value = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { -1 };
        if first & 0x40 != 0 {
            value = (value << 6) | i128::from(first & 0x3f);
        }
        for &byte in rest {
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let digits = field.iter().filter(|byte| !matches!(byte, b' ' | 0));
    digits.copied().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add((byte - b'0').into()),
        _ => None,
    })
}

/// True when the header's sum is right, its bytes taken unsigned or signed.
pub(super) fn sum_is_right(header: &Header) -> bool {
    let Some(told) = number(&header.as_old().cksum) else { return false };
    let mut bytes = *header.as_bytes();
    if let Some(sum) = bytes.get_mut(148..156) {
        sum.fill(b' ');
    }
    // Far from going over, and quicker where that is not looked for.
    let sum = |of: fn(u8) -> u8| {
        bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(of(*byte))))
    };
    let (unsigned, negative) = (sum(|byte| byte), sum(|byte| byte >> 7));
    let (unsigned, signed) = (i64::from(unsigned), i64::from(unsigned) - 256 * i64::from(negative));
    told == unsigned || told == signed
}

/// Who packed what begins like this.
pub(super) fn packed_by(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 6] = [
        (b"\x1f\x8b", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"PK\x03\x04", "zip"),
    ];
    known.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| name)
}

/// A field's text ends at its first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Puts together what the headers say.
pub(super) fn member(header: &Header, pax: &Pax, long: LongNames) -> Result<Member> {
    let written = long
        .path
        .or_else(|| {
            let name = pax.get(b"GNU.sparse.name").or_else(|| pax.get(b"path"));
            name.map(<[u8]>::to_vec)
        })
        .unwrap_or_else(|| text(&header.path_bytes()).to_vec());
    let bad = |what: &str| refused(&written, format!("its {what} is malformed"));
    let Some(path) = clean(&written) else {
        return Err(refused(
            &written,
            "a member's path must not leave the tree, nor hold NUL or a name over 255 bytes",
        ));
    };
    let link = long
        .link
        .or_else(|| pax.get(b"linkpath").map(<[u8]>::to_vec))
        .or_else(|| header.link_name_bytes().map(|link| text(&link).to_vec()))
        .unwrap_or_default();
    let old = header.as_old();
    let id = |key: &[u8], field: &[u8], what: &str| {
        let id = match pax.number(key) {
            Some(told) => told,
            None => number(field).and_then(|id| u64::try_from(id).ok()),
        };
        id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| bad(what))
    };
    let stored = match pax.number(b"size") {
        Some(told) => told,
        None => number(&old.size).and_then(|size| u64::try_from(size).ok()),
    };
    let time = |key: &[u8]| match pax.time(key) {
        None => Ok(None),
        Some(Some(time)) => Ok(Some(time)),
        Some(None) => Err(bad("time")),
    };
    let modified = match time(b"mtime")? {
        Some(time) => time,
        None => {
            Timestamp { seconds: number(&old.mtime).ok_or_else(|| bad("time"))?, nanoseconds: 0 }
        }
    };
    let times = Times {
        accessed: time(b"atime")?.unwrap_or(modified),
        modified,
        changed: time(b"ctime")?.unwrap_or(modified),
    };
    let mode = number(&old.mode).ok_or_else(|| bad("mode"))?;
    let mut kind = header.entry_type().as_byte();
    // Before ustar, a folder was a file whose name ends in a slash.
    if matches!(kind, b'0' | 0) && written.ends_with(b"/") {
        kind = b'5';
    }
    let device = |field: Option<&[u8]>| {
        let number = field.map_or(Some(0), number).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| bad("device number"))
    };
    let ustar = header.as_ustar();
    let gnu = header.as_gnu();
    let major = ustar.map(|h| &h.dev_major[..]).or_else(|| gnu.map(|h| &h.dev_major[..]));
    let minor = ustar.map(|h| &h.dev_minor[..]).or_else(|| gnu.map(|h| &h.dev_minor[..]));
    let device =
        if matches!(kind, b'3' | b'4') { (device(major)?, device(minor)?) } else { (0, 0) };
    Ok(Member {
        path,
        link,
        kind,
        mode: u16::try_from(mode & 0o7777).unwrap_or(0),
        uid: id(b"uid", &old.uid, "owner")?,
        gid: id(b"gid", &old.gid, "group")?,
        times,
        device,
        // A hard link tells the size of its file, and none of it follows.
        stored: if kind == b'1' { 0 } else { stored.ok_or_else(|| bad("size"))? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b" 644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0"), Some(0));
        assert_eq!(number(b"9"), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b"777777777777777777777"), Some(i64::MAX));
        assert_eq!(number(b"1000000000000000000000"), None, "more than 63 bits");
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x00"), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"), Some(-256));
        assert_eq!(number(&[0x80 | 0x3f; 12]), None, "more than 64 bits");
    }
}
