//! From a root filesystem to an image: its kernel, its work seed, its record.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use banger_ext4::{Filesystem, ImagePath};
use banger_proto::{Code, Refusal};

use super::boot_files::{self, BootFiles};
use super::kernel::{self, Kernel};
use crate::disk::{self, DiskError};
use crate::store::ImageFiles;
use crate::verb::{OnHost, disk_refusal};

/// Largest kernel and initial RAM disk that are taken, in bytes.
const LARGEST: u64 = 1 << 30;
/// Most names of a directory that are looked at.
const MOST_NAMES: u64 = 10_000;

/// Kernel and initial RAM disk that the user gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overrides<'a> {
    pub(super) kernel: Option<&'a [u8]>,
    pub(super) initrd: Option<&'a [u8]>,
}

/// What an image boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Booting {
    /// Release of the kernel; empty when it is not known.
    pub(super) kernel_release: String,
    pub(super) has_initrd: bool,
    /// Whether the user gave it.
    pub(super) initrd_was_given: bool,
}

/// Puts the kernel and the initial RAM disk beside the root filesystem: those of the
/// user, else those in the image's own `/boot`. A kernel of the user's boots with the
/// user's initial RAM disk or without one: the image's own belongs to another kernel.
pub(super) fn extract_kernel(files: &ImageFiles, given: Overrides<'_>) -> Result<Booting, Refusal> {
    let mut has_initrd = false;
    if let Some(initrd) = given.initrd {
        write_new(&files.initrd(), initrd)?;
        has_initrd = true;
    }
    if let Some(bytes) = given.kernel {
        write_new(&files.kernel(), bytes)?;
    } else {
        let rootfs = files.rootfs();
        let image = disk::open_filesystem(&rootfs).map_err(|error| disk_refusal(&error))?;
        let found = find(&image).map_err(|source| unreadable(&rootfs, source))?;
        let BootFiles { kernel, initrd } = found.ok_or_else(|| {
            Refusal::new(Code::FailedPrecondition, "there is no kernel in the image's /boot")
                .hint("install one in the image, or give one with --kernel and --initrd")
        })?;
        extract(&image, &kernel, &files.kernel())?;
        if let (Some(initrd), None) = (initrd, given.initrd) {
            extract(&image, &initrd, &files.initrd())?;
            has_initrd = true;
        }
    }
    let mut head = Vec::new();
    File::open(files.kernel())
        .and_then(|file| file.take(64 << 10).read_to_end(&mut head))
        .on_host("read the kernel")?;
    let kernel_release = match kernel::recognise(&head) {
        Some(Kernel::BzImage(release)) => release.unwrap_or_default(),
        Some(Kernel::Elf) => String::new(),
        None => {
            return Err(Refusal::new(
                Code::FailedPrecondition,
                "the kernel is none that a VM of this kind can boot",
            )
            .hint("a bzImage (vmlinuz) for x86-64 is needed"));
        }
    };
    Ok(Booting { kernel_release, has_initrd, initrd_was_given: given.initrd.is_some() })
}

fn unreadable(rootfs: &Path, source: banger_ext4::Error) -> Refusal {
    disk_refusal(&DiskError::Filesystem { action: "read", path: rootfs.to_owned(), source })
}

fn find(image: &Filesystem) -> banger_ext4::Result<Option<BootFiles>> {
    let names = |path: &str| match image.read_dir(&ImagePath::new(path)?, MOST_NAMES) {
        Ok(items) => Ok(items
            .into_iter()
            .filter_map(|item| String::from_utf8(item.name).ok())
            .collect::<Vec<_>>()),
        Err(banger_ext4::Error::NotFound { .. } | banger_ext4::Error::WrongType { .. }) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    };
    Ok(boot_files::choose(&names("/boot")?, &names("/")?))
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    new_file(path).and_then(|mut file| file.write_all(bytes)).on_host("write the kernel")
}

fn extract(image: &Filesystem, from: &str, to: &Path) -> Result<(), Refusal> {
    let mut file = new_file(to).on_host("write the kernel")?;
    ImagePath::new(from)
        .and_then(|path| image.read_file_to(&path, LARGEST, &mut file))
        .map(drop)
        .map_err(|error| {
            Refusal {
                message: format!("cannot take {from} out of the image"),
                chain: vec![error.to_string()],
                ..Refusal::from_error(Code::FailedPrecondition, &error)
            }
            .hint("give a kernel of your own with --kernel and --initrd")
        })
}
