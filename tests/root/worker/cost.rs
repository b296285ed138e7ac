//! What a call costs: for people, and no test of anything.
//!
//! `BANGER_WORKER_CALLS` says how many; `BANGER_WORKER_PROGRAM` names another worker, such as
//! one that was built for release.

use std::time::Instant;

use banger_proto::roothelper::WriteOutcome;

use super::place::{Loop, Place, device, file, path, run, small_filesystem};

#[test]
fn the_cost_of_a_call() {
    as_root!();
    let calls = std::env::var("BANGER_WORKER_CALLS").ok().and_then(|calls| calls.parse().ok());
    let calls: u32 = calls.unwrap_or(3);
    let place = Place::new(&small_filesystem(|_| {}));
    if let Some(program) = std::env::var_os("BANGER_WORKER_PROGRAM") {
        std::fs::copy(program, place.folder().join("good")).unwrap();
    }
    let workers = place.workers("good");
    let attached = Loop::of(&place.image());
    run(async {
        let mut parts = Vec::new();
        for (what, at) in
            [("an image file", place.image()), ("a loop device", attached.path().into())]
        {
            let device = device(&at, ());
            let begin = Instant::now();
            for _ in 0..calls {
                let paths = vec![path("/etc/hostname")];
                assert!(workers.read(device.clone(), paths, 100).await.is_ok());
            }
            let read = begin.elapsed() / calls;
            let begin = Instant::now();
            for n in 0..calls {
                let batch =
                    (0..8).map(|file_n| file(&format!("/etc/f{file_n}"), n.to_string())).collect();
                let outcome = workers.write(device.clone(), batch).await;
                assert!(matches!(outcome, WriteOutcome::Applied { .. }), "{outcome:?}");
            }
            let write = begin.elapsed() / calls;
            parts.push(format!("on {what} {read:.1?} a read, {write:.1?} a batch of 8 files"));
        }
        println!("RESULT a call of an ext4 worker, of {calls}: {}", parts.join("; "));
    });
}
