//! An ordinary user with an empty home, the built programs, and nothing else.
//!
//! Where the suite runs as root, the user is `banger-test`, made when absent; otherwise it
//! is whoever runs the suite. Every fixture has folders of its own, so that tests do not meet.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::skip;

/// The user that tests run as when the suite runs as root.
const USER: &str = "banger-test";

/// The programs that an owner is given.
const PROGRAMS: [&str; 2] = ["banger", "bangerd"];

/// An ordinary user with folders of its own.
#[derive(Debug)]
pub struct Owner {
    account: Account,
    home: TempDir,
    data: PathBuf,
    variables: Vec<(String, String)>,
}

/// The user's entry in the account database.
#[derive(Debug, Clone)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home folder.
    pub home: PathBuf,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The account that owners have here; `None`, with the skip noted, when there can be none.
pub fn account() -> Option<Account> {
    let name = if is_root() {
        // Tests run in processes of their own: only one of them may make the user.
        let lock = File::create("/run/lock/banger-test-user").expect("a lock file can be made");
        lock.lock().expect("the lock can be taken");
        if lookup(USER).is_none() {
            let made = Command::new("useradd")
                .args(["--create-home", "--shell", "/bin/bash", USER])
                .status();
            if !made.is_ok_and(|status| status.success()) {
                skip("an ordinary user cannot be made here (useradd failed)");
                return None;
            }
        }
        USER.to_owned()
    } else {
        text(Command::new("id").arg("-un"))
    };
    Some(lookup(&name).expect("the account can be looked up"))
}

fn lookup(name: &str) -> Option<Account> {
    let output = Command::new("getent").args(["passwd", name]).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let fields: Vec<_> = line.trim_end().split(':').collect();
    let [name, _, uid, gid, _, home, _] = fields[..] else { return None };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.into(),
    })
}

/// The folder of the programs that this build made, or of those that are named.
fn built() -> PathBuf {
    // Measurements want programs that are optimised.
    if let Some(folder) = std::env::var_os("BANGER_PROGRAMS") {
        return folder.into();
    }
    let built = crate::built();
    for program in PROGRAMS {
        assert!(built.join(program).exists(), "{program} is not built: use `make test`");
    }
    built
}

impl Owner {
    /// An owner with an empty home; `None`, with the skip noted, where there can be none.
    pub fn new() -> Option<Self> {
        let account = account()?;
        let home = tempfile::Builder::new()
            .prefix("banger-test.")
            .tempdir_in("/var/tmp")
            .expect("a folder can be made in /var/tmp");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in PROGRAMS {
            // The checkout may be where only root can read.
            let (from, to) = (built().join(program), bin.join(program));
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
        }
        let owner =
            Self { data: home.path().join(".local/share"), account, home, variables: Vec::new() };
        owner.give(owner.home());
        Some(owner)
    }

    /// The same with its images in `data`, which lasts longer than the owner.
    #[must_use]
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// The same with a variable in the environment of every command.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The owner's account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The owner's home folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// bangerd's state folder.
    pub fn state(&self) -> PathBuf {
        self.home().join(".local/state/banger")
    }

    /// The folder of images.
    pub fn images(&self) -> PathBuf {
        self.data.join("banger/images")
    }

    /// Makes a file or folder the owner's.
    pub fn give(&self, path: &Path) {
        if is_root() {
            chown(path, Some(self.account.uid), Some(self.account.gid)).unwrap();
        }
    }

    /// Writes a file of the owner.
    pub fn write(&self, path: &Path, content: &[u8]) {
        fs::write(path, content).unwrap();
        self.give(path);
    }

    /// A command that runs as the owner with a fixed environment and no terminal.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command_as(&self.account, self.home(), &self.data, &self.variables, program.as_ref())
    }

    /// `banger` with these arguments, not yet started.
    pub fn banger<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(self.home().join("bin/banger"));
        command.args(arguments);
        command
    }

    /// Runs `banger` and gives what it printed.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.banger(arguments).output().expect("banger can be started")
    }

    /// Runs `banger`, which must succeed, and gives its standard output.
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&arguments);
        assert!(
            output.status.success(),
            "banger {arguments:?} ended with {}\n--- stdout\n{}--- stderr\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8(output.stdout).expect("the output is text")
    }

    /// Processes of this owner's programs: those with the home in their command line, or
    /// with a file below it open. A VMM behind its walls has only the latter.
    pub fn processes(&self) -> Vec<u32> {
        let needle = self.home().as_os_str().as_encoded_bytes();
        let names_home = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        let entries = fs::read_dir("/proc").expect("/proc can be read");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| *pid != std::process::id())
            .filter(|pid| {
                let told =
                    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| names_home(&line));
                let open =
                    || fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
                told || open().any(|descriptor| {
                    fs::read_link(descriptor.path())
                        .is_ok_and(|file| names_home(file.as_os_str().as_encoded_bytes()))
                })
            })
            .collect()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Whatever a failed test left: nothing of it may outlive the test.
        for pid in self.processes() {
            let _ =
                Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

fn command_as(
    account: &Account,
    home: &Path,
    data: &Path,
    variables: &[(String, String)],
    program: &OsStr,
) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", account.uid))
            .arg(format!("--regid={}", account.gid))
            .args(["--init-groups", "--", "env", "-i"]);
        command
    } else {
        let mut command = Command::new("env");
        command.arg("-i");
        command
    };
    let variable = |name: &str, value: &OsStr| {
        let mut pair = std::ffi::OsString::from(name);
        pair.push("=");
        pair.push(value);
        pair
    };
    command
        .arg(variable("HOME", home.as_os_str()))
        .arg(variable("XDG_DATA_HOME", data.as_os_str()))
        .arg(variable("USER", OsStr::new(&account.name)))
        .args(["LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"])
        .args(variables.iter().map(|(name, value)| variable(name, OsStr::new(value))))
        .arg(program)
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Runs a program that must succeed and gives its output without the last newline.
fn text(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?} ended with {}", output.status);
    String::from_utf8(output.stdout).expect("the output is text").trim_end().to_owned()
}

/// A folder of the owner's account that outlives the tests, for what is slow to make.
pub fn cache(account: &Account) -> io::Result<PathBuf> {
    let folder = account.home.join(".cache/banger-test");
    let parent = account.home.join(".cache");
    for folder in [&parent, &folder] {
        match fs::create_dir(folder) {
            Ok(()) if is_root() => chown(folder, Some(account.uid), Some(account.gid))?,
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(folder)
}
