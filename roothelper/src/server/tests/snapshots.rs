//! Many attach at once.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use banger_proto::roothelper::{AttachSnapshot, Change, DetachSnapshot, Interaction};
use banger_proto::{Code, VmId};

use super::stage::{ALICE, Stage, asks, base_image};
use crate::authority::simulated::Simulated;

#[test]
fn of_fifty_attaches_of_one_vm_one_makes_it_and_the_rest_find_it_or_are_told_to_wait() {
    let stage = Stage::new(Simulated::yes());
    let (base, vm, interaction) = (base_image(), VmId::random(), Interaction::Never);
    let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
    let base: Arc<OwnedFd> = Arc::new(File::open(base.path()).unwrap().into());
    let answers = asks(ALICE, &stage.socket(), async |helper| {
        let attach = || {
            let (helper, base) = (helper.clone(), Arc::clone(&base));
            tokio::spawn(async move { helper.attach_snapshot(request, base).await })
        };
        let attaching: Vec<_> = (0..50).map(|_| attach()).collect();
        let mut answers = Vec::new();
        for attaching in attaching {
            answers.push(attaching.await.unwrap());
        }
        answers
    });
    let mut made = 0;
    for answer in answers {
        match answer {
            Ok(snapshot) => {
                made += usize::from(snapshot.change == Change::Created);
                assert!(matches!(snapshot.change, Change::Created | Change::None));
            }
            Err(refusal) => assert_eq!(refusal.code, Code::Aborted, "{refusal:?}"),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(stage.kernel.state().loops.len(), 2);
    let detach = DetachSnapshot { vm, diskseq: None, interaction };
    let detached = asks(ALICE, &stage.socket(), async |mut helper| {
        helper.detach_snapshot(detach).await.unwrap()
    });
    assert_eq!(detached, Change::Removed);
    let state = stage.kernel.state();
    assert!(state.loops.is_empty() && state.devices.is_empty(), "{state:#?}");
}
