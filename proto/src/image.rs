//! An image: a base root filesystem, its kernel, and its work seed.

use std::path::PathBuf;

use crate::{ImageName, Invalid, Mib, VmName, wire::daemon as wire};

/// An image as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// A new one for every import, so that a name used again is told apart.
    pub id: String,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Size of the root filesystem.
    pub rootfs_size: Mib,
    /// Bytes that its files take on the host.
    pub allocated_bytes: u64,
    /// Kernel release; empty when not known.
    pub kernel_release: String,
    /// Whether it has an initial RAM disk.
    pub has_initrd: bool,
    /// Size of the work seed.
    pub work_seed_size: Option<Mib>,
    /// Where it came from, for people.
    pub source: String,
    /// Folder on the host with its files.
    pub directory: PathBuf,
    /// VMs that use it.
    pub used_by: Vec<VmName>,
}

/// What `image build` can make an image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Debian's packages.
    Debian {
        /// `bookworm`, `trixie`, ...
        suite: String,
        /// A mirror instead of the build tool's own default.
        mirror: Option<String>,
    },
}

impl TryFrom<wire::Image> for Image {
    type Error = Invalid;

    fn try_from(wire: wire::Image) -> Result<Self, Invalid> {
        Ok(Self {
            name: wire.name.parse()?,
            id: wire.id,
            created_at: wire.created_at,
            rootfs_size: Mib::new(wire.rootfs_size_mib)?,
            allocated_bytes: wire.allocated_bytes,
            kernel_release: wire.kernel_release,
            has_initrd: wire.has_initrd,
            work_seed_size: match wire.work_seed_size_mib {
                0 => None,
                mib => Some(Mib::new(mib)?),
            },
            source: wire.source,
            directory: wire.directory.into(),
            used_by: wire.used_by.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Image> for wire::Image {
    fn from(image: Image) -> Self {
        Self {
            name: image.name.to_string(),
            id: image.id,
            created_at: image.created_at,
            rootfs_size_mib: image.rootfs_size.get(),
            allocated_bytes: image.allocated_bytes,
            kernel_release: image.kernel_release,
            has_initrd: image.has_initrd,
            work_seed_size_mib: image.work_seed_size.map_or(0, Mib::get),
            source: image.source,
            directory: image.directory.to_string_lossy().into_owned(),
            used_by: image.used_by.iter().map(ToString::to_string).collect(),
        }
    }
}
