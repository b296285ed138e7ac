//! A copy-on-write file, as it lies there.

use banger_proto::VmId;

/// A copy-on-write file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Whose guest writes to it.
    pub vm: VmId,
    /// Its length in bytes, which counts against the quota.
    pub size: u64,
    /// Bytes that it takes on the disk.
    pub allocated: u64,
    /// Seconds since the epoch at which it was made; 0 where that is not known.
    pub since: i64,
}
