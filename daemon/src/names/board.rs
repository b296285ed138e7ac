//! Which VMs are on the bridge, under which addresses, and what each guest knows of the others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use banger_proto::roothelper::{bridge_address, bridge_guests, usual_number};
use banger_proto::{Network, VmId, VmName};
use tokio::sync::watch;

use crate::net::Card;
use crate::store::VmRecord;

/// Addresses by the names of VMs.
pub(crate) type Names = BTreeMap<VmName, Ipv4Addr>;

/// A VM of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: VmName,
    /// What it has while it runs.
    card: Option<Card>,
}

/// All VMs of the bridge.
#[derive(Debug)]
pub(crate) struct Board {
    entries: Mutex<BTreeMap<VmId, Entry>>,
    /// What was last written into a guest's hosts file.
    told: Mutex<BTreeMap<VmId, Names>>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { entries: Mutex::default(), told: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

/// Nothing panics while it has the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// Takes down what a VM's record says now.
    pub(crate) fn put(&self, record: &VmRecord) {
        if record.network != Network::Bridge {
            return;
        }
        let tap = record.phase.runtime().and_then(|runtime| runtime.machine.tap.as_ref());
        let entry = Entry { name: record.name.clone(), card: tap.map(|tap| tap.card.clone()) };
        if locked(&self.entries).insert(record.id, entry.clone()).as_ref() != Some(&entry) {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Forgets one that has been removed.
    pub(crate) fn forget(&self, vm: VmId) {
        locked(&self.told).remove(&vm);
        if locked(&self.entries).remove(&vm).is_some() {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Hears of every change from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The VMs that run.
    pub(crate) fn running(&self) -> Names {
        let entries = locked(&self.entries);
        let running = entries
            .values()
            .filter_map(|entry| entry.card.as_ref().map(|card| (entry.name.clone(), card.address)));
        running.collect()
    }

    /// What a guest that has this card is to know of the others: those that do not run are told
    /// of by the address that they usually have, so that nobody need be told of their starts.
    pub(crate) fn others(&self, vm: VmId, card: &Card) -> Names {
        let uid = rustix::process::getuid().as_raw();
        let mut others = Names::new();
        for (id, Entry { name, card: theirs }) in locked(&self.entries).iter() {
            let address = theirs.as_ref().map_or_else(|| usual(uid, *id, card), |c| c.address);
            if *id != vm && address != card.address {
                others.insert(name.clone(), address);
            }
        }
        others
    }

    /// Remembers what a guest's hosts file says of the others.
    pub(crate) fn told(&self, vm: VmId, names: Names) {
        locked(&self.told).insert(vm, names);
    }

    /// Guests that run and do not know another that runs, with what each is to know.
    pub(crate) fn to_tell(&self) -> Vec<(VmId, Names)> {
        let cards: Vec<_> = locked(&self.entries)
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.name.clone(), entry.card.clone()?)))
            .collect();
        let knows = |vm: VmId| {
            let told = locked(&self.told);
            let told = told.get(&vm);
            cards.iter().filter(|(id, ..)| *id != vm).all(|(_, name, card)| {
                told.is_some_and(|names| names.get(name) == Some(&card.address))
            })
        };
        let lack = cards.iter().filter(|(id, ..)| !knows(*id));
        lack.map(|(id, _, card)| (*id, self.others(*id, card))).collect()
    }
}

/// The address that a VM has unless somebody else has it.
fn usual(uid: u32, vm: VmId, neighbour: &Card) -> Ipv4Addr {
    let Card { gateway, prefix, .. } = neighbour;
    let mask = u32::MAX.checked_shl(32u32.saturating_sub((*prefix).into())).unwrap_or(0);
    let network = Ipv4Addr::from_bits(gateway.to_bits() & mask);
    bridge_address(network, *prefix, usual_number(uid, vm, bridge_guests(*prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Tap;
    use crate::store::{Phase, Runtime};
    use crate::vmm::Running;

    fn record(name: &str) -> VmRecord {
        let name = name.parse().unwrap();
        VmRecord { name, network: Network::Bridge, ..VmRecord::sample() }
    }

    fn card(last: u8) -> Card {
        Card { address: Ipv4Addr::new(172, 16, 0, last), ..Tap::sample().card }
    }

    fn runs(record: &VmRecord, last: u8) -> VmRecord {
        let tap = Tap { card: card(last), ..Tap::sample() };
        let machine = Running { tap: Some(tap), ..Running::sample() };
        let runtime = Runtime { started_at: 0, given: None, machine };
        VmRecord { phase: Phase::Running { runtime }, ..record.clone() }
    }

    fn stops(record: &VmRecord) -> VmRecord {
        VmRecord { phase: Phase::Stopped { reason: String::new() }, ..record.clone() }
    }

    fn names(of: &[(&VmRecord, u8)]) -> Names {
        let name = |(record, last): &(&VmRecord, u8)| (record.name.clone(), card(*last).address);
        of.iter().map(name).collect()
    }

    #[test]
    fn the_host_knows_those_that_run() {
        let (board, web, db) = (Board::default(), record("web"), record("db"));
        let mut changes = board.watch();
        board.put(&web);
        board.put(&runs(&db, 9));
        board.put(&VmRecord { network: Network::User, ..record("alone") });
        assert_eq!(board.running(), names(&[(&db, 9)]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        board.put(&runs(&db, 9));
        assert!(!changes.has_changed().unwrap(), "nothing has changed");
        board.put(&stops(&db));
        assert_eq!(board.running(), Names::new());
        board.forget(db.id);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn a_guest_knows_who_does_not_run_by_the_address_that_it_usually_has() {
        let (board, web, db) = (Board::default(), record("web"), record("db"));
        board.put(&runs(&web, 9));
        board.put(&db);
        let uid = rustix::process::getuid().as_raw();
        let usual = usual(uid, db.id, &card(9));
        let number = usual_number(uid, db.id, 253);
        assert_eq!(usual.octets()[3], u8::try_from(2 + number).unwrap());
        let expected: Names = [(db.name, usual)].into();
        // Its own name is not among them.
        assert_eq!(board.others(web.id, &card(9)), expected);
        assert_eq!(board.others(web.id, &Card { address: usual, ..card(9) }), Names::new());
    }

    #[test]
    fn a_guest_is_told_of_those_that_run_and_that_it_does_not_know() {
        let (board, web, db) = (Board::default(), record("web"), record("db"));
        board.put(&runs(&web, 9));
        assert_eq!(board.to_tell(), [], "there is nobody else");
        board.put(&db);
        assert_eq!(board.to_tell(), [], "nobody else runs");

        board.told(db.id, names(&[(&web, 9)]));
        board.put(&runs(&db, 7));
        assert_eq!(board.to_tell(), [(web.id, names(&[(&db, 7)]))]);
        board.told(web.id, names(&[(&db, 7)]));
        assert_eq!(board.to_tell(), []);
        // What it knows beside is no matter, but an address that is another's by now is.
        board.put(&stops(&db));
        assert_eq!(board.to_tell(), []);
        board.put(&runs(&db, 8));
        assert_eq!(board.to_tell(), [(web.id, names(&[(&db, 8)]))]);
    }
}
