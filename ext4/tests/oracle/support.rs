//! Images made by the distribution's tools, and a counted reason where these are missing.

use std::fs;
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
        crate::skip::skip(&format!("{tool} is not installed"));
    }
    absent
}

/// Formats an image of `size` bytes with mke2fs.
pub(crate) fn mke2fs(size: u64, options: &[&str]) -> Image {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.ext4");
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    let out = Command::new("mkfs.ext4").args(["-q", "-F"]).args(options).arg(&path).output();
    let out = out.unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Image { _folder: folder, path }
}

/// Formats an image and fills it with one entry of each kind that an ordinary
/// user can make, and a directory with an index.
pub(crate) fn filled(size: u64, options: &[&str], names: u32) -> Image {
    let tree = tempfile::tempdir().unwrap();
    let top = tree.path();
    fs::create_dir_all(top.join("a/b/c")).unwrap();
    fs::create_dir(top.join("many")).unwrap();
    fs::write(top.join("a/small"), "hello").unwrap();
    fs::write(top.join("a/b/large"), content(700_000)).unwrap();
    fs::write(top.join("a/b/c/empty"), "").unwrap();
    let sparse = fs::File::create(top.join("sparse")).unwrap();
    for n in 0..40u64 {
        use std::os::unix::fs::FileExt;
        sparse.write_all_at(b"here", n * 20_000).unwrap();
    }
    std::os::unix::fs::symlink("a/small", top.join("link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(100), top.join("dangling")).unwrap();
    std::os::unix::fs::symlink("loop", top.join("loop")).unwrap();
    fs::hard_link(top.join("a/small"), top.join("again")).unwrap();
    for n in 0..names {
        let name = format!("many/a-name-of-some-length-so-that-blocks-fill-{n}");
        fs::write(top.join(name), "").unwrap();
    }
    let top = top.to_str().unwrap().to_owned();
    let image = mke2fs(size, &[options, &["-d", &top]].concat());
    // -D gives directories the index that mke2fs does not make.
    let out = Command::new("e2fsck").args(["-f", "-y", "-D"]).arg(&image.path).output().unwrap();
    assert!(out.status.code() < Some(4), "{}", String::from_utf8_lossy(&out.stdout));
    image
}

/// Bytes that are not all alike.
pub(crate) fn content(len: u32) -> Vec<u8> {
    (0..len).map(|n| (n / 256 * 7 + n) as u8).collect()
}

/// Opens an image for reading and writing.
pub(crate) fn open(path: &Path) -> banger_ext4::FileDisk {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    banger_ext4::FileDisk::new(file).unwrap()
}
