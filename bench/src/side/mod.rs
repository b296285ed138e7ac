//! What is measured in a process of its own: the engine, the floor, and peers that are libraries.

mod floor;
pub mod ours;
mod peers;

use std::path::PathBuf;
use std::time::Instant;

pub use floor::Plan;

use crate::Result;

#[derive(clap::Subcommand)]
pub enum Side {
    /// Starts and ends
    Nothing,
    /// A new disk of `size` bytes with what is in the image `seed`
    Disk { seed: PathBuf, out: PathBuf, size: u64 },
    /// Every file of a folder into `/etc` of an image, as one batch, with all flushes
    Put { image: PathBuf, folder: PathBuf },
    /// A new image of `size` bytes from a tar
    Import { tar: PathBuf, out: PathBuf, size: u64 },
    /// A hundred new names in `/folder` of an image
    Insert { image: PathBuf, names: u32 },
    /// Grows an image to `size` bytes
    Grow { image: PathBuf, size: u64 },
    /// Reads `content`, a file or a folder of files, and writes what `plan` says, as few bytes and calls as can be
    Floor { plan: PathBuf, content: PathBuf, out: PathBuf, size: u64 },
    /// Reads a file and writes all of it to another
    Stream { from: PathBuf, to: PathBuf },
    /// A new disk from a folder, by mkext4
    Mkext4Disk { folder: PathBuf, out: PathBuf, size: u64 },
    /// A new disk from a folder, by arcbox-ext4
    ArcboxDisk { folder: PathBuf, out: PathBuf, size: u64 },
    /// A new image from a tar, by arcbox-ext4
    ArcboxImport { tar: PathBuf, out: PathBuf, size: u64 },
    /// Every file of a folder into `/etc` of an image, by rust-fs-ext4, a transaction each step
    RustFsPut { image: PathBuf, folder: PathBuf },
}

impl Side {
    /// Does it, and prints how long that took in ms and the most memory in KiB.
    pub fn run(self) -> Result<()> {
        // The first to ask what the processor can do waits for the host where this is a virtual
        // machine. Whatever starts a process for one work only pays for that; a daemon has.
        #[cfg(target_arch = "x86_64")]
        let _known = std::arch::is_x86_feature_detected!("sse4.2");
        let begun = Instant::now();
        match self {
            Self::Nothing => {}
            Self::Disk { seed, out, size } => ours::disk(&seed, ours::create(&out, size)?)?,
            Self::Put { image, folder } => ours::put(ours::open(&image)?, &folder)?,
            Self::Import { tar, out, size } => ours::import(&tar, ours::create(&out, size)?)?,
            Self::Insert { image, names } => ours::insert(ours::open(&image)?, names)?,
            Self::Grow { image, size } => ours::grow(&image, size)?,
            Self::Floor { plan, content, out, size } => floor::run(&plan, &content, &out, size)?,
            Self::Stream { from, to } => floor::stream(&from, &to)?,
            Self::Mkext4Disk { folder, out, size } => peers::mkext4_disk(&folder, &out, size)?,
            Self::ArcboxDisk { folder, out, size } => peers::arcbox_disk(&folder, &out, size)?,
            Self::ArcboxImport { tar, out, size } => peers::arcbox_import(&tar, &out, size)?,
            Self::RustFsPut { image, folder } => peers::rust_fs_put(&image, &folder)?,
        }
        println!("{} {}", begun.elapsed().as_secs_f64() * 1000.0, peak_kib()?);
        Ok(())
    }
}

/// Most memory that this process had, in KiB (`VmHWM`).
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
    Ok(number.parse()?)
}
