//! The root helper's network on this kernel: each test in a network of its own, with guests that speak raw frames.

/// Ends a test that cannot run here; runs it again as root in a network of its own.
macro_rules! alone {
    () => {
        if !$crate::network::place::is_alone() {
            return;
        }
    };
}

mod frame;
mod life;
mod outside;
mod pinned;
mod place;
mod rules;
mod served;
mod walls;
