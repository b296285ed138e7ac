//! `vm set`: what a VM has from its next start on. Pure.

use banger_proto::{Code, Mib, Refusal, VmChange};

use crate::store::VmRecord;

/// The record after a change at the moment `now`, and the size to which the work disk is
/// to be grown first.
pub(crate) fn changed(
    record: &VmRecord,
    change: VmChange,
    has_work_disk: bool,
    now: i64,
) -> Result<(VmRecord, Option<Mib>), Refusal> {
    if (VmChange { force: false, ..change }) == VmChange::default() {
        return Err(Refusal::new(Code::InvalidArgument, "there is nothing to set"));
    }
    let mut record = record.clone();
    let (name, before) = (record.name.clone(), record.disk);
    let grown = change.disk.filter(|disk| has_work_disk && *disk != before);
    if let Some(disk) = grown {
        let refusal = |why: &str| {
            Refusal::new(Code::FailedPrecondition, format!("the work disk of {name} {why}"))
        };
        if disk < before {
            return Err(refusal(&format!("has {before} and cannot be made smaller"))
                .hint("what it holds may lie anywhere on it: make another VM and copy it there"));
        }
        if record.phase.runtime().is_some() {
            return Err(refusal("is in use and cannot grow now")
                .hint(format!("stop it first: banger stop {name}")));
        }
    }
    record.disk = change.disk.unwrap_or(before);
    record.cpus = change.cpus.unwrap_or(record.cpus);
    record.memory = change.memory.unwrap_or(record.memory);
    if let Some(lifetime) = change.lifetime {
        record.expires_at = lifetime.end(now);
    }
    Ok((record, grown))
}

#[cfg(test)]
mod tests {
    use banger_proto::{Cpus, Mib};

    use super::*;

    fn mib(value: u64) -> Option<Mib> {
        Some(Mib::new(value).unwrap())
    }

    #[test]
    fn what_is_not_named_stays() {
        let change = VmChange { memory: mib(512), ..VmChange::default() };
        let (after, _) = changed(&VmRecord::sample(), change, true, 0).unwrap();
        assert_eq!((after.cpus.get(), after.memory.get(), after.disk.get()), (2, 512, 8192));
        let change = VmChange { cpus: Some(Cpus::new(4).unwrap()), ..VmChange::default() };
        let (after, _) = changed(&after, change, true, 0).unwrap();
        assert_eq!((after.cpus.get(), after.memory.get()), (4, 512));
        assert_eq!(
            changed(&VmRecord::sample(), VmChange { force: true, ..VmChange::default() }, false, 0)
                .unwrap_err()
                .code,
            Code::InvalidArgument
        );
    }

    #[test]
    fn a_disk_that_is_there_grows_and_never_shrinks() {
        for (size, has_work_disk, expected) in [
            (4096, false, Some(None)),
            (4096, true, None),
            (16_384, false, Some(None)),
            (16_384, true, Some(mib(16_384))),
            (8192, true, Some(None)),
        ] {
            let change = VmChange { disk: mib(size), ..VmChange::default() };
            let outcome = changed(&VmRecord::sample(), change, has_work_disk, 0).ok();
            assert_eq!(outcome.as_ref().map(|changed| changed.1), expected, "{size}");
            assert!(outcome.is_none_or(|changed| changed.0.disk.get() == size));
        }
    }

    #[test]
    fn a_lifetime_counts_from_the_change() {
        let with = |lifetime: &str| VmChange {
            lifetime: Some(lifetime.parse().unwrap()),
            ..VmChange::default()
        };
        let (timed, _) = changed(&VmRecord::sample(), with("2h"), true, 1_000).unwrap();
        assert_eq!(timed.expires_at, Some(8_200));
        assert_eq!(changed(&timed, with("never"), true, 2_000).unwrap().0.expires_at, None);
    }
}
