//! nf_tables: two tables of ours, each made as a whole; then only elements of their sets come and go.

mod expression;
mod ruleset;
mod table;

use std::collections::BTreeSet;
use std::io;

use super::netlink::{Attributes, Message, Netlink, NetlinkError};
use crate::kernel::network::{Foreign, Rules};
use ruleset::ruleset;
use table::{Element, SETS, Set, Table};

/// `NFNL_SUBSYS_NFTABLES`, which is the upper byte of every kind.
const SUBSYSTEM: u16 = 10;
/// Both tables' name.
const NAME: &str = "banger";
/// `NFT_MSG_*`.
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const GETSETELEM: u16 = 13;
const DELSETELEM: u16 = 14;
/// `NLM_F_CREATE`, `NLM_F_APPEND`.
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// A message about something in the tables of a family.
fn message(kind: u16, flags: u16, family: u8) -> Message {
    // `struct nfgenmsg`: family, version, and a number that only a batch has.
    Message::new(SUBSYSTEM << 8 | kind, flags, &[family, 0, 0, 0])
}

/// Makes the tables say what the rules are to be, in one step: packets see the old rules or the new.
pub(super) fn set(netfilter: &mut Netlink, rules: &Rules) -> Result<(), NetlinkError> {
    let tables = ruleset(rules);
    let wanted: BTreeSet<_> = rules.guests.iter().flat_map(|guest| Element::of(*guest)).collect();
    let mut whole = true;
    for table in &tables {
        whole &= seen(netfilter, table)?;
    }
    if whole {
        let mut there = BTreeSet::new();
        for set in SETS {
            there.extend(elements(netfilter, set)?);
        }
        let mut batch = Vec::new();
        table::put_elements(&mut batch, DELSETELEM, 0, there.difference(&wanted));
        table::put_elements(&mut batch, NEWSETELEM, CREATE, wanted.difference(&there));
        if netfilter.batch(SUBSYSTEM, batch).is_ok() {
            return Ok(());
        }
        // Somebody changed them since we looked.
    }
    let mut batch = Vec::new();
    for table in &tables {
        table.remove(&mut batch);
        table.make(&mut batch);
    }
    table::put_elements(&mut batch, NEWSETELEM, CREATE, wanted.iter());
    netfilter.batch(SUBSYSTEM, batch)
}

/// Removes the tables.
pub(super) fn remove(netfilter: &mut Netlink) -> Result<(), NetlinkError> {
    let mut batch = Vec::new();
    for family in [ruleset::BRIDGE, ruleset::INET] {
        let there = mark(netfilter, family)?;
        if there.is_some_and(|mark| ruleset::is_mark(&mark)) {
            Table { family, mark: String::new(), chains: Vec::new() }.remove(&mut batch);
        }
    }
    netfilter.batch(SUBSYSTEM, batch)
}

/// What our table of a family is marked with; `None` when there is none of the name.
fn mark(netfilter: &mut Netlink, family: u8) -> Result<Option<String>, NetlinkError> {
    let read = |body: &[u8]| {
        let all = Attributes::after(body, 4);
        // NFTA_TABLE_NAME, _FLAGS, _USERDATA.
        if *body.first()? != family || all.text(1)? != NAME {
            return None;
        }
        let mut comment = all.find(6).and_then(table::comment).unwrap_or_default();
        if all.be32(2) != Some(0) {
            // Asleep, or another program's by now: ours, and not as we made it.
            comment.push_str(", changed");
        }
        Some(comment)
    };
    Ok(netfilter.list(&message(GETTABLE, 0, family), read)?.into_iter().next())
}

/// What is said of a table that has our name.
fn foreign(family: u8) -> Foreign {
    let family = if family == ruleset::BRIDGE { "bridge" } else { "inet" };
    Foreign {
        what: format!("there is a table `{NAME}` that is not banger's among those of `{family}`"),
        commands: format!(
            "sudo nft list table {family} {NAME}; if nobody needs it: sudo nft delete table {family} {NAME}"
        ),
    }
}

/// Whether a table is there as it is wanted. An error when there is one of its name that is not ours.
fn seen(netfilter: &mut Netlink, table: &Table) -> Result<bool, NetlinkError> {
    let Some(mark) = mark(netfilter, table.family)? else { return Ok(false) };
    if !ruleset::is_mark(&mark) {
        return Err(io::Error::other(foreign(table.family)).into());
    }
    let read = |body: &[u8]| {
        let all = Attributes::after(body, 4);
        // NFTA_RULE_TABLE, _CHAIN, _USERDATA.
        let ours = *body.first()? == table.family && all.text(1)? == NAME;
        let comment = all.find(7).and_then(table::comment).unwrap_or_default();
        ours.then_some((all.text(2)?.to_owned(), comment))
    };
    let mut question = message(GETRULE, 0, table.family);
    question.put_text(1, NAME);
    let there = netfilter.list(&question, read)?;
    let wanted = table.rules().map(|(chain, rule)| (chain.to_owned(), rule.comment.to_owned()));
    Ok(mark == table.mark && there == wanted.collect::<Vec<_>>())
}

/// What is in a set now.
fn elements(netfilter: &mut Netlink, set: Set) -> Result<Vec<Element>, NetlinkError> {
    let mut question = message(GETSETELEM, 0, set.family);
    // NFTA_SET_ELEM_LIST_TABLE, _SET.
    question.put_text(1, NAME);
    question.put_text(2, set.name);
    let read = |body: &[u8]| {
        // NFTA_SET_ELEM_LIST_ELEMENTS: each NFTA_LIST_ELEM has an NFTA_SET_ELEM_KEY, and in a map _DATA, with an
        // NFTA_DATA_VALUE.
        let list = Attributes::after(body, 4).inside(3);
        let parts = list.map(|(_, element)| {
            [1, 2].map(|part| Attributes::after(element, 0).inside(part).find(1))
        });
        Some(parts.filter_map(|[key, data]| Element::read(set, key?, data)).collect::<Vec<_>>())
    };
    Ok(netfilter.list(&question, read)?.into_iter().flatten().collect())
}
