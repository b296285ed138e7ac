//! How much one owner may have and one request may carry.

use banger_proto::Invalid;
use banger_proto::roothelper::HelperLimits;

/// The limits of one owner and of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Apparent bytes of copy-on-write files that an owner may have.
    pub overlay_quota_bytes: u64,
    /// Snapshots, and taps, that an owner may have at once.
    pub vms: u32,
    /// Bytes of a file that may be read in one request.
    pub read_bytes: u64,
    /// Paths that may be read in one request.
    pub read_paths: usize,
    /// Files that may be changed in one request.
    pub batch_entries: usize,
    /// Bytes of paths and contents in one request.
    pub batch_bytes: usize,
    /// VMs that a sweep may be told to keep, and so the overlay files that an owner may have.
    pub keep_vms: usize,
}

/// A limit that a request would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} would be {wanted}, more than the limit of {limit}")]
pub struct LimitExceeded {
    /// What is limited, with its unit.
    pub what: &'static str,
    /// What the request comes to.
    pub wanted: u64,
    /// What is allowed.
    pub limit: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            overlay_quota_bytes: 256 << 30,
            vms: 64,
            read_bytes: 1 << 20,
            read_paths: 64,
            batch_entries: 1024,
            // With its framing it is within a message of 4 MiB.
            batch_bytes: 3 << 20,
            keep_vms: 8192,
        }
    }
}

impl From<LimitExceeded> for Invalid {
    fn from(exceeded: LimitExceeded) -> Self {
        let LimitExceeded { what, wanted, .. } = exceeded;
        Self::new(what, &wanted.to_string(), "more than the limit, which Describe tells")
    }
}

impl From<Limits> for HelperLimits {
    fn from(limits: Limits) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            overlay_quota_bytes: limits.overlay_quota_bytes,
            vms: limits.vms,
            read_bytes: limits.read_bytes,
            read_paths: count(limits.read_paths),
            batch_entries: count(limits.batch_entries),
            batch_bytes: limits.batch_bytes as u64,
            keep_vms: count(limits.keep_vms),
        }
    }
}

fn within(what: &'static str, wanted: u64, limit: u64) -> Result<(), LimitExceeded> {
    if wanted <= limit { Ok(()) } else { Err(LimitExceeded { what, wanted, limit }) }
}

impl Limits {
    /// May an owner with `used` bytes of overlay files get a new one of `more` bytes?
    ///
    /// # Errors
    /// When the quota would be passed, also by sums beyond 64 bits.
    pub fn check_overlay(&self, used: u64, more: u64) -> Result<(), LimitExceeded> {
        within("bytes of overlay files", used.saturating_add(more), self.overlay_quota_bytes)
    }

    /// May an owner with so many overlay files get one more?
    ///
    /// # Errors
    /// When there would be more than a sweep can be told of.
    pub fn check_overlays(&self, files: usize) -> Result<(), LimitExceeded> {
        within("overlay files", files as u64 + 1, self.keep_vms as u64)
    }

    /// May an owner who has `attached` snapshots attach one more?
    ///
    /// # Errors
    /// When that is one too many.
    pub fn check_vms(&self, attached: u32) -> Result<(), LimitExceeded> {
        within("attached VMs", u64::from(attached) + 1, self.vms.into())
    }

    /// May a request read so many paths, of up to `limit_bytes` in all?
    ///
    /// # Errors
    /// When it asks for more than a request may carry.
    pub fn check_read(&self, limit_bytes: u64, paths: usize) -> Result<(), LimitExceeded> {
        within("paths to read", paths as u64, self.read_paths as u64)?;
        within("bytes to read", limit_bytes, self.read_bytes)
    }

    /// May a sweep be told to keep so many VMs?
    ///
    /// # Errors
    /// When they are too many.
    pub fn check_keep(&self, vms: usize) -> Result<(), LimitExceeded> {
        within("VMs to keep", vms as u64, self.keep_vms as u64)
    }

    /// May a request carry changes with these lengths of path plus content, in bytes?
    ///
    /// # Errors
    /// When they are too many or too long.
    pub fn check_batch(
        &self,
        lengths: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(), LimitExceeded> {
        within("files of a batch", lengths.len() as u64, self.batch_entries as u64)?;
        let total = lengths.fold(0, usize::saturating_add);
        within("bytes of a batch", total as u64, self.batch_bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        overlay_quota_bytes: 100,
        vms: 2,
        read_bytes: 10,
        read_paths: 2,
        batch_entries: 3,
        batch_bytes: 10,
        keep_vms: 1,
    };

    #[test]
    fn the_last_byte_fits_and_the_next_does_not() {
        assert!(LIMITS.check_overlay(60, 40).is_ok());
        assert!(LIMITS.check_overlay(60, 41).is_err());
        assert!(LIMITS.check_overlay(1, u64::MAX).is_err());
        assert!(LIMITS.check_vms(1).is_ok());
        assert!(LIMITS.check_vms(2).is_err());
        assert!(LIMITS.check_vms(u32::MAX).is_err());
        assert!(LIMITS.check_read(10, 2).is_ok());
        assert!(LIMITS.check_read(u64::MAX, 2).is_err());
        assert!(LIMITS.check_read(10, 3).is_err());
        assert!(LIMITS.check_keep(1).is_ok() && LIMITS.check_keep(2).is_err());
    }

    #[test]
    fn a_batch_is_limited_in_files_and_in_bytes() {
        assert!(LIMITS.check_batch([5, 5].into_iter()).is_ok());
        assert!(LIMITS.check_batch([0; 4].into_iter()).is_err());
        assert!(LIMITS.check_batch([5, 6].into_iter()).is_err());
        assert!(LIMITS.check_batch([usize::MAX, 2].into_iter()).is_err());
    }
}
