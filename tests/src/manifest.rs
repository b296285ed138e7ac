//! A tree as sorted lines of text, so that two ways to read it can be compared.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// What is compared of one entry.
#[derive(Debug, Default)]
pub struct Record {
    /// Absolute path in the filesystem.
    pub path: Vec<u8>,
    /// `dir`, `file`, `link`, `char`, `block`, `fifo`, `socket`.
    pub kind: &'static str,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Modification time: seconds, nanoseconds.
    pub mtime: (i64, i64),
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    /// Number of names.
    pub links: u64,
    /// First path that named the same inode, when there are several.
    pub group: Option<Vec<u8>>,
    /// Target of a symbolic link.
    pub target: Option<Vec<u8>>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// SHA-256 of a file's content.
    pub content: Option<String>,
}

impl Record {
    /// The line that stands for this entry.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{} {} {:04o} {}:{} size={} mtime={}.{:09} links={}",
            self.path.escape_ascii(),
            self.kind,
            self.mode,
            self.uid,
            self.gid,
            self.size,
            self.mtime.0,
            self.mtime.1,
            self.links,
        );
        if matches!(self.kind, "char" | "block") {
            line += &format!(" rdev={}:{}", self.rdev.0, self.rdev.1);
        }
        if let Some(group) = &self.group {
            line += &format!(" same={}", group.escape_ascii());
        }
        if let Some(target) = &self.target {
            line += &format!(" -> {}", target.escape_ascii());
        }
        for (name, value) in &self.xattrs {
            line += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
        }
        if let Some(content) = &self.content {
            line += &format!(" sha256={content}");
        }
        line
    }
}

/// Hashes content that is streamed.
pub fn hash(mut content: impl Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The tree at `top` as the kernel shows it; `top` itself is `/`.
pub fn of_mounted(top: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen = HashMap::new();
    walk(top, b"/", &mut seen, &mut lines);
    lines.sort();
    lines
}

fn walk(on_host: &Path, inside: &[u8], seen: &mut HashMap<u64, Vec<u8>>, lines: &mut Vec<String>) {
    let metadata = std::fs::symlink_metadata(on_host).expect("an entry can be examined");
    let mut record = Record {
        path: inside.to_vec(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: metadata.size(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        links: metadata.nlink(),
        xattrs: xattrs(on_host),
        ..Record::default()
    };
    let device = || (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let kind = metadata.file_type();
    if kind.is_dir() {
        record.kind = "dir";
    } else if kind.is_file() {
        record.kind = "file";
        let file = std::fs::File::open(on_host).expect("a file can be opened");
        record.content = Some(hash(file).expect("a file can be read"));
    } else if kind.is_symlink() {
        record.kind = "link";
        let target = std::fs::read_link(on_host).expect("a link can be read");
        record.target = Some(target.into_os_string().into_vec());
    } else if kind.is_char_device() {
        record.kind = "char";
        record.rdev = device();
    } else if kind.is_block_device() {
        record.kind = "block";
        record.rdev = device();
    } else if kind.is_fifo() {
        record.kind = "fifo";
    } else {
        record.kind = "socket";
    }
    if !kind.is_dir() && metadata.nlink() > 1 {
        let first = seen.entry(metadata.ino()).or_insert_with(|| inside.to_vec());
        record.group = Some(first.clone());
    }
    lines.push(record.line());
    if kind.is_dir() {
        let mut names: Vec<OsString> = std::fs::read_dir(on_host)
            .expect("a folder can be listed")
            .map(|entry| entry.expect("an entry can be read").file_name())
            .collect();
        names.sort();
        for name in names {
            let mut path = inside.to_vec();
            if path != b"/" {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            walk(&on_host.join(&name), &path, seen, lines);
        }
    }
}

/// All extended attributes of an entry, itself when it is a link.
fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 1 << 16];
        let len =
            rustix::fs::lgetxattr(path, name, &mut value).expect("a listed attribute can be read");
        value.truncate(len);
        found.insert(name.to_vec(), value);
    }
    found
}

/// Panics with the lines that differ, unless both trees are the same.
pub fn assert_same(left: (&str, &[String]), right: (&str, &[String])) {
    let ((left_name, left), (right_name, right)) = (left, right);
    let only = |these: &[String], others: &[String]| {
        let others: std::collections::HashSet<_> = others.iter().collect();
        let lines: Vec<_> =
            these.iter().filter(|line| !others.contains(line)).take(20).cloned().collect();
        lines.join("\n  ")
    };
    assert!(
        left == right,
        "the trees differ ({} and {} entries)\nonly in {left_name}:\n  {}\nonly in {right_name}:\n  {}",
        left.len(),
        right.len(),
        only(left, right),
        only(right, left),
    );
}
