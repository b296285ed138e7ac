//! What the end-to-end suites share.

pub mod crash;
pub mod debian;
pub mod engine;
pub mod fsck;
pub mod guest_image;
pub mod image;
pub mod initrd;
pub mod kernel;
mod landlock;
pub mod manifest;
pub mod owner;
pub mod profile;
pub mod random_batch;
pub mod recorder;
pub mod root;
pub mod scenes;
mod skip;
pub mod small_disk;
pub mod testbed;
pub mod tiny;
pub mod unpacked;
pub mod wrong;

use std::path::{Path, PathBuf};

pub use landlock::has_landlock;
pub use skip::skip;

/// The folder of the programs that this build made.
pub fn built() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own path");
    // Tests lie in target/<profile>/deps, programs above.
    let folder = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    folder.expect("a program lies in a folder").to_owned()
}

/// The repository's top folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the repository")
        .to_owned()
}
