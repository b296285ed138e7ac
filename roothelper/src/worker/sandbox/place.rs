//! Where a worker stands: nowhere in particular, with nothing in its hands but its own.

use std::fs;
use std::io::{self, Error, ErrorKind};

use rustix::fs::Mode;

use super::{NotShutIn, step};

/// The descriptors of a worker: the socket to its parent, nothing, nothing, the device.
const OWN: u32 = 4;

pub(super) fn settle() -> Result<(), NotShutIn> {
    no_other_descriptor().map_err(step("find no other descriptor"))?;
    let _before = rustix::process::umask(Mode::from_raw_mode(0o777));
    rustix::process::chdir("/").map_err(step("leave its folder"))?;
    rustix::thread::set_name(c"banger-worker").map_err(step("take a name"))?;
    // Where memory is short, it is the one to go, and not who waits for it.
    fs::write("/proc/self/oom_score_adj", "1000").map_err(step("offer itself to the OOM killer"))
}

/// A descriptor that came along by mistake would be a way out.
fn no_other_descriptor() -> io::Result<()> {
    let mut open = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number: u32 = name.to_str().and_then(|name| name.parse().ok()).unwrap_or(u32::MAX);
        // The folder that is being read is open as well, under the next number.
        if number > OWN {
            let what = format!("descriptor {number} is open");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        open += 1;
    }
    if open == OWN + 1 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("{open} descriptors are open")))
}
