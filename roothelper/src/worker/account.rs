//! Whom the worker becomes: a system user of its own, found without asking anybody.

use std::fs::File;
use std::io::{self, Read};

/// Largest file of users that is read, in bytes.
const LARGEST: u64 = 4 << 20;
const USERS: &str = "/etc/passwd";

/// The user and group of workers, nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum NoAccount {
    /// The users cannot be read.
    #[error("cannot read {USERS}")]
    Unreadable(#[source] io::Error),
    /// There is none of that name.
    #[error("there is no user {}; its package makes it (systemd-sysusers)", Account::NAME)]
    Missing,
    /// Its line is no line of a user.
    #[error("the line of user {} in {USERS} makes no sense", Account::NAME)]
    Garbled,
    /// It is root, or a number that stands for several.
    #[error("uid {uid} and gid {gid} cannot be the worker's: they are not its alone")]
    NotItsOwn {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Somebody else has the same number.
    #[error("user {} shares uid {uid} with another", Account::NAME)]
    Shared {
        /// The number.
        uid: u32,
    },
}

impl Account {
    /// The user's name.
    pub const NAME: &str = "banger-worker";

    /// Checks that these numbers can be a worker's: not root's, and not those that stand for
    /// whoever has none here.
    ///
    /// # Errors
    /// [`NoAccount::NotItsOwn`].
    pub const fn new(uid: u32, gid: u32) -> Result<Self, NoAccount> {
        const fn shared(id: u32) -> bool {
            matches!(id, 0 | 65_534 | 65_535) || id > 0x7fff_ffff
        }
        if shared(uid) || shared(gid) {
            return Err(NoAccount::NotItsOwn { uid, gid });
        }
        Ok(Self { uid, gid })
    }

    /// The user as the machine has it: a line of `/etc/passwd`, read without the name service.
    ///
    /// # Errors
    /// [`NoAccount`].
    pub fn find() -> Result<Self, NoAccount> {
        let mut text = Vec::new();
        File::open(USERS)
            .and_then(|file| file.take(LARGEST).read_to_end(&mut text))
            .map_err(NoAccount::Unreadable)?;
        Self::of(&text)
    }

    fn of(users: &[u8]) -> Result<Self, NoAccount> {
        let lines = || users.split(|&byte| byte == b'\n').map(Line::of);
        let mut ours = lines().filter(|line| line.name == Self::NAME.as_bytes());
        let (Some(line), None) = (ours.next(), ours.next()) else {
            // Two of a name are as good as none: which is meant?
            return Err(NoAccount::Missing);
        };
        let (Some(uid), Some(gid)) = (line.uid, line.gid) else { return Err(NoAccount::Garbled) };
        if lines().filter(|line| line.uid == Some(uid)).count() > 1 {
            return Err(NoAccount::Shared { uid });
        }
        Self::new(uid, gid)
    }

    /// The user.
    #[must_use]
    pub const fn uid(self) -> u32 {
        self.uid
    }

    /// The group.
    #[must_use]
    pub const fn gid(self) -> u32 {
        self.gid
    }
}

struct Line<'a> {
    name: &'a [u8],
    uid: Option<u32>,
    gid: Option<u32>,
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().unwrap_or_default();
        let number = |field: Option<&[u8]>| {
            let text = std::str::from_utf8(field?).ok()?;
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        let (uid, gid) = (number(fields.nth(1)), number(fields.next()));
        Self { name, uid, gid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "root:x:0:0:root:/root:/bin/bash\n";

    fn of(line: &str) -> Result<Account, NoAccount> {
        Account::of(format!("{ROOT}{line}\nnobody:x:65534:65534::/:/bin/false\n").as_bytes())
    }

    #[test]
    fn a_user_of_its_own_is_found() {
        let found = of("banger-worker:x:994:993:banger ext4 worker:/:/usr/sbin/nologin").unwrap();
        assert_eq!((found.uid(), found.gid()), (994, 993));
    }

    #[test]
    fn nobody_and_root_and_who_shares_are_not_the_worker() {
        assert!(matches!(of(""), Err(NoAccount::Missing)));
        assert!(matches!(of("banger-worker2:x:5:5:::"), Err(NoAccount::Missing)));
        let twice = "banger-worker:x:5:5:::\nbanger-worker:x:6:6:::";
        assert!(matches!(of(twice), Err(NoAccount::Missing)));
        for garbled in ["banger-worker", "banger-worker:x:+5:5:::", "banger-worker:x:5::::"] {
            assert!(matches!(of(garbled), Err(NoAccount::Garbled)), "{garbled}");
        }
        for uid in ["0", "65534", "65535", "2147483648", "4294967295"] {
            let shared = of(&format!("banger-worker:x:{uid}:7:::"));
            let refused =
                matches!(shared, Err(NoAccount::NotItsOwn { .. } | NoAccount::Shared { .. }));
            assert!(refused, "{uid}");
        }
        assert!(matches!(of("banger-worker:x:7:0:::"), Err(NoAccount::NotItsOwn { .. })));
        let two = of("banger-worker:x:7:7:::\nother:x:7:8:::");
        assert!(matches!(two, Err(NoAccount::Shared { uid: 7 })));
    }
}
