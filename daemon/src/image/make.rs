//! A new image from a tar stream, wherever it comes from: all of it in a folder that gets
//! its name when it is whole.

use std::process::Stdio;
use std::sync::Arc;

use banger_proto::{Code, Image, ImageName, Mib, Refusal};

use super::finish::{Overrides, extract_kernel};
use super::take_in::Worker;
use crate::context::now;
use crate::disk::{self, DiskError};
use crate::progress::Teller;
use crate::store::{ImageFiles, ImageRecord, Staging};
use crate::verb::{blocking, disk_refusal, image_view, store_refusal};
use crate::vm::Registry;

/// An image that is being made.
pub(super) struct Making {
    registry: Arc<Registry>,
    teller: Teller<Image>,
    name: ImageName,
    size: Mib,
    source: String,
    staging: Staging,
}

fn seed_refusal(error: &DiskError) -> Refusal {
    match error {
        DiskError::Filesystem { source: banger_ext4::Error::TooLarge { .. }, .. } => {
            Refusal::from_error(Code::InvalidArgument, error).hint(
                "/root of an image goes into every VM's work disk: what is large or deep belongs \
                 elsewhere in it",
            )
        }
        _ => disk_refusal(error),
    }
}

fn taken(name: &ImageName) -> Refusal {
    Refusal::new(Code::AlreadyExists, format!("there is an image {name} already"))
        .hint(format!("choose another name, or remove that one: banger image rm {name}"))
}

impl Making {
    /// Begins, unless the name is taken already.
    pub(super) async fn begin(
        registry: Arc<Registry>,
        teller: Teller<Image>,
        name: ImageName,
        size: Option<Mib>,
        tar_bytes: Option<u64>,
        source: String,
    ) -> Result<Self, Refusal> {
        let size = size.map_or_else(|| Mib::new(disk::default_rootfs_size(tar_bytes)), Ok)?;
        let (context, wanted) = (registry.context().clone(), name.clone());
        let staging = blocking(move || {
            if context.images.files(&wanted).directory().exists() {
                return Err(taken(&wanted));
            }
            context.images.begin().map_err(|error| store_refusal(&error))
        })
        .await?;
        Ok(Self { registry, teller, name, size, source, staging })
    }

    fn files(&self) -> ImageFiles {
        ImageFiles::in_directory(self.staging.path())
    }

    /// Starts the worker that fills the root filesystem.
    pub(super) fn worker(&self, input: Stdio) -> Result<Worker, Refusal> {
        Worker::start(&self.files().rootfs(), self.size.bytes(), input)
    }

    /// Makes the rest of the image when its root filesystem is filled, with the kernel and the
    /// initial RAM disk that the user gave.
    pub(super) async fn finish(
        self,
        kernel: Option<Vec<u8>>,
        initrd: Option<Vec<u8>>,
    ) -> Result<Image, Refusal> {
        let files = self.files();
        let extracted = files.clone();
        let extract = move || {
            let given = Overrides { kernel: kernel.as_deref(), initrd: initrd.as_deref() };
            extract_kernel(&extracted, given)
        };
        let booting = self.teller.stage("extract_kernel", "", blocking(extract)).await?;
        let seed = move || {
            disk::build_work_seed(&files.rootfs(), &files.work_seed())
                .map_err(|error| seed_refusal(&error))
        };
        let seed_bytes = self.teller.stage("build_work_seed", "", blocking(seed)).await?;
        let record = ImageRecord {
            id: uuid::Uuid::new_v4().to_string(),
            name: self.name.clone(),
            created_at: now(),
            rootfs_size: self.size,
            kernel_release: booting.kernel_release,
            has_initrd: booting.has_initrd,
            initrd_was_given: booting.initrd_was_given,
            work_seed_mib: seed_bytes >> 20,
            source: self.source,
        };
        let (context, staging) = (self.registry.context().clone(), self.staging);
        let (saved, name) = (record.clone(), self.name);
        let finish = blocking(move || {
            context.images.finish(staging, &saved).map_err(|error| match error {
                crate::store::StoreError::Exists { .. } => taken(&name),
                error => store_refusal(&error),
            })
        });
        self.teller.stage("finish_image", "making it durable", finish).await?;
        tracing::info!(image = %record.name, source = record.source, "made");
        Ok(image_view(&self.registry, record))
    }
}
