//! The folders of images: `DATA/images/NAME/image.json` with its disks and kernel beside it.

use std::path::{Path, PathBuf};

use banger_proto::ImageName;
use banger_proto::paths::private_directory;

use super::claims::Claims;
use super::document::DocumentError;
use super::staging::{self, Discarded, Staging, StoreError};
use super::{ImageRecord, document};

/// The files of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles {
    directory: PathBuf,
}

impl ImageFiles {
    /// The files in `directory`.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The folder of all of them.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.directory.join("image.json")
    }

    /// The root filesystem; never written once the image is finished.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs.ext4")
    }

    /// The contents of the image's `/root`.
    #[must_use]
    pub fn work_seed(&self) -> PathBuf {
        crate::disk::work_seed_path(&self.rootfs())
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// The kernel inside the kernel, once something needed it.
    #[must_use]
    pub fn vmlinux(&self) -> PathBuf {
        self.directory.join("vmlinux")
    }

    /// What is known of it.
    #[must_use]
    pub fn vmlinux_facts(&self) -> PathBuf {
        self.directory.join("vmlinux.json")
    }

    /// The initial RAM disk that was made for it, where it needs one.
    #[must_use]
    pub fn vmlinux_initrd(&self) -> PathBuf {
        self.directory.join("vmlinux.initrd")
    }

    /// The image's own initial RAM disk.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }
}

/// All images of the user.
#[derive(Debug, Clone)]
pub struct Images {
    parent: PathBuf,
    claims: Claims,
}

impl Images {
    /// The images in the data folder.
    #[must_use]
    pub fn in_data(data: &Path) -> Self {
        Self { parent: data.join("images"), claims: Claims::default() }
    }

    /// The files of an image.
    #[must_use]
    pub fn files(&self, name: &ImageName) -> ImageFiles {
        ImageFiles { directory: self.parent.join(name.as_str()) }
    }

    /// What is being made or removed now.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The folder that holds all of them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.parent
    }

    /// Begins the folder of a new image.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self) -> Result<Staging, StoreError> {
        private_directory(&self.parent)?;
        Staging::begin(&self.parent, &self.claims)
    }

    /// Writes the record into a begun folder and gives the folder its final name.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is an image of that name; nothing is left then.
    pub fn finish(&self, staging: Staging, record: &ImageRecord) -> Result<(), StoreError> {
        document::write_new(&ImageFiles::in_directory(staging.path()).record(), record)?;
        staging.finish(self.files(&record.name).directory())
    }

    /// The record of an image, `None` when there is no such image.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn get(&self, name: &ImageName) -> Result<Option<ImageRecord>, StoreError> {
        match document::read::<ImageRecord>(&self.files(name).record()) {
            Ok(record) => Ok(Some(ImageRecord { name: name.clone(), ..record })),
            Err(DocumentError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All images, sorted by name. What is no image, or cannot be read, is logged and
    /// left out.
    ///
    /// # Errors
    /// When the folder of images cannot be listed.
    pub fn list(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let mut images = Vec::new();
        for name in staging::names(&self.parent)? {
            let Ok(name) = name.parse() else { continue };
            match self.get(&name) {
                Ok(Some(image)) => images.push(image),
                Ok(None) => {}
                Err(error) => tracing::warn!(image = %name, %error, "cannot read an image"),
            }
        }
        Ok(images)
    }

    /// Removes an image with all its files; their space is free when the result has been freed.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, name: &ImageName) -> Result<Discarded, StoreError> {
        staging::discard(self.files(name).directory(), &self.claims)
    }
}
