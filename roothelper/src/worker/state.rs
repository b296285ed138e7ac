//! The state of what a batch touches, as one number: by it a fresh look tells whether a
//! batch is on a device or not.

use std::io::{self, Write};

use banger_ext4::{Error, FileKind, Filesystem, ImagePath, Result, Stat};
use banger_proto::GuestPath;
use banger_proto::roothelper::{Ext4Operation, Ext4Write};
use sha2::{Digest, Sha256};

/// Bytes of content that are read for a state in all. What a batch writes is less; what was
/// there before may be more, and is then known by its inode and length.
const MOST_CONTENT: u64 = 16 << 20;

/// A digest of what is at the paths of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) [u8; 32]);

/// How one looks at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// A link in the last place is followed.
    pub(super) links: bool,
    /// The content counts, and not the attributes alone.
    pub(super) content: bool,
}

/// A path that a batch touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) path: GuestPath,
    pub(super) look: Look,
}

impl Touched {
    /// What these changes touch.
    pub(super) fn of(writes: &[Ext4Write]) -> Vec<Self> {
        let touched = |write: &Ext4Write| {
            let (links, content) = match &write.operation {
                Ext4Operation::File { .. } | Ext4Operation::Symlink(_) | Ext4Operation::Removed => {
                    (false, true)
                }
                // A link to a directory is as good as one.
                Ext4Operation::Directory(_) => (true, false),
                Ext4Operation::MissingDirectory(_) | Ext4Operation::Ownership(_) => (false, false),
            };
            Self { path: write.path.clone(), look: Look { links, content } }
        };
        writes.iter().map(touched).collect()
    }
}

/// The state of these paths.
pub(super) fn state(fs: &Filesystem, touched: &[Touched]) -> Result<State> {
    let mut sum = Sum { digest: Sha256::new(), left: MOST_CONTENT };
    for touched in touched {
        sum.add(fs, touched)?;
    }
    Ok(State(sum.digest.finalize().into()))
}

struct Sum {
    digest: Sha256,
    left: u64,
}

impl Sum {
    fn add(&mut self, fs: &Filesystem, touched: &Touched) -> Result<()> {
        let path = ImagePath::new(touched.path.as_bytes())?;
        let stat = if touched.look.links { fs.stat(&path) } else { fs.lstat(&path) };
        let stat = match stat {
            Ok(stat) => stat,
            Err(Error::NotFound { .. } | Error::WrongType { .. } | Error::InvalidPath { .. }) => {
                self.digest.update([0]);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.digest.update([1, kind(stat.kind)]);
        self.digest.update(stat.mode.to_be_bytes());
        self.digest.update(stat.uid.to_be_bytes());
        self.digest.update(stat.gid.to_be_bytes());
        if touched.look.content { self.content(fs, &path, &stat) } else { Ok(()) }
    }

    fn content(&mut self, fs: &Filesystem, path: &ImagePath, stat: &Stat) -> Result<()> {
        match stat.kind {
            FileKind::Symlink => {
                let target = fs.read_link(path)?;
                self.digest.update((target.len() as u64).to_be_bytes());
                self.digest.update(target);
            }
            FileKind::Regular => {
                self.digest.update(stat.size.to_be_bytes());
                if stat.size <= self.left {
                    self.left -= stat.size;
                    fs.read_file_to(path, stat.size, self)?;
                } else {
                    self.digest.update(stat.ino.to_be_bytes());
                }
            }
            FileKind::CharDevice | FileKind::BlockDevice => {
                self.digest.update(stat.rdev.0.to_be_bytes());
                self.digest.update(stat.rdev.1.to_be_bytes());
            }
            FileKind::Directory | FileKind::Fifo | FileKind::Socket => {}
        }
        Ok(())
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn kind(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::CharDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}
