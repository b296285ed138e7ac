//! The root helper's ext4 worker: real processes behind real walls, on image files and loop
//! devices.

/// Ends a test that cannot run here. One that is not root's runs again as root, by sudo.
macro_rules! as_root {
    () => {
        if !$crate::worker::place::is_root() {
            return;
        }
    };
}

mod cost;
mod hostile;
mod killed;
mod large_log;
mod leaving;
mod place;
mod reading;
mod verbs;
mod walls;
mod writing;
mod wrong;
