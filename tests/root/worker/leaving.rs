//! Clients that go at each step of a call about files: what has begun is carried to its end by its worker, others are
//! served meanwhile, and the device is free for the next.

use std::time::Duration;

use banger_proto::VmId;
use banger_proto::roothelper::{
    Change, DeviceHandle, Interaction, ReadExt4, RootHelper, WriteExt4,
};
use banger_roothelper::audit::Outcome;

use super::place::{file, path, small_filesystem};
use super::verbs::{ANN, BEN, Helper};

const NEVER: Interaction = Interaction::Never;

async fn ask(mut helper: RootHelper, device: DeviceHandle, writes: bool) {
    if writes {
        let writes = vec![file("/etc/made", "made")];
        let request = WriteExt4 { device, writes, interaction: NEVER };
        drop(helper.write_ext4_files(request).await.unwrap());
    } else {
        let paths = vec![path("/etc/hostname")];
        let request = ReadExt4 { device, paths, limit_bytes: 100, interaction: NEVER };
        drop(helper.read_ext4_file(request).await.unwrap());
    }
}

/// Makes the call, and is gone at this step: with its connection, or the call alone.
fn leave(helper: &Helper, device: DeviceHandle, writes: bool, step: usize, stays: bool) {
    let at = helper.kernel.state().steps + step;
    helper.kernel.state().waiting_at = Some(at);
    let (tell_gone, gone) = std::sync::mpsc::channel();
    let (tell_over, over) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            helper.asks(ANN, |client| async move {
                let staying = stays.then(|| client.clone());
                let there = async {
                    while helper.kernel.state().steps < at {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! { biased; () = there => {} () = ask(client, device, writes) => panic!("answered") }
                // It is on its way.
                tokio::time::sleep(Duration::from_millis(5)).await;
                tell_gone.send(()).unwrap();
                drop(over.await);
                drop(staying);
            });
        });
        gone.recv().expect("it is not answered");
        let listed = helper.asks(BEN, |mut ben| async move { ben.list_objects().await });
        assert_eq!(listed, Ok(vec![]), "another user does not wait");
        helper.kernel.state().waiting_at = None;
        drop(tell_over);
    });
}

#[test]
fn a_client_that_goes_at_any_step_of_a_call_about_files_is_not_missed() {
    as_root!();
    let image = small_filesystem(|_| {});
    for writes in [false, true] {
        let whole = Helper::with("good", &image);
        let device = whole.attach(VmId::random()).device;
        let begun = whole.kernel.state().steps;
        whole.asks(ANN, |client| ask(client, device, writes));
        let steps = whole.kernel.state().steps - begun;
        whole.end();
        assert!(steps > 1, "{steps}");
        for (step, stays) in (1..=steps).flat_map(|step| [(step, false), (step, true)]) {
            let what = format!("writes: {writes}, step {step} of {steps}, stays: {stays}");
            let helper = Helper::with("good", &image);
            let device = helper.attach(VmId::random()).device;
            leave(&helper, device, writes, step, stays);
            // The next call is told to wait until the worker has ended.
            let begun = std::time::Instant::now();
            let detached = loop {
                match helper.detach(device.vm) {
                    Err(_) if begun.elapsed() < Duration::from_secs(60) => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    ended => break ended,
                }
            };
            assert_eq!(detached, Ok(Change::Removed), "{what}");
            let ends = helper.ends();
            assert_eq!(ends.len(), usize::from(writes), "{what}: {ends:?}");
            assert!(
                ends.iter().all(|(outcome, _)| *outcome == Outcome::Applied),
                "{what}: {ends:?}"
            );
            let next = helper.attach(device.vm).device;
            assert_eq!(helper.read(next, "/etc/hostname").unwrap(), b"old\n", "{what}");
            if writes {
                assert_eq!(helper.read(next, "/etc/made").unwrap(), b"made", "{what}");
            }
            assert!(
                helper.kernel.state().devices.values().all(|device| device.open == 0),
                "{what}"
            );
            helper.end();
        }
    }
}
