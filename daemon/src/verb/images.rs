//! `image ls`, `image inspect`, `image rm`.

use std::sync::Arc;

use banger_proto::{Code, Image, ImageName, Mib, Refusal};

use super::{blocking, nearest, store_refusal};
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

fn missing(registry: &Registry, name: &ImageName) -> Refusal {
    // Images that cannot be listed have no names to offer.
    let images = registry.context().images.list().unwrap_or_default();
    let names = images.into_iter().map(|image| image.name.to_string());
    let hint = nearest(name.as_str(), names).map_or_else(
        || "see which there are: banger image ls".to_owned(),
        |name| format!("did you mean {name}? See which there are: banger image ls"),
    );
    Refusal::new(Code::NotFound, format!("there is no image {name}")).hint(hint)
}

/// One image.
///
/// # Errors
/// [`Code::NotFound`] when there is none of that name.
pub fn get_image(registry: &Registry, name: &ImageName) -> Result<Image, Refusal> {
    let record = registry.context().images.get(name).map_err(|error| store_refusal(&error))?;
    record.map(|record| image_view(registry, record)).ok_or_else(|| missing(registry, name))
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
    let (all, gone) = (registry.clone(), name.clone());
    let discarded = blocking(move || {
        let context = all.context();
        // One whose record cannot be read can be removed too.
        if !context.images.files(&gone).directory().is_dir() {
            return Err(missing(&all, &gone));
        }
        context.images.remove(&gone).map_err(|error| store_refusal(&error))
    })
    .await?;
    tokio::task::spawn_blocking(move || discarded.free());
    tracing::info!(image = %name, "removed");
    Ok(())
}
