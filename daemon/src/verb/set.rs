//! `vm set`: what a VM has from its next start on. Pure.

use banger_proto::{Code, Refusal, VmChange};

use crate::store::VmRecord;

/// The record after a change at the moment `now`.
pub(crate) fn changed(
    record: &VmRecord,
    change: VmChange,
    has_work_disk: bool,
    now: i64,
) -> Result<VmRecord, Refusal> {
    if change == VmChange::default() {
        return Err(Refusal::new(Code::InvalidArgument, "there is nothing to set"));
    }
    let mut record = record.clone();
    if let Some(disk) = change.disk.filter(|disk| *disk != record.disk) {
        if has_work_disk {
            let (name, before) = (&record.name, record.disk);
            let what = if disk < before { "shrunk" } else { "grown" };
            return Err(Refusal::new(
                Code::FailedPrecondition,
                format!("the work disk of {name} has {before} and cannot be {what}"),
            )
            .hint("a work disk gets its size at the first start: choose it when you create a VM"));
        }
        record.disk = disk;
    }
    record.cpus = change.cpus.unwrap_or(record.cpus);
    record.memory = change.memory.unwrap_or(record.memory);
    if let Some(lifetime) = change.lifetime {
        record.expires_at = lifetime.end(now);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use banger_proto::{Cpus, Isolation, Mib, VmId};

    use super::*;
    use crate::store::{ImageRef, Phase};

    fn record() -> VmRecord {
        VmRecord {
            id: VmId::random(),
            name: "web".parse().unwrap(),
            image: ImageRef { name: "debian".parse().unwrap(), id: "1".into() },
            isolation: Isolation::Rootless,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            disk: Mib::new(8192).unwrap(),
            created_at: 0,
            ephemeral: false,
            expires_at: None,
            holder: None,
            booted: false,
            phase: Phase::Created {},
        }
    }

    fn mib(value: u64) -> Option<Mib> {
        Some(Mib::new(value).unwrap())
    }

    #[test]
    fn what_is_not_named_stays() {
        let change = VmChange { memory: mib(512), ..VmChange::default() };
        let after = changed(&record(), change, true, 0).unwrap();
        assert_eq!((after.cpus.get(), after.memory.get(), after.disk.get()), (2, 512, 8192));
        let change = VmChange { cpus: Some(Cpus::new(4).unwrap()), ..VmChange::default() };
        let after = changed(&after, change, true, 0).unwrap();
        assert_eq!((after.cpus.get(), after.memory.get()), (4, 512));
        assert_eq!(
            changed(&record(), VmChange::default(), false, 0).unwrap_err().code,
            Code::InvalidArgument
        );
    }

    #[test]
    fn a_disk_that_is_there_keeps_its_size() {
        for (size, has_work_disk, taken) in
            [(4096, false, true), (4096, true, false), (16_384, true, false), (8192, true, true)]
        {
            let change = VmChange { disk: mib(size), ..VmChange::default() };
            let outcome = changed(&record(), change, has_work_disk, 0);
            assert_eq!(outcome.is_ok(), taken, "{size} {has_work_disk}");
            if let Ok(after) = outcome {
                assert_eq!(after.disk.get(), size);
            }
        }
    }

    #[test]
    fn a_lifetime_counts_from_the_change() {
        let with = |lifetime: &str| VmChange {
            lifetime: Some(lifetime.parse().unwrap()),
            ..VmChange::default()
        };
        let timed = changed(&record(), with("2h"), true, 1_000).unwrap();
        assert_eq!(timed.expires_at, Some(8_200));
        assert_eq!(changed(&timed, with("never"), true, 2_000).unwrap().expires_at, None);
    }
}
