//! A start's network on the root helper's bridge.

use banger_proto::{Code, Network, Refusal};

use super::execute::Start;
use super::refusals::vmm_refusal;
use crate::names::Names;
use crate::net::forward::{Bound, Report};
use crate::net::{Card, Choice, Tap, resolvers};
use crate::store::VmRecord;
use crate::system::{Helper, is_unknown};
use crate::verb::blocking;
use crate::vmm::{Running, StartError};

/// How an administrator opens a way out.
const OPEN: &str = "an administrator opens one with `nat = true` in the table [network] of \
                    /etc/banger/roothelper.toml, where the host forwards packets";

impl Start {
    /// Makes the VM's tap. One of an earlier run that is still there is its own again.
    pub(super) async fn attach_network(&mut self) -> Result<(), Refusal> {
        let vm = self.record.id;
        let mut helper = match &self.snapshot {
            Some((helper, _)) => helper.clone(),
            None => Helper::connect().await?,
        };
        let attached = helper.attach_network(vm).await;
        if attached.as_ref().map_or_else(is_unknown, |_| true) {
            let undoing = async move { helper.detach_network(vm).await.map(drop) };
            self.undo.push("take the tap away", undoing);
        }
        let attached = attached?;
        let tap = blocking(move || Ok(Tap::of(attached, resolvers))).await?;
        if !tap.nat {
            self.teller.notice(format!("the guest has no way out of this computer; {OPEN}"));
        } else if tap.card.nameservers.is_empty() {
            self.teller.notice(
                "nobody resolves names for the guest: this computer's own resolvers are reached by \
                 no other computer",
            );
        }
        self.tap = Some(tap);
        // From here on they are its own, and lead nowhere before there is a guest.
        let bound = Bound::bind(&self.record.publish);
        self.bound =
            bound.map_err(|error| vmm_refusal(&StartError::from(error), &self.files.run()))?;
        Ok(())
    }

    /// Leads the ports that are published to the guest, for as long as its VMM lives.
    pub(super) async fn publish(&mut self, running: &mut Running) -> Result<(), Refusal> {
        let bound = std::mem::take(&mut self.bound);
        let Some(tap) = self.tap.as_ref().filter(|_| !bound.is_empty()) else { return Ok(()) };
        let (to, files, ports) = (tap.card.address, self.files.run(), bound.ports());
        let led = bound.lead(to, &running.vmm, &files).await;
        let (process, Report { walls, missing }) =
            led.map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        running.ports = ports;
        running.network_process = Some(process);
        let of_ports = |wall: String| format!("published ports: {wall}");
        running.walls.extend(walls.into_iter().map(of_ports));
        running.missing.extend(missing.into_iter().map(of_ports));
        Ok(())
    }

    /// What the VMM is told of the network.
    pub(super) fn network(&self) -> Choice {
        match (&self.tap, self.record.network) {
            (Some(tap), _) => Choice::Tap(tap.clone()),
            (None, Network::User) => Choice::Automatic,
            // Without its tap a VM of the bridge gets no other network in its place.
            (None, Network::None | Network::Bridge) => Choice::None,
        }
    }

    /// What the guest is told of it, and of the other VMs that it reaches.
    pub(super) fn known(&self) -> Known {
        let others = self.tap.as_ref().map(|tap| {
            let (vm, board) = (self.record.id, &self.context.names);
            let others = board.others(vm, &tap.card);
            // Its files say so before it boots.
            board.told(vm, others.clone());
            others
        });
        Known { card: card(&self.record, self.tap.as_ref()), others: others.unwrap_or_default() }
    }
}

/// What a guest knows of its network.
pub(super) struct Known {
    /// Its card; none without a network.
    pub(super) card: Option<Card>,
    /// Other VMs on the bridge.
    pub(super) others: Names,
}

fn card(record: &VmRecord, tap: Option<&Tap>) -> Option<Card> {
    match (tap, record.network) {
        (Some(tap), _) => Some(tap.card.clone()),
        (None, Network::User) => Some(Card::user_mode(record.uuid())),
        (None, Network::None | Network::Bridge) => None,
    }
}
