//! What a batch changed, brought to the disk.

use std::fmt;
use std::io::IoSlice;

use super::in_order;
use super::part::{Beginning, Changes, Part};
use super::transaction::{self, Step, Superblocks, Transaction};
use super::volume::Volume;
use crate::journal::JournalLocation;
use crate::layout::superblock::{STATE_VALID, SUPERBLOCK_OFFSET};
use crate::{Error, Result};

/// What must hold when the machine stops in the middle of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// A power cut: the device is flushed between the steps.
    #[default]
    PowerSafe,
    /// The end of the process alone: the order of writes is enough.
    ProcessSafe,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// All of the batch or none of it would have survived a crash.
    pub atomic: bool,
    /// Transactions that it took: more than one where it was split at boundaries, none
    /// where there is no journal or nothing had changed.
    pub transactions: u32,
    /// Blocks of metadata written, and of data not written before.
    pub blocks: u64,
}

/// What is there of a batch whose commit the device cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing of it, now and later.
    NotApplied,
    /// So many of the parts between its boundaries, each as a whole; the rest never.
    Partly {
        /// Transactions that are complete.
        transactions: u32,
    },
    /// All of it: the next to open the filesystem finishes what is left to do.
    Applied,
    /// All or nothing (of the part that was being committed), and only the device knows:
    /// whoever opens it next will see. Without a journal it may be any part of the batch, and
    /// `e2fsck -p` comes first, or `e2fsck -y` where that refuses; nothing else is lost.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotApplied => f.write_str("nothing of the batch was applied"),
            Self::Partly { transactions } => {
                write!(f, "the first {transactions} transactions of the batch were applied")
            }
            Self::Applied => f.write_str("the batch was applied"),
            Self::Unknown => f.write_str("whether the batch was applied is not known"),
        }
    }
}

/// Everything that a commit will do, known before the first write.
pub(super) struct Plan {
    transactions: Vec<Transaction>,
    committed: Committed,
}

impl Volume {
    /// Plans the batch whose states at its boundaries are `parts`, the last its end: as
    /// few transactions as the journal allows, or an order of writes without one.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when what lies between two boundaries does not fit into the
    /// journal, and what planning a transaction meets.
    pub(super) fn plan(&self, parts: &[Part], in_order: bool) -> Result<Plan> {
        let first = Beginning::new(self);
        match JournalLocation::find(&first.filesystem)?.filter(|_| !in_order) {
            Some(journal) => self.plan_transactions(journal, &first, parts),
            None => plan_in_order(&first, parts),
        }
    }

    fn plan_transactions(
        &self,
        mut journal: JournalLocation,
        first: &Beginning,
        parts: &[Part],
    ) -> Result<Plan> {
        let mut plan = Plan {
            transactions: Vec::new(),
            committed: Committed { atomic: true, transactions: 0, blocks: 0 },
        };
        let begin = Part::begin(first);
        let (mut from, mut rest) = (&begin, parts);
        let mut on_disk = begin.superblock.clone();
        while let Some((until, changes)) = furthest(&journal, first, from, rest)? {
            let Some(to) = rest.get(until) else { break };
            to.verify(from, &changes, first)?;
            let superblocks = Superblocks { old: on_disk.clone(), new: to.superblock.clone() };
            if let Some((transaction, after)) =
                transaction::plan(&mut journal, &changes, &superblocks, self.now)?
            {
                plan.transactions.push(transaction);
                plan.committed.transactions += 1;
                plan.committed.blocks += changes.blocks();
                on_disk = after;
            }
            (from, rest) = (to, rest.get(until + 1..).unwrap_or_default());
        }
        plan.committed.atomic = plan.committed.transactions <= 1;
        Ok(plan)
    }

