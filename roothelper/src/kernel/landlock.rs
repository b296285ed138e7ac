//! Whether this kernel has Landlock, the worker's wall against files.

use std::io;

use super::Seen;

/// The version that came before Linux 6.5, which is needed anyway: who asks for less by it would
/// let files be cut short.
pub(crate) const NEEDED: i64 = 3;
/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: u32 = 1;

/// The kernel's version of Landlock, or what is missing.
pub(super) fn landlock() -> Seen {
    let (none, no_bytes) = (std::ptr::null::<u8>(), 0_usize);
    // SAFETY: with this flag it reads nothing, and answers with a number.
    let told = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, no_bytes, VERSION) };
    judged(if told < 0 { Err(io::Error::last_os_error()) } else { Ok(told) })
}

fn judged(told: io::Result<i64>) -> Seen {
    match told {
        Ok(version) if version >= NEEDED => Ok(format!("Landlock {version}")),
        Ok(version) => Err(format!("Landlock is of version {version}; {NEEDED} is needed")),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::EOPNOTSUPP) => "Landlock is turned off: it is not in the list lsm=".into(),
            Some(libc::ENOSYS) => "this kernel was built without Landlock".into(),
            _ => format!("Landlock cannot be used: {error}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_apart() {
        assert_eq!(judged(Ok(7)).unwrap(), "Landlock 7");
        assert!(judged(Ok(2)).unwrap_err().contains("3 is needed"));
        let of = |errno| judged(Err(io::Error::from_raw_os_error(errno))).unwrap_err();
        assert!(of(libc::EOPNOTSUPP).contains("lsm="));
        assert!(of(libc::ENOSYS).contains("built without"));
        assert!(of(libc::EPERM).contains("cannot be used"));
        // This one answers in one of these ways.
        let here = landlock();
        assert!(here.unwrap_or_else(|missing| missing).contains("Landlock"));
    }
}
