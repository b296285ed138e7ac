//! Starting bangerd: what it inherits, and its last words when it does not come up.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::MemfdFlags;

/// The variables that bangerd gets from the caller, beside the fixed ones. They say where
/// the owner's files are, and nothing else.
const INHERITED: &[&str] = &[
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// The variables that are the same for everybody.
const FIXED: &[(&str, &str)] = &[
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
];

/// Longest last words that are repeated, in bytes.
const LAST_WORDS: u64 = 4096;

/// A bangerd that was started and may not answer yet.
#[derive(Debug)]
pub(super) struct Starting {
    child: Child,
    words: File,
}

/// The environment that bangerd gets: where the owner's files are, and nothing else of ours.
pub(crate) fn environment() -> Vec<(&'static str, OsString)> {
    chosen(|name| env::var_os(name))
}

fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    INHERITED
        .iter()
        .filter_map(|&name| Some((name, variable(name)?)))
        .chain(FIXED.iter().map(|&(name, value)| (name, value.into())))
        .collect()
}

impl Starting {
    /// Starts `program` with nothing of ours but the folders' names: an environment of its
    /// own, the root as working directory, no descriptor, no terminal's signals.
    pub(super) fn spawn(program: &Path) -> io::Result<Self> {
        // Its log is its own affair; this is only for a start that fails. A file without a
        // name leaves nothing behind.
        let words: File = rustix::fs::memfd_create("bangerd-stderr", MemfdFlags::CLOEXEC)?.into();
        // Descriptors that our own caller left open are none of its business.
        close_fds::set_fds_cloexec(3, &[]);
        let child = Command::new(program)
            .env_clear()
            .envs(environment())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok(Self { child, words })
    }

    /// How it ended, when it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it said last.
    pub(super) fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        let read = self
            .words
            .metadata()
            .and_then(|m| self.words.seek(SeekFrom::Start(m.len().saturating_sub(LAST_WORDS))))
            .and_then(|_| self.words.by_ref().take(LAST_WORDS).read_to_end(&mut words));
        match read {
            Ok(_) => String::from_utf8_lossy(&words).trim().to_owned(),
            Err(error) => format!("(its last words cannot be read: {error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_environment_holds_the_owners_folders_and_nothing_else_of_the_callers() {
        let names: Vec<_> = chosen(|name| Some(format!("value of {name}").into()))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        insta::assert_snapshot!(names.join(" "), @"HOME XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME LANG PATH");
    }

    /// A shell in bangerd's place says what it got.
    #[test]
    fn it_gets_a_clean_place_to_run_in() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bangerd");
        let script = "#!/bin/sh\n{ pwd; ls -l /proc/self/fd | grep -c ' [3-9][0-9]* -> /tmp'; \
                      readlink /proc/$$/fd/0; cut -d' ' -f5 /proc/$$/stat; echo $$; env; } >&2\nexit 3\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        // Left open without close-on-exec, as a careless caller would.
        let open = File::open(folder.path()).unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        let mut starting = Starting::spawn(&program).unwrap();
        assert_eq!(starting.child.wait().unwrap().code(), Some(3));
        assert_eq!(starting.ended().unwrap().unwrap().code(), Some(3));
        let words = starting.last_words();
        let lines: Vec<_> = words.lines().collect();
        assert_eq!(&lines[..3], ["/", "0", "/dev/null"], "{words}");
        assert_eq!(lines[3], lines[4], "it leads a process group of its own");
        assert!(words.contains("LANG=C.UTF-8"), "{words}");
        assert!(!words.contains("CARGO"), "{words}");
    }
}
