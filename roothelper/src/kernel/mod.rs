//! What the helper asks of Linux. The only place where unsafe code may stand.
#![expect(unsafe_code, reason = "system calls that no crate of ours has a safe form of")]

mod peer;

pub(crate) use peer::peer_pidfd;
