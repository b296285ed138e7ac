//! Images of guests for a machine's own VMs, on its third disk: each a folder as bangerd keeps it, of the first
//! ordinary user.

use std::fs::File;
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, FileDisk, Flush, FormatOptions, HostTree, Ownership, Timestamp,
};

use super::cache::{Cache, Kind, key};
use crate::guest_image::{self, Image};
use crate::image::path;

/// Bytes of the disk, whatever it holds: the machine saw its size before it was saved.
const SIZE: u64 = 4 << 30;
/// The first that useradd gives.
const USER: u32 = 1000;

/// The kind of part in the cache.
const KIND: Kind = Kind::of_a_build("testbed-guests");

/// An image that a machine's guests can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestImage {
    /// Debian, called `debian`.
    Debian,
    /// The small one, called `tiny`.
    Tiny,
}

/// The disk with these; `None`, with the skip noted, where one of them cannot be made.
pub(super) fn disk(images: &[GuestImage]) -> Option<File> {
    if images.is_empty() {
        let file = tempfile::tempfile_in("/var/tmp").expect("a file can be made in /var/tmp");
        file.set_len(SIZE).expect("a file can be made longer");
        return Some(file);
    }
    let mut folders = Vec::new();
    for image in images {
        folders.push(guest_image::folder(match image {
            GuestImage::Debian => Image::Plain,
            GuestImage::Tiny => Image::Tiny,
        })?);
    }
    let cache = Cache::open()?;
    let names: Vec<_> = folders.iter().map(|folder| folder.to_string_lossy()).collect();
    let key = key(names.iter().map(|name| name.as_bytes()));
    cache.lock_for_making();
    let part = cache.part(KIND, &key);
    if part.exists() {
        Cache::touch(&part);
    } else {
        cache.make(KIND, &key, |part| {
            let file = File::create_new(part.join("disk")).expect("the cache can be written");
            file.set_len(SIZE).expect("a file can be made longer");
            let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
            let options = FormatOptions {
                zeroed: true,
                ..FormatOptions::new(*b"banger's  guests", *b"the guests'   :)", now)
            };
            let disk = Arc::new(FileDisk::new(file).expect("the file has a length"));
            let mut batch = Batch::create(disk, &options).expect("a file can be formatted");
            for folder in &folders {
                let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
                let to = path(format!("/{name}"));
                let attributes = Attributes { mode: 0o700, uid: USER, gid: USER };
                batch.make_directory(&to, attributes).expect("there is room");
                let mut tree = HostTree::open(folder).expect("the image is there");
                batch.ingest(&to, &mut tree, Ownership::To(USER, USER)).expect("there is room");
            }
            batch.commit(Flush::ProcessSafe).expect("the file can be written");
        });
    }
    let file = File::open(part.join("disk")).expect("it was made");
    cache.unlock();
    Some(file)
}
