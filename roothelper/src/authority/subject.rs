//! How polkit is told who asks.

use std::os::fd::AsFd;

use zbus_polkit::policykit1::Subject;

use crate::Caller;

/// The first polkit that takes a process by its pidfd.
const TAKES_PIDFDS: u32 = 124;

/// What a polkit of this version is told of the caller, and whether it may ask a person
/// about it.
///
/// An older one is given the number and the uid of the socket, and finds the start time
/// by itself. The number may have passed to another process by then, so that a yes counts
/// only while the pidfd says that the caller still lives, and nobody is ever asked: the
/// answer would come too late for that.
pub(super) fn subject(
    caller: &Caller,
    version: &str,
) -> Result<(Subject, bool), zbus_polkit::Error> {
    if takes_pidfds(version) {
        Ok((Subject::new_for_owner(caller.pidfd().as_fd(), caller.uid().get())?, true))
    } else {
        let pid = caller.pid().as_raw_nonzero().get().unsigned_abs();
        // A start time of 0 is one that polkit looks up.
        Ok((Subject::new_for_pid(pid, Some(0), Some(caller.uid().get()))?, false))
    }
}

/// Versions were `0.105` to `0.120`, then `121` on. What cannot be read is taken for an old one.
fn takes_pidfds(version: &str) -> bool {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version
        .get(..end)
        .and_then(|number| number.parse::<u32>().ok())
        .is_some_and(|n| n >= TAKES_PIDFDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pidfds_are_for_those_who_take_them() {
        for new in ["124", "125.1", "126", "127~rc1", "1000"] {
            assert!(takes_pidfds(new), "{new}");
        }
        for old in
            ["", "0.105", "0.120", "121", "122", "123", "-124", " 124", "v124", "99999999999"]
        {
            assert!(!takes_pidfds(old), "{old}");
        }
    }
}
