//! `vm create`: a record and the VM's keys; no disk yet.

use std::sync::Arc;

use banger_proto::{
    Code, ImageName, Isolation, Network, NewVm, Refusal, Vm, VmId, VmName, VmRef, VmState,
};

use super::choose_vmm::{Wanted, choose_vmm};
use super::{admission, blocking, host_memory, names::made_up, nearest, shares, store_refusal};
use crate::config::Set;
use crate::context::now;
use crate::spawn::ProcessId;
use crate::store::{ImageRecord, ImageRef, OwnInitrd, Phase, VmFiles, VmRecord};
use crate::system::{Helper, Offer};
use crate::vm::Registry;
use crate::{keys, net};

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
    net::refuse_privileged(&new.publish)?;
    // Names are given, and images chosen, by one at a time.
    let _gate = registry.gate().await;
    let context = registry.context().clone();
    let settings = context.settings().await?;
    let memory = new.memory.unwrap_or_else(|| settings.memory());
    if !new.force {
        admission::memory_at_all(memory, host_memory::now())?;
    }
    let offer = match new.isolation {
        Some(Isolation::Rootless) => None,
        _ => Some(Helper::offer().await),
    };
    let (isolation, network) = choose_way(new.isolation, new.network, offer)?;
    let (image, initrd) = {
        let context = context.clone();
        let (wanted, usual) = (new.image.clone(), settings.image().cloned());
        blocking(move || {
            let images = context.images.list().map_err(|error| store_refusal(&error))?;
            let chosen = choose_image(&images, wanted.as_ref(), usual.as_ref())?;
            let record = images.iter().find(|image| image.id == chosen.id);
            let initrd = record.map_or(OwnInitrd::None, ImageRecord::own_initrd);
            Ok((chosen, initrd))
        })
        .await?
    };
    let shares = shares::admit(&context, &settings, &image.name, new.shares).await?;
    let cpus = new.cpus.unwrap_or_else(|| settings.cpus());
    let wanted = Wanted {
        choice: new.vmm.unwrap_or_else(|| settings.vmm()),
        isolation,
        network,
        has_shares: !shares.is_empty(),
        cpus: cpus.get().into(),
    };
    let files = context.images.files(&image.name);
    let vmm = choose_vmm(&context, &settings, wanted, &files, initrd).await?;
    let id = VmId::random();
    let name = choose_name(id, new.name, |name| {
        let reference = VmRef::Name(name.clone());
        registry.named(name).is_some() || registry.find_broken(&reference).is_some()
    })?;
    let record = VmRecord {
        id,
        name,
        image,
        isolation,
        vmm,
        cpus,
        memory,
        disk: new.disk.unwrap_or_else(|| settings.disk()),
        created_at: now(),
        ephemeral: new.ephemeral,
        expires_at: new.lifetime.or(settings.ttl()).and_then(|lifetime| lifetime.end(now())),
        network,
        publish: new.publish,
        shares,
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

/// The way and the network that are asked for, when they can be had; else the root helper's,
/// where that does what a VM needs. It is not asked for a VM that is to do without.
fn choose_way(
    isolation: Option<Isolation>,
    network: Option<Network>,
    offer: Option<Result<Offer, Refusal>>,
) -> Result<(Isolation, Network), Refusal> {
    let bridged = network == Some(Network::Bridge);
    let Some(offer) = offer else {
        if bridged {
            let message = "the bridge is the root helper's, and a rootless VM does without that";
            return Err(Refusal::new(Code::InvalidArgument, message)
                .hint("leave --isolation rootless out, or --net bridge"));
        }
        return Ok((Isolation::Rootless, network.unwrap_or_default()));
    };
    let Offer { bridge } = match offer {
        // It is not there, not this user's, or not all there, and stays so: the doctor tells.
        Err(refusal)
            if isolation.is_none()
                && !bridged
                && matches!(
                    refusal.code,
                    Code::Unavailable | Code::PermissionDenied | Code::FailedPrecondition
                ) =>
        {
            tracing::debug!(%refusal, "without the root helper");
            return Ok((Isolation::Rootless, network.unwrap_or_default()));
        }
        // What a VM is, it is for all its life: not for want of an answer just now.
        Err(refusal) if isolation.is_none() && !bridged => {
            let or = "or make a VM that does without it: --isolation rootless";
            let hint = match refusal.hint.as_str() {
                "" => format!("try again; {or}"),
                hint => format!("{hint}; {or}"),
            };
            return Err(refusal.hint(hint));
        }
        offer => offer?,
    };
    let network = match (network, bridge) {
        (Some(Network::Bridge), bridge) => bridge.map(|()| Network::Bridge)?,
        (Some(network), _) => network,
        (None, Ok(())) => Network::Bridge,
        (None, Err(refusal)) => {
            tracing::debug!(%refusal, "without the bridge");
            Network::User
        }
    };
    Ok((Isolation::System, network))
}

/// The image that is asked for, or the configured one, or the only one.
fn choose_image(
    images: &[ImageRecord],
    wanted: Option<&ImageName>,
    usual: Option<&Set<ImageName>>,
) -> Result<ImageRef, Refusal> {
    let names = || images.iter().map(|image| image.name.to_string()).collect::<Vec<_>>().join(", ");
    let chosen = match (wanted.or(usual.map(|set| &set.value)), images) {
        (_, []) => {
            return Err(Refusal::new(Code::FailedPrecondition, "there is no image yet")
                .hint("make one: banger image build debian --debian bookworm"));
        }
        (Some(name), images) => {
            images.iter().find(|image| image.name == *name).ok_or_else(|| {
                let mut missing = Refusal::new(Code::NotFound, format!("there is no image {name}"))
                    .hint(
                        match nearest(name.as_str(), images.iter().map(|i| i.name.to_string())) {
                            Some(meant) => format!("did you mean {meant}? There are: {}", names()),
                            None => format!("choose one with --image: {}", names()),
                        },
                    );
                if let (None, Some(Set { place, .. })) = (wanted, usual) {
                    let (path, line) = (place.path.display(), place.line);
                    missing.chain.push(format!("{path}:{line} names it for new VMs"));
                }
                missing
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

#[cfg(test)]
mod tests {
    use banger_proto::Mib;

    use super::*;
    use crate::config::Place;

    fn image(name: &str) -> ImageRecord {
        ImageRecord {
            id: format!("id of {name}"),
            name: name.parse().unwrap(),
            created_at: 0,
            rootfs_size: Mib::new(1).unwrap(),
            kernel_release: String::new(),
            has_initrd: false,
            initrd_was_given: false,
            work_seed_mib: 0,
            source: String::new(),
        }
    }

    #[test]
    fn the_only_image_is_the_default() {
        let (a, b) = (image("a"), image("b"));
        let name = |name: &str| Some(name.parse::<ImageName>().unwrap());
        let choose = |images: &[ImageRecord], wanted: Option<ImageName>| {
            choose_image(images, wanted.as_ref(), None)
                .map(|image| image.id)
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(choose(&[], None), Err(Code::FailedPrecondition));
        assert_eq!(choose(&[], name("a")), Err(Code::FailedPrecondition));
        assert_eq!(choose(std::slice::from_ref(&a), None), Ok("id of a".into()));
        assert_eq!(choose(&[a.clone(), b.clone()], None), Err(Code::InvalidArgument));
        assert_eq!(choose(&[a.clone(), b.clone()], name("b")), Ok("id of b".into()));
        assert_eq!(choose(std::slice::from_ref(&a), name("c")), Err(Code::NotFound));

        let place = Place { path: "/c.toml".into(), line: 3 };
        let usual = |text: &str| Set { value: text.parse().unwrap(), place: place.clone() };
        let all = [a, b];
        assert_eq!(choose_image(&all, None, Some(&usual("b"))).unwrap().id, "id of b");
        let wanted = name("a");
        assert_eq!(choose_image(&all, wanted.as_ref(), Some(&usual("b"))).unwrap().id, "id of a");
        let missing = choose_image(&all, None, Some(&usual("c"))).unwrap_err();
        assert_eq!(missing.chain, ["/c.toml:3 names it for new VMs"]);
    }

    #[test]
    fn the_way_is_the_wanted_one_or_the_helpers_as_far_as_that_goes() {
        use Isolation::{Rootless, System};
        use Network::{Bridge, None as Alone, User};
        let refusal = || Refusal::new(Code::Unavailable, "none");
        let offer = |kind: &str| match kind {
            "all" => Some(Ok(Offer { bridge: Ok(()) })),
            "disks" => Some(Ok(Offer { bridge: Err(refusal()) })),
            "nothing" => Some(Err(refusal())),
            "not mine" => Some(Err(Refusal::new(Code::PermissionDenied, kind))),
            "no rules" => Some(Err(Refusal::new(Code::FailedPrecondition, kind))),
            "no answer" => Some(Err(Refusal::new(Code::Aborted, kind))),
            _ => None,
        };
        let way = |isolation, network, kind| {
            choose_way(isolation, network, offer(kind)).map_err(|refusal| refusal.code)
        };
        for (isolation, network, kind, expected) in [
            (None, None, "all", Ok((System, Bridge))),
            (None, Some(User), "all", Ok((System, User))),
            (None, Some(Alone), "all", Ok((System, Alone))),
            (None, None, "disks", Ok((System, User))),
            (Some(System), None, "disks", Ok((System, User))),
            (None, Some(Bridge), "disks", Err(Code::Unavailable)),
            (None, None, "nothing", Ok((Rootless, User))),
            (None, Some(Alone), "nothing", Ok((Rootless, Alone))),
            (None, None, "not mine", Ok((Rootless, User))),
            (None, None, "no rules", Ok((Rootless, User))),
            (None, None, "no answer", Err(Code::Aborted)),
            (Some(System), None, "not mine", Err(Code::PermissionDenied)),
            (Some(System), None, "nothing", Err(Code::Unavailable)),
            (None, Some(Bridge), "nothing", Err(Code::Unavailable)),
            (Some(Rootless), None, "", Ok((Rootless, User))),
            (Some(Rootless), Some(Bridge), "", Err(Code::InvalidArgument)),
        ] {
            let what = format!("{isolation:?} {network:?} {kind}");
            assert_eq!(way(isolation, network, kind), expected, "{what}");
        }
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
}
