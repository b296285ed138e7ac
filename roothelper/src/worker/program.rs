//! The program that becomes a worker, which is our own, and the arguments that make it one.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::Account;

/// The first argument of a worker.
pub const ARGUMENT: &str = "ext4-worker";
/// What a worker is called in lists of processes.
const NAME: &str = "banger-roothelper";

/// The program, held open: what is started is what runs, whatever lies at its path by then.
#[derive(Debug)]
pub struct Program {
    file: File,
}

impl Program {
    /// This very program.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn this() -> io::Result<Self> {
        Self::at(Path::new("/proc/self/exe"))
    }

    /// The program at a path.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn at(path: &Path) -> io::Result<Self> {
        let file: OwnedFd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { file: file.into() })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// What a worker may do with its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Look.
    Read,
    /// Look, and change it.
    Write,
}

/// What a worker is told before it has shut itself in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) role: Role,
    pub(super) account: Account,
    /// Process number of who starts it, without whom it must not live.
    pub(super) parent: i32,
    /// Seconds of a processor that it may use.
    pub(super) seconds: u32,
}

impl Arguments {
    pub(super) const NAME: &str = NAME;

    pub(super) fn to_words(self) -> [String; 6] {
        let role = match self.role {
            Role::Read => "read",
            Role::Write => "write",
        };
        [
            ARGUMENT.to_owned(),
            role.to_owned(),
            self.account.uid().to_string(),
            self.account.gid().to_string(),
            self.parent.to_string(),
            self.seconds.to_string(),
        ]
    }

    /// Reads what follows [`ARGUMENT`].
    pub(super) fn parse(words: &[OsString]) -> Option<Self> {
        let mut texts = [""; 5];
        if words.len() != texts.len() {
            return None;
        }
        for (text, word) in texts.iter_mut().zip(words) {
            *text = word.to_str()?;
        }
        let [role, uid, gid, parent, seconds] = texts;
        let role = match role {
            "read" => Role::Read,
            "write" => Role::Write,
            _ => return None,
        };
        let account = Account::new(uid.parse().ok()?, gid.parse().ok()?).ok()?;
        Some(Self { role, account, parent: parent.parse().ok()?, seconds: seconds.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_they_were_written_and_others_are_none() {
        let account = Account::new(994, 993).unwrap();
        for role in [Role::Read, Role::Write] {
            let ours = Arguments { role, account, parent: 4711, seconds: 20 };
            let words: Vec<_> = ours.to_words().into_iter().skip(1).map(OsString::from).collect();
            assert_eq!(Arguments::parse(&words), Some(ours));
        }
        for bad in ["", "read", "read 1 1 1", "read 0 1 1 1", "all 5 5 1 1", "read 5 65534 1 1"] {
            let words: Vec<_> = bad.split(' ').map(OsString::from).collect();
            assert_eq!(Arguments::parse(&words), None, "{bad}");
        }
    }
}