    /// Brings a new filesystem to the device.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn finish_fresh(&mut self, flush: Flush) -> Result<Committed> {
        self.note_time();
        self.sync_groups()?;
        let first = SUPERBLOCK_OFFSET / u64::from(self.geometry.block_size);
        // The superblock is last: nobody depends on the filesystem yet.
        let superblock = self.blocks.read(first)?.into();
        // No more content comes: its memory is had again.
        drop(std::mem::take(&mut self.incoming));
        let blocks = self.blocks.write_out(first)?;
        let mut steps = vec![Step::Barrier];
        transaction::write(&mut steps, self.geometry.offset(first), superblock);
        steps.push(Step::Barrier);
        self.perform_steps(&steps, flush)?;
        Ok(Committed { atomic: false, transactions: 0, blocks: blocks + 1 })
    }

    /// Refuses a journal in which no transaction can begin, before anything is changed.
    ///
    /// # Errors
    /// As [`transaction::check`], and [`Error::Incompatible`] for an external journal.
    pub(super) fn check_journal(&self) -> Result<()> {
        match JournalLocation::find(&self.begin.0)? {
            Some(journal) => {
                // Its log is written: nothing else may lie there.
                if journal.runs().any(|run| self.metadata.within(run).next().is_some()) {
                    let what = "the journal lies where metadata does".to_owned();
                    return Err(Error::Corrupt { what });
                }
                transaction::check(&journal)
            }
            None if self.sb.s_state() & STATE_VALID == 0 => {
                let what = "it has no journal and was cut off while being changed: run e2fsck -p, \
                            or e2fsck -y where that refuses";
                Err(Error::Corrupt { what: what.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// Performs a plan.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; what was not yet done is not done.
    pub(super) fn perform(&self, plan: &Plan, flush: Flush) -> Result<Committed> {
        let count = plan.transactions.len();
        let outcome = |done: usize| match done {
            0 => Outcome::NotApplied,
            done if done == count => Outcome::Applied,
            done => Outcome::Partly { transactions: u32::try_from(done).unwrap_or(u32::MAX) },
        };
        for (n, transaction) in plan.transactions.iter().enumerate() {
            let work = |steps: &[Step], outcome| {
                self.perform_steps(steps, flush)
                    .map_err(|source| Error::Interrupted { outcome, source: Box::new(source) })
            };
            work(&transaction.before, outcome(n))?;
            work(&transaction.point, Outcome::Unknown)?;
            work(&transaction.after, outcome(n + 1))?;
        }
        Ok(plan.committed)
    }

    /// Performs steps one by one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn perform_steps(&self, steps: &[Step], flush: Flush) -> Result<()> {
        for step in steps {
            match step {
                Step::Write { offset, pieces, .. } => {
                    let mut pieces: Vec<_> = pieces.iter().map(|p| IoSlice::new(p)).collect();
                    self.below.write_vectored_at(*offset, &mut pieces)?;
                }
                Step::Barrier if flush == Flush::PowerSafe => self.below.flush()?,
                Step::Barrier => {}
            }
        }
        Ok(())
    }
}

/// Plans writes in an order that leaves the data whole, content first, and marks the
/// filesystem meanwhile as one that must be checked.
fn plan_in_order(first: &Beginning, parts: &[Part]) -> Result<Plan> {
    let committed = Committed { atomic: false, transactions: 0, blocks: 0 };
    let mut plan = Plan { transactions: Vec::new(), committed };
    let Some(to) = parts.last() else { return Ok(plan) };
    let begin = Part::begin(first);
    let changes = to.changes_since(&begin, first)?;
    to.verify(&begin, &changes, first)?;
    plan.committed.blocks = changes.blocks();
    plan.transactions.push(in_order::plan(&changes, &begin, to)?);
    Ok(plan)
}

/// The last of the next states that one transaction can reach, and how; `None` when there
/// is no next.
fn furthest(
    journal: &JournalLocation,
    first: &Beginning,
    from: &Part,
    parts: &[Part],
) -> Result<Option<(usize, Changes)>> {
    let changes = |n: usize| parts.get(n).map(|part| part.changes_since(from, first)).transpose();
    let fits = |changes: &Changes| transaction::excess(journal, changes) == 0;
    let Some(last) = parts.len().checked_sub(1) else { return Ok(None) };
    if let Some(all) = changes(last)?.filter(fits) {
        return Ok(Some((last, all)));
    }
    // Between these the boundary lies: what comes later changes more blocks.
    let (mut fitting, mut low, mut high) = (None, 0, last);
    while low < high {
        let middle = low.midpoint(high);
        match changes(middle)?.filter(fits) {
            Some(found) => {
                fitting = Some((middle, found));
                low = middle + 1;
            }
            None => high = middle,
        }
    }
    if fitting.is_some() {
        return Ok(fitting);
    }
    let Some(next) = changes(0)? else { return Ok(None) };
    let (room, excess) = (transaction::room(journal), transaction::excess(journal, &next));
    let what = format!(
        "{} ({} blocks of the journal, {excess} too many; make smaller batches, or name \
         boundaries at which this one may be split)",
        if last == 0 { "the batch" } else { "what lies between two boundaries of the batch" },
        room + excess,
    );
    Err(Error::TooLarge { what, limit: room })
}
