//! An image that was changed, held against every judge.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{FileDisk, ImagePath};

use crate::{engine, fsck, kernel, manifest};

/// Opens an image file for reading and writing.
pub fn disk(image: &Path) -> Arc<FileDisk> {
    let file = File::options().read(true).write(true).open(image).expect("the image can be opened");
    Arc::new(FileDisk::new(file).expect("the image has a length"))
}

/// A path that is known to be right.
pub fn path(text: impl AsRef<[u8]>) -> ImagePath {
    ImagePath::new(text).expect("a right path")
}

/// Panics unless e2fsck has nothing to say, the kernel reads what we read, and the
/// kernel can work on the image (which changes it). Gives back the manifest.
/// Where the kernel cannot be asked, e2fsck alone judges.
pub fn assert_right(image: &Path) -> Vec<String> {
    fsck::assert_clean(image);
    let ours = engine::tree(image);
    if let Some(reason) = kernel::missing() {
        crate::skip(reason);
        return ours;
    }
    let theirs = kernel::assert_workable(image);
    manifest::assert_same(("our reader", &ours), ("the kernel", &theirs));
    ours
}
