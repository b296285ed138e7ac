//! What attaching and detaching a network share: the lock, what is refused, and how a plan is carried out.

use std::net::Ipv4Addr;
use std::sync::Arc;

use banger_proto::roothelper::{Object, ObjectKind, usual_number};
use banger_proto::{Code, Refusal};
use tokio::sync::Mutex;

use crate::kernel::network::{BRIDGE, Bridge, Guest, NetworkError, Route, Rules, Tap, Wiring};
use crate::kernel::{Kernel, Network};
use crate::{CONFIG_PATH, Config, Names, OwnerUid, Ownership, Pool};

/// Whoever changes bridge, taps or rules holds it from looking to having done: no two get one address.
pub(crate) type Wire = Arc<Mutex<()>>;

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The bridge, with the pool's first address.
    Bridge(Pool),
    /// The rules, as a whole.
    Rules(Rules),
    /// A tap.
    Make(Guest),
    /// A tap that is there, as a port.
    Mend(Tap),
    /// The end of one.
    Remove(Tap),
}

/// Does something that waits for the kernel, alone.
pub(super) async fn alone<T: Send + 'static>(
    kernel: Arc<dyn Kernel>,
    wire: Wire,
    work: impl FnOnce(&dyn Kernel) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    // It is waited for on a thread, as a sweep does: who has it has a thread too, and goes on.
    let working = tokio::task::spawn_blocking(move || {
        let _held = wire.blocking_lock();
        work(&*kernel)
    });
    working.await.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
}

/// What is there.
pub(super) fn look(kernel: &dyn Kernel) -> Result<Wiring, Refusal> {
    kernel.wiring().map_err(|error| failed(&error))
}

pub(crate) fn failed(error: &NetworkError) -> Refusal {
    if let Some(foreign) = error.foreign() {
        return Refusal::from_error(Code::FailedPrecondition, error).hint(&*foreign.commands);
    }
    Refusal::from_error(Code::Internal, error).hint(NOT_DONE)
}

/// Who can tell what the kernel does not.
const NOT_DONE: &str = "sudo journalctl --unit banger-roothelper --lines 20, and sudo dmesg";

/// Does the steps of a plan. When one fails, the rules are set back to what they were; what that leaves is told.
pub(super) fn carry_out(
    kernel: &dyn Kernel,
    steps: &[Step],
    before: &Rules,
) -> Result<(), Refusal> {
    let mut changed = false;
    for step in steps {
        let done = match step {
            Step::Bridge(pool) => kernel.make_bridge(*pool),
            Step::Rules(rules) => {
                // Also where it failed: it may have done a part.
                changed = rules != before;
                kernel.set_rules(rules)
            }
            Step::Make(guest) => kernel.make_tap(*guest).map(drop),
            Step::Mend(tap) => kernel.mend_tap(*tap),
            Step::Remove(tap) => kernel.remove_tap(*tap),
        };
        let Err(error) = done else { continue };
        let mut refusal = failed(&error);
        // What is not ours was not changed.
        let changed = changed && error.foreign().is_none();
        if let Some(left) = changed.then(|| kernel.set_rules(before).err()).flatten() {
            refusal
                .chain
                .push(format!("and a rule for an address that nobody has is left: {left}"));
        }
        return Err(refusal);
    }
    Ok(())
}

/// The rules for these taps.
pub(super) fn rules_for(config: Config, taps: impl Iterator<Item = Guest>) -> Rules {
    let (pool, nat) = (config.pool, config.nat);
    Rules { pool, nat, guests: taps.collect() }
}

/// Gives the bridge the rules of the taps that there are: a helper that was killed may have left one whose tap is gone.
/// Whoever calls it holds the wire.
pub(super) fn set_right(kernel: &dyn Kernel, config: Config) -> Result<(), Refusal> {
    let wiring = look(kernel)?;
    if wiring.bridge != Bridge::Ours {
        return Ok(());
    }
    let rules = rules_for(config, wiring.taps.iter().map(|tap| tap.guest));
    kernel.set_rules(&rules).map_err(|error| failed(&error))
}

pub(super) fn tap_of(wiring: &Wiring, ownership: Ownership) -> Option<Tap> {
    wiring.taps.iter().copied().find(|tap| tap.guest.ownership == ownership)
}

/// Whether the bridge is ours to make or to set right, with this pool.
pub(super) fn check_bridge(wiring: &Wiring, pool: Pool) -> Result<(), Refusal> {
    if wiring.bridge == Bridge::Foreign {
        let message =
            format!("this host has an interface {BRIDGE} that the root helper did not make");
        return Err(Refusal {
            hint: format!(
                "ip -details link show {BRIDGE}; if nobody needs it: sudo ip link delete {BRIDGE}"
            ),
            ..Refusal::new(Code::FailedPrecondition, message)
        });
    }
    let strangers = wiring.taps.iter().filter(|tap| !pool.is_guests(tap.guest.address)).count();
    if strangers > 0 {
        let message = format!(
            "the pool of the bridge is {pool} now, and {strangers} attached VMs have addresses of another"
        );
        return Err(Refusal {
            hint: format!(
                "start those VMs anew, each its owner: banger restart VM; or set the pool back: sudoedit {CONFIG_PATH}"
            ),
            ..Refusal::new(Code::FailedPrecondition, message)
        });
    }
    Ok(())
}

