//! Images made by the distribution's tools, and a counted reason where these are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with one image in it, gone with the test.
pub(crate) struct Image {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// True, and says so, when `tool` cannot be started: the test then returns.
pub(crate) fn missing(tool: &str) -> bool {
    let absent = Command::new(tool).arg("-V").output().is_err();
    if absent {
        println!("SKIPPED: {tool} is not installed");
    }
    absent
}

/// Formats an image of `size` bytes with mke2fs.
pub(crate) fn mke2fs(size: u64, options: &[&str]) -> Image {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.ext4");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let out =
        Command::new("mkfs.ext4").args(["-q", "-F"]).args(options).arg(&path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Image { _folder: folder, path }
}

/// Opens an image for reading and writing.
pub(crate) fn open(path: &Path) -> banger_ext4::FileDisk {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    banger_ext4::FileDisk::new(file).unwrap()
}
