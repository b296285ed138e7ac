//! Whether this user, this process and the bangerd that runs are of the helper's group.

use std::fs;
use std::path::Path;

use rustix::process::{Gid, getegid, getgroups};

use super::super::super::facts::Membership;
use super::super::system;
use crate::store::Instance;

const GROUP: &str = "banger";

/// The membership of this user.
pub(super) fn of(user: &str, state: &Path) -> Membership {
    let Some((number, members)) = system::group_named(GROUP) else { return Membership::default() };
    let mine = getgroups().unwrap_or_default();
    Membership {
        exists: true,
        joined: members.iter().any(|member| member == user),
        here: getegid() == Gid::from_raw(number) || mine.contains(&Gid::from_raw(number)),
        in_daemon: Instance::holder(state).and_then(|pid| has_group(pid, number)),
    }
}

/// Whether a process has a group; nothing where it has ended.
fn has_group(pid: u32, group: u32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // The second is the effective one.
    let effective = numbers("Gid:").into_iter().nth(1);
    let group = group.to_string();
    Some(effective.as_ref() == Some(&group) || numbers("Groups:").contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_own_groups() {
        let me = std::process::id();
        assert_eq!(has_group(me, getegid().as_raw()), Some(true));
        assert_eq!(has_group(me, 4_000_000_001), Some(false));
        for group in getgroups().unwrap() {
            assert_eq!(has_group(me, group.as_raw()), Some(true));
        }
        assert_eq!(has_group(u32::MAX, 0), None);
    }
}
