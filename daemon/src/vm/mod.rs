//! A VM's life. One task a VM is the only writer of its record; everybody else asks it.
//!
//! ```text
//!             start               sshd answers
//!  created ----------> starting --------------> running <----------+
//!     ^                 |  |  ^                  |   |             | the stop failed, or
//!     |  broken off     |  |  | start            |   | stop        | the daemon was killed
//!     +-----------------+  |  +-------+          |   v             | while it stopped
//!        (first start)     |          |          |  stopping ------+
//!                          |          |          |   |
//!               broken off +------> stopped <----+---+  it powered off or was killed
//!                          |          |          |   |
//!              failed, all |          |          |   |
//!               of it      |          |          |   |
//!               undone     +------> failed <-----+---+  its kernel panicked, its VMM died
//! ```
//!
//! Every arrow by its ends, which `may_become` knows and nothing else is possible:
//!
//! ```text
//!  created  -> starting
//!  starting -> running created stopped failed
//!  running  -> stopping stopped failed
//!  stopping -> running stopped failed
//!  stopped  -> starting
//!  failed   -> starting
//! ```
//!
//! A daemon that finds `starting` undoes the start and makes it `failed`; one that finds
//! `stopping` and a VMM that lives makes it `running`: the guest ends when it ends.
//!
//! `restart` is `stop` and `start` with nothing between. A VM whose time is over
//! (`--ttl`) is removed from wherever it is.
//!
//! `rm` leads out of every state but `starting`, `running` and `stopping`; with force
//! out of these too, by cancelling or killing first. A command that comes while an
//! operation is under way is answered at once where it contradicts, and waits where it
//! does not.

mod abandoned;
mod attend;
mod change;
mod ending;
mod expiry;
mod handle;
mod operations;
mod registry;
mod task;
mod transitions;
mod view;

pub use handle::Handle;
pub use registry::Registry;
