//! What is told, and what is not.

use super::*;
use crate::{NotACaller, OwnerUid};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

fn caller(uid: u32) -> Caller {
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    Caller::new(OwnerUid::new(uid).unwrap(), getpid(), pidfd)
}

fn log() -> (Audit, Kept) {
    let kept = Kept::default();
    (Audit::new(Box::new(kept.clone())), kept)
}

#[test]
fn an_entry_has_all_fields_and_a_line() {
    let (audit, kept) = log();
    let mut pending = audit.begin(&caller(1000), Method::LendDevice);
    let vm: VmId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
    pending.about(Some(vm), Some(Diskseq::new(9).unwrap()));
    pending.asks(Action::ManageSnapshots);
    pending.allow();
    let [entry] = &kept.entries()[..] else { panic!("{:?}", kept.entries()) };
    let pid = getpid().as_raw_pid();
    assert_eq!(entry.message(), format!("uid 1000 (pid {pid}) allowed LendDevice of VM {vm}"));
    let fields: Vec<_> =
        entry.fields().into_iter().filter(|field| field.0 != "BANGER_DURATION_USEC").collect();
    assert_eq!(
        fields,
        [
            ("BANGER_UID", "1000".to_owned()),
            ("BANGER_DECISION", "allowed".to_owned()),
            ("BANGER_PID", pid.to_string()),
            ("BANGER_VERB", "LendDevice".to_owned()),
            ("BANGER_VM", vm.to_string()),
            ("BANGER_DEVICE", "9".to_owned()),
            ("BANGER_ACTION", "dev.banger.roothelper.manage-snapshots".to_owned()),
        ]
    );
}

#[test]
fn who_floods_the_log_drowns_nobody_and_it_is_told() {
    let (audit, kept) = log();
    for _ in 0..1000 {
        audit.begin(&caller(1000), Method::Sweep).refuse("not-authorised");
        audit.begin(&caller(1000), Method::Describe).allow();
        audit.refuse_peer(0, Some(1), &NotACaller::Dead);
    }
    let of = |uid| kept.entries().into_iter().filter(|entry| entry.subject.uid == uid).count();
    assert!((60..80).contains(&of(1000)), "{}", of(1000));
    assert!((60..80).contains(&of(0)), "{}", of(0));
    // What root did is told all the same, and so are the others.
    audit.begin(&caller(1000), Method::Sweep).allow();
    audit.begin(&caller(2000), Method::Sweep).refuse("not-authorised");
    let entries = kept.entries();
    assert_eq!(entries[entries.len() - 2].decision, Decision::Allowed);
    assert_eq!(entries[entries.len() - 1].subject.uid, 2000);
    // At the latest when the helper ends the number of the others is told.
    drop(audit);
    let entries = kept.entries();
    let all = |uid| {
        let of_uid = entries.iter().filter(|entry| entry.subject.uid == uid);
        let told: u64 = of_uid
            .map(|entry| entry.suppressed + u64::from(entry.reason != "the helper ends"))
            .sum();
        told
    };
    assert_eq!((all(1000), all(0)), (2001, 1000));
}

#[test]
fn nothing_begun_is_lost() {
    let (audit, kept) = log();
    drop(audit.begin(&caller(1000), Method::AttachSnapshot));
    let [entry] = &kept.entries()[..] else { panic!("{:?}", kept.entries()) };
    assert_eq!((entry.decision, &*entry.reason), (Decision::Abandoned, "caller-left"));
}
