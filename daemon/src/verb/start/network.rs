//! A start's network on the root helper's bridge.

use banger_proto::{Network, Refusal};

use super::execute::Start;
use crate::net::{Card, Choice, Tap, resolvers};
use crate::store::VmRecord;
use crate::system::Helper;
use crate::verb::blocking;

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
        let attached = helper.attach_network(vm).await?;
        self.undo
            .push("take the tap away", async move { helper.detach_network(vm).await.map(drop) });
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

    /// What the guest is told of it.
    pub(super) fn card(&self) -> Option<Card> {
        card(&self.record, self.tap.as_ref())
    }
}

fn card(record: &VmRecord, tap: Option<&Tap>) -> Option<Card> {
    match (tap, record.network) {
        (Some(tap), _) => Some(tap.card.clone()),
        (None, Network::User) => Some(Card::user_mode(record.uuid())),
        (None, Network::None | Network::Bridge) => None,
    }
}
