//! The end of a VM's tap, and of its rules. Bridge and tables stay.

use std::sync::Arc;

use banger_proto::Refusal;
use banger_proto::roothelper::Change;

use super::network::{Step, Wire, alone, carry_out, failed, look, rules_for, tap_of};
use crate::kernel::Kernel;
use crate::kernel::network::{Bridge, Rules, Wiring};
use crate::{Config, Ownership, Permit, call};

/// What is done, and what that is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    change: Change,
    rules: Rules,
    steps: Vec<Step>,
}

pub(crate) async fn detach_network(
    permit: Permit<call::DetachNetwork>,
    kernel: Arc<dyn Kernel>,
    wire: Wire,
    config: Config,
) -> Result<Change, Refusal> {
    let ownership = Ownership { uid: permit.caller().uid(), vm: permit.call().0.vm };
    alone(kernel, wire, move |kernel| detach(kernel, config, ownership)).await
}

/// Whoever calls it holds the wire.
pub(super) fn detach(
    kernel: &dyn Kernel,
    config: Config,
    ownership: Ownership,
) -> Result<Change, Refusal> {
    let Plan { change, rules, steps } = plan(&look(kernel)?, config, ownership);
    // A step that fails sets nothing back: what is gone is gone, and the next call does the rest.
    carry_out(kernel, &steps, &rules)?;
    Ok(change)
}

/// The same of a VM whose tap nobody has open; `None` when somebody has, as it is just then. Without a configuration, which
/// the rules follow from, these stay as they are: what they say of a tap that is gone lets nobody do anything.
pub(super) fn detach_unused(
    kernel: &dyn Kernel,
    config: Option<Config>,
    ownership: Ownership,
) -> Result<Option<Change>, Refusal> {
    let tap = tap_of(&look(kernel)?, ownership);
    if let Some(tap) = tap
        && !kernel.remove_idle_tap(tap).map_err(|error| failed(&error))?
    {
        return Ok(None);
    }
    if let Some(config) = config {
        detach(kernel, config, ownership)?;
    }
    Ok(Some(if tap.is_some() { Change::Removed } else { Change::None }))
}

/// The tap goes first: without its rules it would only be mute. Where there is no tap any more, since its owner gave it up,
/// its rules still go.
fn plan(wiring: &Wiring, config: Config, ownership: Ownership) -> Plan {
    let tap = tap_of(wiring, ownership);
    let others = wiring.taps.iter().map(|tap| tap.guest);
    let rules = rules_for(config, others.filter(|guest| guest.ownership != ownership));
    let mut steps: Vec<_> = tap.map(Step::Remove).into_iter().collect();
    if wiring.bridge == Bridge::Ours {
        steps.push(Step::Rules(rules.clone()));
    }
    let change = if tap.is_some() { Change::Removed } else { Change::None };
    Plan { change, rules, steps }
}

#[cfg(test)]
#[path = "tests/detach_network.rs"]
mod tests;
