//! Whether the host can carry what is asked of it: decided from figures, before anything
//! is done. What it cannot is refused with those figures, unless the user insists.

use std::path::{Path, PathBuf};

use banger_proto::{Code, Mib, Refusal};

use super::host_memory::Memory;
use crate::figure;

/// What a VMM needs beside the guest's memory, and the host to stay usable, in MiB.
const RESERVE: u64 = 128;

/// Refuses memory that the host will never have, swap left out.
///
/// # Errors
/// [`Code::ResourceExhausted`] with the figures.
pub(crate) fn memory_at_all(wanted: Mib, host: Option<Memory>) -> Result<(), Refusal> {
    let Some(total) = host.map(|host| host.total).filter(|total| *total < wanted.get()) else {
        return Ok(());
    };
    Err(Refusal::new(
        Code::ResourceExhausted,
        format!("{wanted} of memory is asked for, and this computer has {}", figure::mib(total)),
    )
    .hint("ask for less with --memory, or insist with --force"))
}

/// Whether a guest's memory fits now. Swap counts, and is slow: what fits only with it is
/// allowed, and said.
///
/// # Errors
/// [`Code::ResourceExhausted`] with the figures.
pub(crate) fn memory_now(
    name: &str,
    wanted: Mib,
    host: Option<Memory>,
) -> Result<Option<String>, Refusal> {
    let Some(Memory { available, swap, .. }) = host else { return Ok(None) };
    let needed = wanted.get() + RESERVE;
    if needed <= available {
        return Ok(None);
    }
    let figures = format!(
        "its guest may take {wanted} of memory and its VMM about {RESERVE} MiB, and this computer \
         has {} to spare",
        figure::mib(available)
    );
    if needed <= available + swap {
        return Ok(Some(format!("{figures}: with all of it in use, this computer swaps")));
    }
    let swap =
        if swap == 0 { String::new() } else { format!(" and {} of swap", figure::mib(swap)) };
    Err(Refusal {
        chain: vec![format!("{figures}{swap}")],
        ..Refusal::new(Code::ResourceExhausted, format!("there is not enough memory for {name}"))
    }
    .hint(format!("stop another VM, or insist: banger vm start --force {name}")))
}

/// How far disks can grow, and how much is free for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Growth {
    /// Bytes that the disks may still take.
    pub(super) bytes: u64,
    /// Bytes that are free where they lie.
    pub(super) free: u64,
}

impl Growth {
    /// Looks at sparse `disks`, which lie on the filesystem of `folder`.
    pub(super) fn of(disks: &[PathBuf], folder: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let mut bytes: u64 = 0;
        for disk in disks {
            let metadata = disk.metadata()?;
            bytes += metadata.len().saturating_sub(metadata.blocks() * 512);
        }
        let filesystem = rustix::fs::statvfs(folder)?;
        Ok(Self { bytes, free: filesystem.f_bavail.saturating_mul(filesystem.f_frsize) })
    }

    /// What to say when there is less room than the disks may take: a guest that fills them
    /// stops then. Most never do, so that it is no reason to refuse.
    pub(super) fn notice(self) -> Option<String> {
        (self.bytes > self.free).then(|| {
            format!(
                "its disks may grow by {}, and {} are free where they lie",
                figure::bytes(self.bytes),
                figure::bytes(self.free)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mib(value: u64) -> Mib {
        Mib::new(value).unwrap()
    }

    fn host(available: u64, swap: u64) -> Option<Memory> {
        Some(Memory { total: 24_105, available, swap })
    }

    #[test]
    fn memory_beyond_the_hosts_is_refused_with_the_figures() {
        assert_eq!(memory_at_all(mib(24_105), host(1, 0)), Ok(()));
        assert_eq!(memory_at_all(Mib::MAX, None), Ok(()), "a host that tells nothing");
        let refusal = memory_at_all(mib(65_536), host(24_000, 99_999)).unwrap_err();
        assert_eq!(refusal.code, Code::ResourceExhausted);
        for word in ["64 GiB", "23.5 GiB"] {
            assert!(refusal.message.contains(word), "{refusal:?}");
        }
        assert!(refusal.hint.contains("--force"));
    }

    #[test]
    fn memory_that_is_not_there_now_is_refused_and_swap_is_said() {
        assert_eq!(memory_now("web", mib(1024), None), Ok(None));
        assert_eq!(memory_now("web", mib(1024), host(1024 + RESERVE, 0)), Ok(None));
        let said = memory_now("web", mib(1024), host(1000, 2000)).unwrap().unwrap();
        assert!(said.contains("1 GiB") && said.contains("1000 MiB"), "{said}");
        let refusal = memory_now("web", mib(1024), host(1000, 100)).unwrap_err();
        assert_eq!(refusal.code, Code::ResourceExhausted);
        let because = &refusal.chain[0];
        assert!(because.contains("1000 MiB to spare and 100 MiB of swap"), "{because}");
        assert!(refusal.hint.contains("--force web"), "{refusal:?}");
    }

    #[test]
    fn disks_that_may_outgrow_the_host_are_said() {
        assert_eq!(Growth { bytes: 5, free: 5 }.notice(), None);
        let said = Growth { bytes: 16 << 30, free: 900 << 20 }.notice().unwrap();
        assert!(said.contains("16.0 GiB") && said.contains("900 MiB"), "{said}");
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::File::create(&disk).unwrap().set_len(1 << 40).unwrap();
        let growth = Growth::of(&[disk], folder.path()).unwrap();
        assert_eq!(growth.bytes, 1 << 40);
        assert!(growth.free > 0);
    }
}
