//! Folders of the host: admitted when a VM is made, looked at again when it starts.

use banger_proto::paths::Paths;
use banger_proto::{Code, ImageName, Refusal, Share};

use super::{blocking, disk_refusal, store_refusal};
use crate::causes::with_causes;
use crate::config::Settings;
use crate::context::Context;
use crate::disk;
use crate::share::{self, Folder, Forbidden, ShareError};

/// The shares of a new VM, their folders without links, when this host and the image's kernel can
/// have them.
pub(super) async fn admit(
    context: &std::sync::Arc<Context>,
    settings: &Settings,
    image: &ImageName,
    shares: Vec<Share>,
) -> Result<Vec<Share>, Refusal> {
    let Some(first) = shares.first().cloned() else { return Ok(shares) };
    let (held, name) = (context.clone(), image.clone());
    let admitted = blocking(move || {
        let forbidden = Forbidden::of(&held.paths);
        let admitted = shares.iter().map(|share| {
            share::admit(share, &forbidden).map_err(|source| {
                let directory = share.directory.clone();
                refusal(&ShareError::Folder { directory, source })
            })
        });
        let admitted = admitted.collect::<Result<Vec<_>, _>>()?;
        of_image(&held, &name, &admitted)?;
        Ok(admitted)
    })
    .await?;
    let host = context.host(settings).await?;
    share::probe(&host.finder, &host.walls)
        .await
        .map_err(|error| instead(refusal(&error), "VM", &first))?;
    Ok(admitted)
}

/// Whether a guest of this image can mount them.
fn of_image(context: &Context, name: &ImageName, shares: &[Share]) -> Result<(), Refusal> {
    let Some(image) = context.images.get(name).map_err(|error| store_refusal(&error))? else {
        return Ok(());
    };
    let rootfs = context.images.files(name).rootfs();
    let failed = |error| disk_refusal(&error);
    let facts = disk::kernel_facts(&rootfs, &image.kernel_release).map_err(failed)?;
    if let (Err(why), Some(first)) = (share::check_kernel(&facts), shares.first()) {
        let mut refusal = Refusal::new(
            Code::FailedPrecondition,
            format!("a guest of the image {name} cannot have folders of this computer"),
        );
        refusal.chain.push(why.to_string());
        return Err(instead(refusal, "VM", first));
    }
    for share in shares {
        if disk::is_taken(&rootfs, &share.path).map_err(failed)? {
            let path = &share.path;
            return Err(Refusal::new(
                Code::InvalidArgument,
                format!("{path} is something else than a folder in the image {name}"),
            )
            .hint("choose another place for it in the guest"));
        }
    }
    Ok(())
}

/// The folders of a VM that starts: each is what it was when the VM was made.
pub(crate) fn open(paths: &Paths, vm: &str, shares: &[Share]) -> Result<Vec<Folder>, Refusal> {
    if shares.is_empty() {
        return Ok(Vec::new());
    }
    let forbidden = Forbidden::of(paths);
    let open = |share: &Share| {
        share::open(share, &forbidden).map_err(|source| {
            let directory = share.directory.clone();
            let refusal = refusal(&ShareError::Folder { directory, source });
            Refusal { code: Code::FailedPrecondition, ..refusal }.hint(format!(
                "put the folder {} back, or make the VM anew without it: banger vm rm {vm}",
                share.directory
            ))
        })
    };
    shares.iter().map(open).collect()
}

/// Why a folder is not shared, as callers see it.
pub(crate) fn refusal(error: &ShareError) -> Refusal {
    let code = match error {
        ShareError::Folder { .. } => Code::InvalidArgument,
        ShareError::Missing(_) | ShareError::NoWalls(_) | ShareError::Barred(_) => {
            Code::FailedPrecondition
        }
        _ => Code::Internal,
    };
    let refusal = Refusal::from_error(code, error);
    match error {
        ShareError::Ended { log, .. } => {
            let said = log.lines().map(str::to_owned).collect::<Vec<_>>();
            Refusal { chain: [said, refusal.chain].concat(), ..refusal }
        }
        ShareError::Barred(why) if with_causes(why).contains("sub") => refusal.hint(
            "give yourself subordinate ids: sudo usermod --add-subuids 100000-165535 \
             --add-subgids 100000-165535 $USER",
        ),
        _ => refusal,
    }
}

/// With the way to have what is in the folder all the same.
fn instead(refusal: Refusal, vm: &str, share: &Share) -> Refusal {
    let Share { directory, path, .. } = share;
    let quoted =
        |text: &str| match text.contains(|c: char| !c.is_alphanumeric() && !"/._-+".contains(c)) {
            true => format!("'{}'", text.replace('\'', "'\\''")),
            false => text.to_owned(),
        };
    let (directory, target) = (quoted(directory), quoted(path));
    let way =
        format!("make it without -v and send the folder: banger sync {directory} {vm}:{target}");
    match refusal.hint.as_str() {
        "" => refusal.hint(way),
        hint => {
            let hint = format!("{hint}; or {way}");
            refusal.hint(hint)
        }
    }
}
