//! A Debian root filesystem as a tar, made once by the product's own recipe and kept.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use bangerd::image::build::DebianImage;

use crate::owner::{Account, Owner};
use crate::{root, skip};

/// The suite that guests in tests run.
pub const SUITE: &str = "bookworm";

/// The tar in `cache`, made when its recipe has changed or it is absent; `None`, with the
/// skip noted, where it cannot be made. The caller holds the cache's lock.
pub fn tar(account: &Account, cache: &Path) -> Option<PathBuf> {
    let arguments = DebianImage::new(SUITE, None).expect("the suite is a suite").arguments();
    made(account, cache, "debian", &arguments)
}

/// The same of any recipe: mmdebstrap's arguments, with which it prints a tar. In the cache it is
/// called `name` and a hash.
pub fn made(account: &Account, cache: &Path, name: &str, arguments: &[String]) -> Option<PathBuf> {
    for (program, package) in [("mmdebstrap", "mmdebstrap"), ("newuidmap", "uidmap")] {
        if !root::has(program) {
            skip(&format!("{program} is missing (apt-get install {package})"));
            return None;
        }
    }
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    let tar = cache.join(format!("{name}-{:016x}.tar", hasher.finish()));
    if tar.exists() {
        return Some(tar);
    }
    let unfinished = cache.join(format!("{name}.tar.unfinished"));
    let owner = Owner::new()?;
    let made = owner
        .command("env")
        .arg("TMPDIR=/var/tmp")
        .arg("mmdebstrap")
        .args(arguments)
        .stdout(File::create(&unfinished).expect("the cache can be written"))
        .output()
        .expect("mmdebstrap can be started");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "mmdebstrap failed as {}:\n{said}", account.name);
    for entry in fs::read_dir(cache).unwrap().filter_map(Result::ok) {
        let old = entry.file_name().to_string_lossy().into_owned();
        if old.starts_with(&format!("{name}-")) && old.ends_with(".tar") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::rename(unfinished, &tar).unwrap();
    Some(tar)
}
