//! Many attach at once.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_proto::roothelper::{AttachSnapshot, Change, DetachSnapshot, Interaction, RootHelper};
use banger_proto::{Code, VmId};

use super::stage::{ALICE, Stage, asks, base_image};
use crate::authority::simulated::Simulated;
use crate::server::{Capacity, Patience};

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

#[test]
fn a_client_that_leaves_at_any_step_is_not_missed() {
    let stage = Stage::new(Simulated::yes());
    let (base, vm, interaction) = (base_image(), VmId::random(), Interaction::Never);
    let base: Arc<OwnedFd> = Arc::new(File::open(base.path()).unwrap().into());
    let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
    let detach = || {
        let request = DetachSnapshot { vm, diskseq: None, interaction };
        asks(ALICE, &stage.socket(), async |mut helper| helper.detach_snapshot(request).await)
    };
    let attach = || {
        asks(ALICE, &stage.socket(), async |helper| {
            helper.attach_snapshot(request, Arc::clone(&base)).await
        })
    };
    // The first makes the overlay file, too.
    attach().unwrap();
    detach().unwrap();
    let begun = stage.kernel.state().steps;
    attach().unwrap();
    let steps = stage.kernel.state().steps - begun;
    detach().unwrap();
    for step in 1..=steps {
        let at = stage.kernel.state().steps + step;
        stage.kernel.state().waiting_at = Some(at);
        asks(ALICE, &stage.socket(), async |helper| {
            let attaching = helper.attach_snapshot(request, Arc::clone(&base));
            let there = async {
                while stage.kernel.state().steps < at {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            // The call is dropped, and so is the connection.
            tokio::select! { biased; () = there => {} answer = attaching => panic!("{answer:?}") }
        });
        assert_eq!(detach().unwrap_err().code, Code::Aborted, "step {step} of {steps}");
        stage.kernel.state().waiting_at = None;
        // Carried to its end.
        let end = Instant::now() + Duration::from_secs(60);
        let ended = loop {
            match detach() {
                Err(refusal) if refusal.code == Code::Aborted && Instant::now() < end => {}
                ended => break ended,
            }
        };
        assert_eq!(ended, Ok(Change::Removed), "step {step} of {steps}");
    }
    let state = stage.kernel.state();
    assert!(state.loops.is_empty() && state.devices.is_empty(), "{state:#?}");
}

#[test]
fn a_call_that_is_given_up_keeps_its_place_until_it_has_ended() {
    let capacity = Capacity { calls_of_user: 1, ..Capacity::UNIT };
    let stage = Stage::with(Simulated::yes(), capacity, Patience::CONTRACT);
    let (base, vm, interaction) = (base_image(), VmId::random(), Interaction::Never);
    let base: Arc<OwnedFd> = Arc::new(File::open(base.path()).unwrap().into());
    let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
    let socket = stage.socket();
    asks(ALICE, &socket, async |helper| {
        let mut other = RootHelper::connect(&socket).await.unwrap();
        // What a helper does first has been done.
        other.list_objects().await.unwrap();
        let at = stage.kernel.state().steps + 1;
        stage.kernel.state().waiting_at = Some(at);
        let attaching = helper.attach_snapshot(request, Arc::clone(&base));
        let there = async {
            while stage.kernel.state().steps < at {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Its stream is reset; the connection stays.
        tokio::select! { biased; () = there => {} answer = attaching => panic!("{answer:?}") }
        // Without a place it would be told at once that the VM has another call.
        let detaching = other.detach_snapshot(DetachSnapshot { vm, diskseq: None, interaction });
        tokio::pin!(detaching);
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut detaching).await;
        assert!(waits.is_err(), "{waits:?}");
        stage.kernel.state().waiting_at = None;
        assert_eq!(detaching.await, Ok(Change::Removed));
        drop(helper);
    });
}
