//! What the ext4 worker tells the command line: one JSON document a line.

use serde::{Deserialize, Serialize};

/// One line. Paths and names are bytes, and any byte but NUL may be in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Ext4Line {
    /// Something that the user should know.
    Note {
        /// In one line.
        text: String,
    },
    /// An entry that was listed.
    Entry(Box<Ext4Entry>),
    /// Extended attributes of the entry that was told of last.
    Attributes {
        /// Sorted by name.
        attributes: Vec<Ext4Attribute>,
    },
    /// Files were copied out of the image.
    Copied {
        /// Files, links and directories.
        entries: u64,
        /// Bytes of files, holes included.
        bytes: u64,
        /// Devices, pipes and sockets, which were left out.
        left_out: Vec<Bytes>,
    },
    /// A batch was written.
    Written {
        /// Files, links and directories.
        entries: u64,
        /// Bytes of files, holes included.
        bytes: u64,
        /// All of it or none of it would have survived a crash.
        atomic: bool,
    },
    /// The filesystem was checked.
    Checked {
        /// What is wrong, the first of it.
        problems: Vec<String>,
        /// How much is wrong in all.
        count: u64,
        /// Inodes that names lead to.
        inodes: u64,
        /// Blocks in use.
        blocks: u64,
    },
    /// It was not done.
    Failed {
        /// The error and its causes, outermost first.
        chain: Vec<String>,
        /// What to do; empty when there is nothing sensible to say.
        hint: String,
        /// What the error lies in.
        blame: Ext4Blame,
    },
}

/// What a request failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ext4Blame {
    /// What was asked for is not there.
    NotFound,
    /// What was asked for cannot be right.
    Request,
    /// Somebody else uses the image, or it is nothing that can be used.
    Image,
    /// What is in the image contradicts itself.
    Damage,
    /// There is no room.
    Space,
    /// The host.
    Host,
}

/// Bytes as hexadecimal digits in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
            _ => None,
        });
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// An entry of a filesystem in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ext4Entry {
    /// Its path below what was listed, or the path that was asked for.
    pub path: Bytes,
    /// Its type.
    pub kind: Ext4Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes of storage.
    pub allocated: u64,
    /// Number of names.
    pub links: u16,
    /// Inode.
    pub inode: u32,
    /// Last access, change of the data, change of the inode: seconds since 1970.
    pub times: [i64; 3],
    /// Where a symbolic link leads.
    pub target: Option<Bytes>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ext4Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ext4Attribute {
    /// Full name, as in `user.origin`.
    pub name: Bytes,
    /// Value; access control lists as text.
    pub value: Bytes,
}

impl Ext4Line {
    /// Longest line that is read, in bytes: the worker may have been taken over by what it reads.
    pub const LONGEST: usize = 1 << 20;

    /// The line's text, with its end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a line.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_cross() {
        let bytes = Bytes((0..=255).collect());
        let line =
            Ext4Line::Copied { entries: 1, bytes: 2, left_out: vec![bytes, Bytes::default()] };
        assert_eq!(Ext4Line::parse(line.text().as_bytes()), Some(line));
        for wrong in [
            r#"{"told":"attributes"}"#,
            r#"{"told":"copied","entries":1,"bytes":2,"left_out":["1"]}"#,
            "x",
        ] {
            assert_eq!(Ext4Line::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