/// Whether the pool is nobody else's network: asked for each new tap, and not for one that is there.
pub(super) fn check_routes(wiring: &Wiring, pool: Pool) -> Result<(), Refusal> {
    let collides =
        |route: &&Route| route.prefix > EVERYWHERE && pool.overlaps(route.network, route.prefix);
    let Some(Route { network, prefix, through }) = wiring.routes.iter().find(collides) else {
        return Ok(());
    };
    let through = through.as_ref().map(|name| format!(" through {name}")).unwrap_or_default();
    let message = format!(
        "the pool of the bridge, {pool}, collides with this host's route to {network}/{prefix}{through}"
    );
    Err(Refusal {
        hint: format!(
            "choose another `pool` in the table [network] of {CONFIG_PATH}, as an administrator: sudoedit {CONFIG_PATH}"
        ),
        ..Refusal::new(Code::FailedPrecondition, message)
    })
}

/// Routes of so few bits lead to everywhere, as VPNs write them too: a bridge beside them is what is meant.
const EVERYWHERE: u8 = 1;

/// An address for a VM: one that follows from whose it is, or the next that is free.
pub(super) fn choose(
    wiring: &Wiring,
    pool: Pool,
    ownership: Ownership,
) -> Result<Ipv4Addr, Refusal> {
    let first = usual_number(ownership.uid.get(), ownership.vm, pool.guests());
    let taken = |address: &Ipv4Addr| wiring.taps.iter().any(|tap| tap.guest.address == *address);
    let free = (0..pool.guests()).map(|at| pool.guest(first + at)).find(|address| !taken(address));
    free.ok_or_else(|| Refusal {
        hint: format!(
            "stop a VM: banger stop VM; or give the bridge more addresses, `pool` in the table [network] of {CONFIG_PATH}: sudoedit {CONFIG_PATH}"
        ),
        ..Refusal::new(
            Code::ResourceExhausted,
            format!("all {} addresses for VMs of the pool {pool} are taken", pool.guests()),
        )
    })
}

/// A user's taps, as they are listed.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn objects_of(
    network: &dyn Network,
    uid: OwnerUid,
) -> Result<Vec<Object>, NetworkError> {
    let object = |Tap { guest, index, open }| Object {
        vm: guest.ownership.vm,
        name: Names::of(guest.ownership).tap,
        since: 0,
        kind: ObjectKind::Tap { index, open, address: guest.address },
    };
    Ok(network.taps_of(uid)?.into_iter().map(object).collect())
}

/// Removes everybody's taps, the bridge and its rules: for whoever uninstalls.
///
/// # Errors
/// What the kernel refuses; the rest is still there then.
pub(crate) fn remove_all(network: &dyn Network) -> Result<(), NetworkError> {
    for tap in network.wiring()?.taps {
        network.remove_tap(tap)?;
    }
    network.remove_network()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kernel::simulated::Simulated;

    #[test]
    fn rules_of_taps_that_are_gone_go_and_no_bridge_gets_any() {
        let (kernel, config) = (Simulated::default(), Config::default());
        let guest = |at| {
            let uid = OwnerUid::new(1000).unwrap();
            let ownership = Ownership { uid, vm: banger_proto::VmId::random() };
            Guest { ownership, address: config.pool.guest(at) }
        };
        let (there, gone) = (guest(1), guest(2));
        set_right(&kernel, config).unwrap();
        assert_eq!(kernel.state().cables.rules, None);
        kernel.make_bridge(config.pool).unwrap();
        kernel.set_rules(&rules_for(config, [there, gone].into_iter())).unwrap();
        kernel.make_tap(there).unwrap();
        set_right(&kernel, config).unwrap();
        let expected = rules_for(config, [there].into_iter());
        assert_eq!(kernel.state().cables.rules.as_ref(), Some(&expected));
    }

    #[test]
    fn who_waits_on_the_only_thread_for_the_wire_waits_for_nobody_who_needs_a_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let wire = Wire::default();
        let (go, told) = std::sync::mpsc::channel();
        let done = runtime.block_on(async {
            let swept = Arc::clone(&wire);
            // As a sweep waits.
            tokio::task::spawn_blocking(move || {
                told.recv().unwrap();
                drop(swept.blocking_lock());
            });
            let kernel: Arc<dyn Kernel> = Arc::new(Simulated::default());
            let alone = tokio::spawn(alone(kernel, wire, |_| Ok(())));
            tokio::time::sleep(Duration::from_millis(50)).await;
            go.send(()).unwrap();
            tokio::time::timeout(Duration::from_secs(30), alone).await
        });
        runtime.shutdown_background();
        assert_eq!(done.unwrap().unwrap(), Ok(()));
    }
}
