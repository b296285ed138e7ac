//! The root helper's network on this kernel: each test in a network of its own, with guests that speak raw frames.

/// Ends a test that cannot run here; runs it again as root in a network of its own.
macro_rules! alone {
    () => {
        if !$crate::network::place::is_alone() {
            return;
        }
    };
}

mod foreign;
mod frame;
mod killed;
mod life;
mod outside;
mod pinned;
mod place;
mod rules;
mod served;
mod walls;

use std::process::Command;

use banger_tests::testbed::inside;

#[test]
fn the_walls_stand_on_a_distributions_kernel_too() {
    inside(|| {
        let own = std::env::current_exe().unwrap();
        let what = [
            "network::pinned::what_a_guest_sends",
            "network::walls::a_tap_that_takes",
            "--test-threads=1",
            "--nocapture",
        ];
        let output = Command::new(own).args(what).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let all = said.contains("test result: ok. 2 passed") && !said.contains("SKIPPED");
        assert!(all, "{said}{errors}");
    });
}
