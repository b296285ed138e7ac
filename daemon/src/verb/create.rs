//! `vm create`: a record and the VM's keys; no disk yet.

use std::sync::Arc;

use banger_proto::{
    Code, Cpus, ImageName, Isolation, Mib, NewVm, Refusal, Vm, VmId, VmName, VmState,
};

use super::{admission, blocking, host_memory, names::made_up, store_refusal};
use crate::context::now;
use crate::keys;
use crate::spawn::ProcessId;
use crate::store::{ImageRecord, ImageRef, Phase, VmFiles, VmRecord};
use crate::vm::Registry;

/// Makes a VM. An ephemeral one is removed with the process `holder`.
///
/// # Errors
/// [`Code::AlreadyExists`] for a taken name, [`Code::NotFound`] for an unknown image,
/// [`Code::ResourceExhausted`] for more memory than the host has.
pub async fn create_vm(
    registry: &Arc<Registry>,
    new: NewVm,
    holder: Option<ProcessId>,
) -> Result<Vm, Refusal> {
    if let (Some(wanted), false) = (new.memory, new.force) {
        admission::memory_at_all(wanted, host_memory::now())?;
    }
    // Names are given, and images chosen, by one at a time.
    let _gate = registry.gate().await;
    let context = registry.context().clone();
    let image = {
        let context = context.clone();
        let wanted = new.image.clone();
        blocking(move || {
            let images = context.images.list().map_err(|error| store_refusal(&error))?;
            choose_image(&images, wanted.as_ref())
        })
        .await?
    };
    let id = VmId::random();
    let name = choose_name(id, new.name, |name| registry.named(name).is_some())?;
    let record = VmRecord {
        id,
        name,
        image,
        isolation: Isolation::Rootless,
        cpus: new.cpus.map_or_else(default_cpus, Ok)?,
        memory: new.memory.map_or_else(default_memory, Ok)?,
        disk: new.disk.map_or_else(|| Mib::new(8 << 10), Ok)?,
        created_at: now(),
        ephemeral: new.ephemeral,
        holder: holder.filter(|_| new.ephemeral),
        booted: false,
        phase: Phase::Created {},
    };
    let saved = record.clone();
    blocking(move || {
        let staging = context.vms.begin().map_err(|error| store_refusal(&error))?;
        let files = VmFiles::in_directory(staging.path());
        let keys = keys::make(&format!("banger:{}", saved.name))
            .map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        files.write_keys(&keys, saved.id).map_err(|error| store_refusal(&error))?;
        context.vms.finish(staging, &saved).map_err(|error| store_refusal(&error))
    })
    .await?;
    tracing::info!(vm = %record.name, id = %record.id, image = %record.image.name, "created");
    debug_assert_eq!(record.phase.state(), VmState::Created);
    Ok(registry.adopt(record).view())
}

fn choose_image(images: &[ImageRecord], wanted: Option<&ImageName>) -> Result<ImageRef, Refusal> {
    let names = || images.iter().map(|image| image.name.to_string()).collect::<Vec<_>>().join(", ");
    let chosen = match (wanted, images) {
        (_, []) => {
            return Err(Refusal::new(Code::FailedPrecondition, "there is no image yet")
                .hint("make one: banger image build debian --debian bookworm"));
        }
        (Some(name), images) => {
            images.iter().find(|image| image.name == *name).ok_or_else(|| {
                Refusal::new(Code::NotFound, format!("there is no image {name}"))
                    .hint(format!("there are: {}", names()))
            })?
        }
        (None, [only]) => only,
        (None, _) => {
            return Err(Refusal::new(Code::InvalidArgument, "there is more than one image")
                .hint(format!("choose one with --image: {}", names())));
        }
    };
    Ok(ImageRef { name: chosen.name.clone(), id: chosen.id.clone() })
}

fn choose_name(
    id: VmId,
    wanted: Option<VmName>,
    taken: impl Fn(&VmName) -> bool,
) -> Result<VmName, Refusal> {
    match wanted {
        Some(name) if taken(&name) => {
            Err(Refusal::new(Code::AlreadyExists, format!("there is a VM {name} already"))
                .hint(format!("choose another name, or remove that one: banger vm rm {name}")))
        }
        Some(name) => Ok(name),
        None => (0..=u32::MAX)
            .map_while(|attempt| made_up(id, attempt))
            .find(|name| !taken(name))
            .ok_or_else(|| {
                Refusal::new(Code::ResourceExhausted, "every name is taken")
                    .hint("choose one with --name")
            }),
    }
}

/// Two processors where the host has two.
fn default_cpus() -> Result<Cpus, Refusal> {
    let host = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Cpus::new(if host >= 2 { 2 } else { 1 })?)
}

/// A GiB, or a quarter of what a small host has.
fn default_memory() -> Result<Mib, Refusal> {
    Ok(Mib::new(memory_for(host_memory::now().map(|host| host.total)))?)
}

fn memory_for(host_mib: Option<u64>) -> u64 {
    host_mib.map_or(1024, |host| (host / 4).clamp(256, 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> ImageRecord {
        ImageRecord {
            id: format!("id of {name}"),
            name: name.parse().unwrap(),
            created_at: 0,
            rootfs_size: Mib::new(1).unwrap(),
            kernel_release: String::new(),
            has_initrd: false,
            work_seed_mib: 0,
            source: String::new(),
        }
    }

    #[test]
    fn the_only_image_is_the_default() {
        let (a, b) = (image("a"), image("b"));
        let name = |name: &str| Some(name.parse::<ImageName>().unwrap());
        let choose = |images: &[ImageRecord], wanted: Option<ImageName>| {
            choose_image(images, wanted.as_ref())
                .map(|image| image.id)
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(choose(&[], None), Err(Code::FailedPrecondition));
        assert_eq!(choose(&[], name("a")), Err(Code::FailedPrecondition));
        assert_eq!(choose(std::slice::from_ref(&a), None), Ok("id of a".into()));
        assert_eq!(choose(&[a.clone(), b.clone()], None), Err(Code::InvalidArgument));
        assert_eq!(choose(&[a.clone(), b], name("b")), Ok("id of b".into()));
        assert_eq!(choose(&[a], name("c")), Err(Code::NotFound));
    }

    #[test]
    fn a_name_is_the_wanted_one_or_a_free_one() {
        let id = VmId::random();
        let web: VmName = "web".parse().unwrap();
        assert_eq!(choose_name(id, Some(web.clone()), |_| false).unwrap(), web);
        let taken = choose_name(id, Some(web.clone()), |name| *name == web).unwrap_err();
        assert_eq!(taken.code, Code::AlreadyExists);
        let first = choose_name(id, None, |_| false).unwrap();
        let second = choose_name(id, None, |name| *name == first).unwrap();
        assert_eq!(second.to_string(), format!("{first}-1"));
    }

    #[test]
    fn memory_follows_the_host() {
        assert_eq!(memory_for(None), 1024);
        assert_eq!(memory_for(Some(24_079)), 1024);
        assert_eq!(memory_for(Some(2000)), 500);
        assert_eq!(memory_for(Some(100)), 256);
    }
}
