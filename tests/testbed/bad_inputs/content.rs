//! Filesystems that are wrong in one place, on real snapshots: the answer says so, the worker is gone, and others are
//! served.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_proto::roothelper::{Change, WriteOutcome};
use banger_proto::{Code, VmId};
use banger_tests::testbed::inside_with_helper as inside;
use banger_tests::wrong::{Wrong, structures, superblocks};

use super::ready;
use crate::asking::members;
use crate::files::{FSTAB, filesystem};
use crate::hygiene::{Log, There};

/// Some of each kind: the others are tried without a machine.
const SOME: [&str; 4] = [
    "an extent tree that leads to itself",
    "a directory's record of no length",
    "a name with a slash",
    "s_inodes_per_group = 0",
];

#[test]
fn a_filesystem_that_is_wrong_is_data_loss_and_nothing_of_its_worker_stays() {
    inside(|| {
        let [ann] = members(["ann"]);
        ready(ann);
        let (good, vm) = (filesystem(ann, "good"), VmId::random());
        let good = ann.attach(vm, &good).unwrap().device;
        let image = ann.image("wrong", 8 << 20);
        let folder = Path::new("/var/tmp");
        let field = |name: &str| name == "s_inodes_per_group";
        let all = structures(folder).into_iter().chain(superblocks(folder, field));
        let mut tried = 0;
        for Wrong { name, at, bytes, .. } in all.filter(|wrong| SOME.contains(&&*wrong.name)) {
            let (before, log) = (There::now(), Log::from_here());
            let file = File::options().write(true).open(&image).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let vm = VmId::random();
            let device = ann.attach(vm, &image).unwrap().device;
            let refusal = ann.read_all(device, &[at]).unwrap_err();
            assert_eq!(refusal.code, Code::DataLoss, "{name}: {refusal:?}");
            assert!(!refusal.chain.is_empty() && !refusal.hint.is_empty(), "{name}: {refusal:?}");
            let outcome = ann.write(device, 1).unwrap();
            assert!(!matches!(outcome, WriteOutcome::Unknown { .. }), "{name}: {outcome:?}");
            let applied = matches!(outcome, WriteOutcome::Applied { .. });
            assert_eq!(ann.read(good, "/etc/fstab").unwrap(), FSTAB.as_bytes(), "{name}");
            assert_eq!(ann.detach(vm).unwrap(), Change::Removed, "{name}");
            ann.discard(vm).unwrap();
            before.is_all(&name);
            let written = if applied { "applied" } else { "not-applied" };
            let entries = [
                "AttachSnapshot allowed",
                "ReadExt4File allowed",
                "ReadExt4File data-loss",
                "WriteExt4Files allowed",
                &format!("WriteExt4Files {written}"),
                "ReadExt4File allowed",
                "DetachSnapshot allowed",
                "DiscardOverlay allowed",
            ];
            log.is(&entries.map(|entry| format!("{} {entry}", ann.uid)));
            tried += 1;
        }
        assert_eq!(tried, SOME.len());
    });
}
