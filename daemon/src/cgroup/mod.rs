//! A cgroup of its own for each VM, where systemd cares for this user's programs: what it may
//! take of the host.
//!
//! ```text
//! user@UID.service/app.slice/banger-PID.scope      delegated: whatever is below is bangerd's
//!   ├─ daemon                                      bangerd itself: none may be where others are
//!   └─ VM                                          its VMM, network and file servers; the limits
//! ```
//!
//! The first start of a VM has the user's own systemd make the scope, and puts bangerd into it.
//! That is done only where VMs live as long as without it: whoever logs out ends what systemd
//! cares for, unless the user lingers. Everywhere else VMs run without limits, and say why.
//!
//! A scope goes, with all below it, when its last process has ended: nothing is left to be
//! cleared up, whichever daemon made it and however that ended.

mod group;
mod limits;
mod scope;

pub(crate) use group::{Enclosed, Groups, remove_behind};
pub(crate) use limits::Limits;
