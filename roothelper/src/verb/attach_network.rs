//! A VM's tap, as a port of the bridge.

use banger_proto::roothelper::{AttachedNetwork, Change, Tap as TapNoun};
use banger_proto::{Code, Refusal};

use super::Host;
use super::network::{
    Step, Wire, alone, carry_out, check_bridge, check_routes, choose, look, rules_for, tap_of,
};
use crate::kernel::Kernel;
use crate::kernel::network::{Guest, MTU, Rules, Wiring};
use crate::vm_lock::VmLocks;
use crate::{Config, Names, Ownership, Permit, call};

/// What is done, and what the VM has then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    change: Change,
    guest: Guest,
    /// What the rules say of those who are there.
    before: Rules,
    steps: Vec<Step>,
}

pub(crate) async fn attach_network(
    permit: Permit<call::AttachNetwork>,
    Host { kernel, config, locks, .. }: Host,
    wire: Wire,
) -> Result<AttachedNetwork, Refusal> {
    let ownership = Ownership { uid: permit.caller().uid(), vm: permit.call().0.vm };
    alone(kernel, wire, move |kernel| attach(kernel, &locks, config, ownership)).await
}

fn attach(
    kernel: &dyn Kernel,
    locks: &VmLocks,
    config: Config,
    ownership: Ownership,
) -> Result<AttachedNetwork, Refusal> {
    let wiring = look(kernel)?;
    let Plan { change, guest, before, steps } = plan(&wiring, config, ownership)?;
    let taps = wiring.taps.iter().map(|tap| tap.guest.ownership);
    // Until the tap is there, and counts by that.
    let _admitted = match change {
        Change::None => None,
        _ => Some(locks.admit_tap(kernel, &config.limits, ownership, taps)?),
    };
    carry_out(kernel, &steps, &before)?;
    let there = look(kernel)?;
    let gone = || {
        Refusal::new(Code::Aborted, "somebody removed the tap at once")
            .hint(format!("start the VM again: banger start {}", ownership.vm))
    };
    let tap = tap_of(&there, ownership).filter(|tap| tap.guest == guest).ok_or_else(gone)?;
    Ok(AttachedNetwork {
        change,
        tap: TapNoun {
            name: Names::of(ownership).tap,
            index: tap.index,
            mac: guest.hardware(),
            address: guest.address,
            prefix: config.pool.prefix(),
            gateway: config.pool.gateway(),
            // No service of the host's is for guests: whoever writes the guest's files knows who resolves names.
            nameservers: Vec::new(),
            mtu: MTU,
        },
        nat: config.nat && there.forwarding,
    })
}

/// What is to be done. A VM that has its tap keeps it, and what is around it is set right.
fn plan(wiring: &Wiring, config: Config, ownership: Ownership) -> Result<Plan, Refusal> {
    check_bridge(wiring, config.pool)?;
    let there = || wiring.taps.iter().map(|tap| tap.guest);
    let before = rules_for(config, there());
    let mut steps = vec![Step::Bridge(config.pool)];
    if let Some(tap) = tap_of(wiring, ownership) {
        steps.extend([Step::Rules(before.clone()), Step::Mend(tap)]);
        return Ok(Plan { change: Change::None, guest: tap.guest, before, steps });
    }
    check_routes(wiring, config.pool)?;
    let guest = Guest { ownership, address: choose(wiring, config.pool, ownership)? };
    let guests = there().chain([guest]);
    steps.extend([Step::Rules(rules_for(config, guests)), Step::Make(guest)]);
    Ok(Plan { change: Change::Created, guest, before, steps })
}

#[cfg(test)]
#[path = "tests/attach_network.rs"]
mod tests;
