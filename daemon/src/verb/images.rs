//! `image ls`, `image inspect`, `image rm`.

use std::sync::Arc;

use banger_proto::{Code, Image, ImageName, Mib, Refusal};

use super::{blocking, store_refusal};
use crate::store::{ImageRecord, allocated_bytes};
use crate::vm::Registry;

/// An image as people see it.
pub(crate) fn image_view(registry: &Registry, record: ImageRecord) -> Image {
    let files = registry.context().images.files(&record.name);
    Image {
        used_by: registry.users_of(&record.name),
        allocated_bytes: allocated_bytes(files.directory()),
        directory: files.directory().to_owned(),
        name: record.name,
        id: record.id,
        created_at: record.created_at,
        rootfs_size: record.rootfs_size,
        kernel_release: record.kernel_release,
        has_initrd: record.has_initrd,
        work_seed_size: Mib::new(record.work_seed_mib).ok(),
        source: record.source,
    }
}

/// All images, sorted by name.
///
/// # Errors
/// When they cannot be listed.
pub fn list_images(registry: &Registry) -> Result<Vec<Image>, Refusal> {
    let images = registry.context().images.list().map_err(|error| store_refusal(&error))?;
    Ok(images.into_iter().map(|image| image_view(registry, image)).collect())
}

fn missing(name: &ImageName) -> Refusal {
    Refusal::new(Code::NotFound, format!("there is no image {name}"))
        .hint("see which there are: banger image ls")
}

/// One image.
///
/// # Errors
/// [`Code::NotFound`] when there is none of that name.
pub fn get_image(registry: &Registry, name: &ImageName) -> Result<Image, Refusal> {
    let record = registry.context().images.get(name).map_err(|error| store_refusal(&error))?;
    record.map(|record| image_view(registry, record)).ok_or_else(|| missing(name))
}

/// Removes an image.
///
/// # Errors
/// [`Code::FailedPrecondition`] while a VM uses it.
pub async fn remove_image(registry: &Arc<Registry>, name: &ImageName) -> Result<(), Refusal> {
    // No VM begins to use it in between.
    let _gate = registry.gate().await;
    let users = registry.users_of(name);
    if let Some(first) = users.first() {
        let all = users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(
            Code::FailedPrecondition,
            format!("the image {name} is used by {all}"),
        )
        .hint(format!("remove the VMs that use it first: banger vm rm {first}")));
    }
    let (context, gone) = (registry.context().clone(), name.clone());
    let discarded = blocking(move || {
        // One whose record cannot be read can be removed too.
        if !context.images.files(&gone).directory().is_dir() {
            return Err(missing(&gone));
        }
        context.images.remove(&gone).map_err(|error| store_refusal(&error))
    })
    .await?;
    tokio::task::spawn_blocking(move || discarded.free());
    tracing::info!(image = %name, "removed");
    Ok(())
}
