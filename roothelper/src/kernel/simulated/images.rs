//! The files of the simulated kernel: overlays, and what its devices hold.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Names, Ownership};

/// Bytes that are copied at once; zeroes are left out.
const PIECE: usize = 64 << 10;

/// A folder, made when it is needed and removed with this.
#[derive(Debug, Default)]
pub(super) struct Images {
    folder: OnceLock<PathBuf>,
}

impl Images {
    fn folder(&self) -> &PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.folder.get_or_init(|| {
            let (own, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let folder = std::env::temp_dir().join(format!("banger-simulated-{own}-{number}"));
            // What goes wrong here is told by the first file.
            let _told_later = std::fs::create_dir(&folder);
            folder
        })
    }

    /// The overlay file, which nothing is ever written to.
    pub(super) fn overlay(&self, of: Ownership, size: u64) -> io::Result<File> {
        let path = self.folder().join(Names::of(of).dm_name + ".cow");
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(size)?;
        Ok(file)
    }

    /// Where the device's content is.
    pub(super) fn path(&self, of: Ownership) -> PathBuf {
        self.folder().join(Names::of(of).dm_name + ".device")
    }

    /// Makes the device's content from its base image, when there is none yet.
    pub(super) fn fill(&self, of: Ownership, base: &File, size: u64) -> io::Result<()> {
        let path = self.path(of);
        if path.exists() {
            return Ok(());
        }
        let image = File::create(path)?;
        image.set_len(size)?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < size {
            let count = base.read_at(&mut piece, at)?;
            let read = piece.get(..count).unwrap_or_default();
            if read.iter().any(|&byte| byte != 0) {
                image.write_all_at(read, at)?;
            }
            if count == 0 {
                break;
            }
            at += count as u64;
        }
        Ok(())
    }

    /// Removes all of a VM's.
    pub(super) fn remove(&self, of: Ownership) {
        let name = Names::of(of).dm_name;
        for ending in [".cow", ".device"] {
            let _not_there = std::fs::remove_file(self.folder().join(name.clone() + ending));
        }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.get() {
            let _gone = std::fs::remove_dir_all(folder);
        }
    }
}
