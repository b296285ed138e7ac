//! Which program runs a new VM: Firecracker where it can do what the VM needs, else QEMU.

use banger_proto::{Code, Isolation, Network, Refusal, VmmChoice, VmmKind};

use crate::config::Settings;
use crate::context::Context;
use crate::spawn::FIRECRACKER;
use crate::store::{ImageFiles, OwnInitrd};
use crate::vmlinux;
use crate::vmm::{Accelerator, Host, Walls, firecracker};

/// The VM, as far as the choice depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) choice: VmmChoice,
    pub(super) isolation: Isolation,
    pub(super) network: Network,
    pub(super) has_shares: bool,
    pub(super) cpus: u32,
}

/// Why Firecracker does not do, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Misfit {
    because: String,
    hint: String,
}

impl Misfit {
    fn new(because: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { because: because.into(), hint: hint.into() }
    }
}

const WITH_QEMU: &str = "run it with QEMU: --vmm qemu";

/// What the VM itself asks for that Firecracker has not.
fn needs_more(wanted: Wanted) -> Option<Misfit> {
    let with_qemu = |because: &str| Some(Misfit::new(because, WITH_QEMU));
    if wanted.has_shares {
        return with_qemu("Firecracker shares no folders");
    }
    if wanted.network == Network::User {
        return Some(Misfit::new(
            "Firecracker has no user-mode network",
            format!("give it the root helper's: --net bridge, or none: --net none; or {WITH_QEMU}"),
        ));
    }
    if wanted.cpus > firecracker::MOST_CPUS {
        return with_qemu("Firecracker gives a guest 32 processors at most");
    }
    None
}

/// What this host lacks.
fn host_lacks(host: &Host) -> Option<Misfit> {
    let doctor = "see what to do: banger doctor; or run it with QEMU: --vmm qemu";
    if host.accelerator != Accelerator::Kvm {
        let said = host.notices().first().map_or("KVM does not run guests here", String::as_str);
        return Some(Misfit::new(format!("Firecracker needs KVM: {said}"), doctor));
    }
    match &host.walls {
        Walls::Bubblewrap { .. } => None,
        walls => {
            let why = walls.reason().unwrap_or_default();
            let because = format!("Firecracker is run in bubblewrap only: {why}");
            Some(Misfit::new(because, doctor))
        }
    }
}

/// Chooses.
///
/// # Errors
/// Where Firecracker is asked for by name and does not do: [`Code::FailedPrecondition`].
pub(super) async fn choose_vmm(
    context: &Context,
    settings: &Settings,
    wanted: Wanted,
    image: &ImageFiles,
    initrd: OwnInitrd,
) -> Result<VmmKind, Refusal> {
    match wanted.choice {
        VmmChoice::Qemu => return Ok(VmmKind::Qemu),
        // Without the helper it would be the odd one out: whoever wants it there says so.
        VmmChoice::Auto if wanted.isolation != Isolation::System => return Ok(VmmKind::Qemu),
        _ => {}
    }
    match misfit(context, settings, wanted, image, initrd).await {
        Ok(None) => Ok(VmmKind::Firecracker),
        Ok(Some(Misfit { because, .. })) if wanted.choice == VmmChoice::Auto => {
            tracing::debug!(because, "QEMU and not Firecracker");
            Ok(VmmKind::Qemu)
        }
        Err(refusal) if wanted.choice == VmmChoice::Auto => {
            tracing::info!(%refusal, "QEMU and not Firecracker");
            Ok(VmmKind::Qemu)
        }
        Ok(Some(Misfit { because, hint })) => {
            let refusal = Refusal::new(Code::FailedPrecondition, "Firecracker cannot run this VM");
            Err(Refusal { chain: vec![because], ..refusal }.hint(hint))
        }
        Err(refusal) => Err(refusal),
    }
}

/// Looks for what speaks against it: what costs least first.
async fn misfit(
    context: &Context,
    settings: &Settings,
    wanted: Wanted,
    image: &ImageFiles,
    initrd: OwnInitrd,
) -> Result<Option<Misfit>, Refusal> {
    if let Some(misfit) = needs_more(wanted) {
        return Ok(Some(misfit));
    }
    let finder = Context::finder(settings);
    if let Err(missing) = finder.find(&FIRECRACKER) {
        return Ok(Some(Misfit::new(missing.to_string(), WITH_QEMU)));
    }
    if let Err(trouble) = firecracker::ask(&finder).await {
        let hint = format!("install another release of it; or {WITH_QEMU}");
        return Ok(Some(Misfit::new(trouble, hint)));
    }
    let host = context.host(settings).await?;
    if let Some(misfit) = host_lacks(&host) {
        return Ok(Some(misfit));
    }
    let unpacked = vmlinux::prepare(context, image, initrd).await?;
    Ok(unpacked.trouble().map(|why| {
        let hint = format!(
            "give the image a kernel whose modules it has, or an initial RAM disk with \
             virtio_mmio: --kernel and --initrd of banger image import; or {WITH_QEMU}"
        );
        Misfit::new(format!("the guest would not find its disks: {why}"), hint)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::Finder;

    const ALONE: Wanted = Wanted {
        choice: VmmChoice::Auto,
        isolation: Isolation::System,
        network: Network::None,
        has_shares: false,
        cpus: 2,
    };

    #[test]
    fn what_a_vm_may_not_need() {
        assert_eq!(needs_more(ALONE), None);
        assert_eq!(needs_more(Wanted { cpus: 32, network: Network::Bridge, ..ALONE }), None);
        let because = |wanted| needs_more(wanted).unwrap().because;
        assert!(because(Wanted { has_shares: true, ..ALONE }).contains("folders"));
        assert!(because(Wanted { network: Network::User, ..ALONE }).contains("network"));
        assert!(because(Wanted { cpus: 33, ..ALONE }).contains("32"));
    }

    #[test]
    fn what_a_host_must_have() {
        let host = |accelerator, walls| Host::of(Finder::default(), accelerator, walls);
        let sealed = Walls::Bubblewrap { sealed: true };
        assert_eq!(host_lacks(&host(Accelerator::Kvm, sealed.clone())), None);
        let because = |host: &Host| host_lacks(host).unwrap().because;
        assert!(because(&host(Accelerator::Tcg, sealed)).contains("KVM"));
        let landlock = Walls::Landlock("it is missing".into());
        assert!(
            because(&host(Accelerator::Kvm, landlock)).contains("bubblewrap only: it is missing")
        );
    }
}
