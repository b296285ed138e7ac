//! Entries of an image, for people and for scripts.

use banger_proto::{Bytes, Ext4Entry, Ext4Kind, hex};
use serde::Serialize;

use crate::terminal::moment;

/// What scripts get of an entry; fields are added and never change their meaning.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ext4Entry"))]
pub(crate) struct Json {
    /// Path below what was listed, or as it was asked for; bytes that are no UTF-8 replaced.
    path: String,
    /// The bytes of a path that is no UTF-8, in hexadecimal digits.
    path_hex: Option<String>,
    /// `file`, `directory`, `symlink`, `char_device`, `block_device`, `fifo` or `socket`.
    kind: &'static str,
    /// Permission bits in octal, as in `0644`.
    mode: String,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    allocated_bytes: u64,
    /// Number of names.
    links: u16,
    inode: u32,
    accessed_at: i64,
    modified_at: i64,
    changed_at: i64,
    /// Where a symbolic link leads.
    target: Option<String>,
    /// The bytes of a target that is no UTF-8, in hexadecimal digits.
    target_hex: Option<String>,
    /// Major and minor number of a device.
    device: Option<(u32, u32)>,
}

/// Bytes as text, and their digits where that text is not all.
pub(super) fn text_and_hex(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(hex(bytes))),
    }
}

impl From<&Ext4Entry> for Json {
    fn from(entry: &Ext4Entry) -> Self {
        let (path, path_hex) = text_and_hex(&entry.path.0);
        let target = entry.target.as_ref().map(|target| text_and_hex(&target.0));
        let (target, target_hex) = target.map_or((None, None), |(text, hex)| (Some(text), hex));
        let [accessed_at, modified_at, changed_at] = entry.times;
        Self {
            path,
            path_hex,
            kind: word(entry.kind),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size_bytes: entry.size,
            allocated_bytes: entry.allocated,
            links: entry.links,
            inode: entry.inode,
            accessed_at,
            modified_at,
            changed_at,
            target,
            target_hex,
            device: entry.device,
        }
    }
}

/// The word for a type.
pub(super) const fn word(kind: Ext4Kind) -> &'static str {
    match kind {
        Ext4Kind::File => "file",
        Ext4Kind::Directory => "directory",
        Ext4Kind::Symlink => "symlink",
        Ext4Kind::CharDevice => "char_device",
        Ext4Kind::BlockDevice => "block_device",
        Ext4Kind::Fifo => "fifo",
        Ext4Kind::Socket => "socket",
    }
}

/// Bytes that the image's owner chose: as they are for programs, escaped for a terminal.
pub(super) fn shown(bytes: &[u8], terminal: bool) -> Vec<u8> {
    if terminal { escaped(bytes).into_bytes() } else { bytes.to_vec() }
}

/// What changes the direction of the text around it.
const DIRECTIONS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Text in which nothing steers a terminal and nothing is lost.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() || DIRECTIONS.contains(&c) {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Type and permissions as `ls -l` writes them.
pub(super) fn permissions(kind: Ext4Kind, mode: u16) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        Ext4Kind::File => '-',
        Ext4Kind::Directory => 'd',
        Ext4Kind::Symlink => 'l',
        Ext4Kind::CharDevice => 'c',
        Ext4Kind::BlockDevice => 'b',
        Ext4Kind::Fifo => 'p',
        Ext4Kind::Socket => 's',
    });
    for (shift, special, letters) in
        [(6, 0o4000, ('s', 'S')), (3, 0o2000, ('s', 'S')), (0, 0o1000, ('t', 'T'))]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letters.0,
            (true, false) => letters.1,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Size, or the numbers of a device.
pub(super) fn size(entry: &Ext4Entry) -> String {
    match entry.device {
        Some((major, minor)) => format!("{major}, {minor}"),
        None => entry.size.to_string(),
    }
}

/// Lines as of `ls -l`: figures under each other, names as they are or escaped.
pub(super) fn long(entries: &[Ext4Entry], terminal: bool) -> Vec<u8> {
    let rows: Vec<[String; 4]> = entries
        .iter()
        .map(|entry| {
            [&entry.links as &dyn std::fmt::Display, &entry.uid, &entry.gid, &size(entry)]
                .map(ToString::to_string)
        })
        .collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = Vec::new();
    for (entry, row) in entries.iter().zip(&rows) {
        text.extend(permissions(entry.kind, entry.mode).into_bytes());
        for (cell, width) in row.iter().zip(widths) {
            text.extend(format!(" {cell:>width$}").into_bytes());
        }
        let [_, modified, _] = entry.times;
        text.extend(format!(" {} ", moment(modified)).into_bytes());
        text.extend(shown(&entry.path.0, terminal));
        if let Some(Bytes(target)) = &entry.target {
            text.extend(b" -> ");
            text.extend(shown(target, terminal));
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_and_nothing_is_lost() {
        assert_eq!(escaped("pl\u{fc}s 日本".as_bytes()), "pl\u{fc}s 日本");
        let odd = b"a\nb\x1b[31m\\\xff\xc3";
        assert_eq!(escaped(odd), "a\\nb\\u{1b}[31m\\\\\\xff\\xc3");
        assert_eq!(escaped("\u{202e}fdp".as_bytes()), "\\u{202e}fdp");
        assert_eq!(escaped("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(shown(odd, false), odd);
    }

    #[test]
    fn permissions_are_as_ls_writes_them() {
        for (mode, text) in [
            (0o0644, "-rw-r--r--"),
            (0o4755, "-rwsr-xr-x"),
            (0o6644, "-rwSr-Sr--"),
            (0o1777, "-rwxrwxrwt"),
            (0o1000, "---------T"),
        ] {
            assert_eq!(permissions(Ext4Kind::File, mode), text);
        }
    }

    #[test]
    fn figures_stand_under_each_other() {
        let entry = |path: &str, size, device| Ext4Entry {
            path: Bytes(path.into()),
            kind: if device { Ext4Kind::CharDevice } else { Ext4Kind::File },
            mode: 0o644,
            uid: 0,
            gid: size as u32 % 2000,
            size,
            allocated: 0,
            links: 1,
            inode: 12,
            times: [0; 3],
            target: (size == 5).then(|| Bytes(b"x\n".into())),
            device: device.then_some((1, 3)),
        };
        let entries = [entry("a", 5, false), entry("b\x07", 123_456, false), entry("c", 0, true)];
        insta::assert_snapshot!(String::from_utf8(long(&entries, true)).unwrap());
    }
}
