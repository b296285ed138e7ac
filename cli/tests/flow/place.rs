//! A user's home, programs and all, in which the command line runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user in whose place root runs the tests: banger refuses to run as root.
const SOMEBODY: u32 = 65_534;

pub(crate) struct Place {
    base: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn built(name: &str) -> PathBuf {
    // .../deps/flow-hash -> .../examples/name
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

impl Place {
    /// A home whose bangerd behaves as the words of `scenario` say.
    pub(crate) fn new(scenario: &[&str]) -> Self {
        let place = Self { base: tempfile::tempdir().unwrap() };
        // Programs are copied: the build may lie where only root can read.
        fs::create_dir(place.programs()).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_banger"), place.programs().join("banger")).unwrap();
        fs::copy(built("fake-bangerd"), place.programs().join("bangerd")).unwrap();
        place.program("ssh", "printf '%s\\n' \"$@\" >\"$HOME/ssh-arguments\"; exit 0");
        fs::create_dir(place.home()).unwrap();
        fs::write(place.home().join("scenario"), scenario.join("\n")).unwrap();
        place.open(place.base.path());
        if rustix::process::geteuid().is_root() {
            chown(place.home(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
        place
    }

    fn open(&self, folder: &Path) {
        fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }

    pub(crate) fn programs(&self) -> PathBuf {
        self.base.path().join("bin")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.base.path().join("home")
    }

    /// A shell script in the place of a program.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.programs().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        self.open(&path);
    }

    /// The command line with these arguments, not yet started.
    pub(crate) fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = self.shell();
        command.arg(self.programs().join("banger")).args(arguments);
        command
    }

    /// A command of the user's, whose program is its first argument.
    pub(crate) fn shell(&self) -> Command {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            let id = SOMEBODY.to_string();
            command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups"]);
            command
        } else {
            Command::new("env")
        };
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", format!("{}:/usr/bin:/bin", self.programs().display()))
            .stdin(Stdio::null())
            .current_dir("/");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.banger(arguments).output().unwrap().into()
    }

    /// What bangerd was asked, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.home().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Waits until bangerd was asked this.
    pub(crate) fn wait_for_call(&self, call: &str) {
        let begun = Instant::now();
        while !self.calls().iter().any(|line| line == call) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {call} in {:?}", self.calls());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What ssh was given.
    pub(crate) fn ssh_arguments(&self) -> String {
        fs::read_to_string(self.home().join("ssh-arguments")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["daemon", "stop"]);
    }
}
