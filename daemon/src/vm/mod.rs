//! A VM's life. One task a VM is the only writer of its record; everybody else asks it.
//!
//! ```text
//!              start               the guest answers
//!  created ------------> starting ------------------> running
//!                        ^  |  |                      |   |
//!           start        |  |  | failed, cancelled    |   | stop
//!    +-------------------+  |  | (all of it undone)   |   v
//!    |                      |  |                      |  stopping
//!  stopped <----------------|--+----------------------|---+
//!    ^      cancelled       |         the guest       |
//!    |                      | failed  powered off     | the VMM ended
//!    +--- (a daemon that    v                         v on its own
//!          finds starting: failed <-------------------+
//!          undone)
//! ```
//!
//! `rm` leads out of every state but `starting`, `running` and `stopping`; with force
//! out of these too, by cancelling or killing first. A command that comes while an
//! operation is under way is answered at once where it contradicts, and waits where it
//! does not.

mod abandoned;
mod ending;
mod handle;
mod operations;
mod registry;
mod task;
mod view;

pub use handle::Handle;
pub use registry::Registry;
