//! How a program is started: what it inherits, and what it does not.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::{Finder, Missing, Process, Program};

/// Makes the calling process what its children are to inherit: umask 077 and a
/// session without a terminal. The daemon's main calls it before any thread
/// exists. That the process leads a session already is fine.
pub fn settle() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Fails only for the leader of a process group, which has left its
    // starter's session already or was given one on purpose.
    let _led_already = rustix::process::setsid();
}

/// Environment variables beyond the fixed ones.
pub type Environment = Vec<(&'static str, OsString)>;

/// A program that is about to be started.
///
/// Begins with nothing: no arguments, `/` as working directory, `PATH`, `LANG` and
/// `HOME=/` as the whole environment, `/dev/null` three times, no descriptors.
#[derive(Debug)]
pub struct Launch {
    program: PathBuf,
    name: &'static str,
    arguments: Vec<OsString>,
    directory: PathBuf,
    environment: Environment,
    streams: [Stdio; 3],
    descriptors: Vec<(RawFd, OwnedFd)>,
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}")]
pub struct LaunchError {
    program: String,
    #[source]
    source: io::Error,
}

/// A program that was started. Dropping it leaves the program running.
#[derive(Debug)]
pub struct Started {
    /// The process: its name, its end.
    pub process: Process,
    /// Its pipes and its exit status.
    pub child: Child,
}

impl Started {
    /// Asks the program and everything in its process group to end, and kills what
    /// is left when it has not ended within `patience`.
    pub async fn end_group(&mut self, patience: Duration) {
        self.signal_group(Signal::TERM);
        if tokio::time::timeout(patience, self.process.ended()).await.is_err() {
            self.kill_group();
        }
        let _reaped = self.child.wait().await;
    }

    /// Kills the program and everything in its process group.
    pub fn kill_group(&self) {
        self.signal_group(Signal::KILL);
    }

    fn signal_group(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.process.id().pid) {
            // The child has not been waited for while `self` lives, so that its
            // number is still its own; without a group left there is nothing to do.
            let _gone = Pid::from_raw(group).map(|g| kill_process_group(g, signal));
        }
    }
}

impl Launch {
    /// Finds `program`.
    ///
    /// # Errors
    /// [`Missing`] when it is not installed.
    pub fn new(program: &Program, finder: &Finder) -> Result<Self, Missing> {
        Ok(Self {
            program: finder.find(program)?,
            name: program.name,
            arguments: Vec::new(),
            directory: PathBuf::from("/"),
            environment: vec![
                ("PATH", finder.search_path()),
                ("LANG", "C.UTF-8".into()),
                ("HOME", "/".into()),
            ],
            streams: [Stdio::null(), Stdio::null(), Stdio::null()],
            descriptors: Vec::new(),
        })
    }

    /// This very program once more, also when its file has been replaced since.
    #[must_use]
    pub fn this_program(name: &'static str) -> Self {
        Self {
            program: this_file(),
            name,
            arguments: Vec::new(),
            directory: PathBuf::from("/"),
            environment: vec![("LANG", "C.UTF-8".into()), ("HOME", "/".into())],
            streams: [Stdio::null(), Stdio::null(), Stdio::null()],
            descriptors: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Chooses the working directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = directory.to_owned();
        self
    }

    /// Adds to the environment; a later value of a name wins.
    #[must_use]
    pub fn environment(mut self, more: Environment) -> Self {
        self.environment.extend(more);
        self
    }

    /// Chooses where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.streams[0] = from.into();
        self
    }

    /// Chooses where standard output goes.
    #[must_use]
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.streams[1] = to.into();
        self
    }

    /// Chooses where standard error goes.
    #[must_use]
    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.streams[2] = to.into();
        self
    }

    /// Hands over a descriptor under a number of 3 or more. It is closed here once
    /// the program has it.
    #[must_use]
    pub fn descriptor(mut self, number: RawFd, descriptor: OwnedFd) -> Self {
        self.descriptors.push((number, descriptor));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`LaunchError`] when the kernel refuses.
    pub fn start(self) -> Result<Started, LaunchError> {
        let name = self.name;
        let failed = move |source| LaunchError { program: name.to_owned(), source };
        let [stdin, stdout, stderr] = self.streams;
        let mut command = Command::new(self.program);
        command
            .args(self.arguments)
            .current_dir(self.directory)
            .env_clear()
            .envs(self.environment)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        let inner = command.as_std_mut();
        inner.arg0(name);
        inner.process_group(0);
        let mappings = self
            .descriptors
            .into_iter()
            .map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd })
            .collect();
        inner
            .fd_mappings(mappings)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let mut child = command.spawn().map_err(failed)?;
        // Until it is waited for, the number is surely the child's.
        let held = child
            .id()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            .and_then(Process::hold);
        match held {
            Ok(process) => Ok(Started { process, child }),
            Err(error) => {
                // Without a hold on it, it would be a program nobody can stop.
                let _already_gone = child.start_kill();
                Err(failed(error))
            }
        }
    }
}

/// This program's file. That of a unit test is no bangerd: it takes the one that was built with it.
fn this_file() -> PathBuf {
    let built = std::env::current_exe().ok().filter(|_| cfg!(test));
    let built = built.as_deref().and_then(Path::parent).and_then(Path::parent);
    built.map_or_else(|| "/proc/self/exe".into(), |folder| folder.join("bangerd"))
}

/// A program that is to stay once everything around it is there: it is killed unless that comes
/// to be, also when the start is broken off.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The program.
    pub(crate) started: Started,
    /// All is there.
    pub(crate) succeeded: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.succeeded {
            // bubblewrap's child leads a session of its own, and would live on without it.
            for child in self.started.process.children() {
                let _gone = child.signal(Signal::KILL);
            }
            self.started.kill_group();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, Write};

    use super::*;

    const SH: Program = Program { name: "sh", package: "dash", purpose: "test", elsewhere: &[] };

    async fn output(launch: Launch) -> String {
        let started = launch.stdout(Stdio::piped()).start().unwrap();
        let out = started.child.wait_with_output().await.unwrap();
        String::from_utf8(out.stdout).unwrap()
    }

    fn shell(script: &str) -> Launch {
        Launch::new(&SH, &Finder::default()).unwrap().arguments(["-c", script])
    }

    #[tokio::test]
    async fn the_environment_is_fixed() {
        let text = output(shell("/usr/bin/env; pwd")).await;
        let mut names: Vec<_> =
            text.lines().filter_map(|l| l.split_once('=')).map(|(n, _)| n).collect();
        names.sort_unstable();
        // PWD and _ are the shell's own.
        names.retain(|n| !["PWD", "OLDPWD", "_", "SHLVL"].contains(n));
        assert_eq!(names, ["HOME", "LANG", "PATH"]);
        assert_eq!(text.lines().last(), Some("/"));
    }

    #[tokio::test]
    async fn only_the_given_descriptors_arrive() {
        let _open_here = File::open("/etc/passwd").unwrap();
        let mut given = tempfile::tempfile().unwrap();
        given.write_all(b"given").unwrap();
        given.rewind().unwrap();
        let launch = shell("cat <&7; exec ls -l /proc/self/fd").descriptor(7, given.into());
        let text = output(launch).await;
        assert!(text.starts_with("given"), "{text}");
        assert!(text.contains(" 7 -> "), "{text}");
        // A test runner may leave descriptors of its own open; a daemon closes those first.
        assert!(!text.contains("/etc/passwd"), "{text}");
    }

    #[tokio::test]
    async fn it_has_a_process_group_of_its_own_and_the_whole_group_can_be_killed() {
        let mut pipe = shell("sleep 60 & sleep 60 & echo started; wait")
            .stdout(Stdio::piped())
            .start()
            .unwrap();
        let mut stdout = pipe.child.stdout.take().unwrap();
        let mut word = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut word).await.unwrap();
        let group =
            rustix::process::getpgid(Pid::from_raw(i32::try_from(pipe.process.id().pid).unwrap()));
        assert_eq!(group.unwrap().as_raw_pid().unsigned_abs(), pipe.process.id().pid);
        pipe.kill_group();
        pipe.process.ended().await.unwrap();
        // The pipe ends when the last process that holds it has ended.
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut rest).await.unwrap();
    }

    #[tokio::test]
    async fn a_group_is_asked_before_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (ready, cleaned) = (folder.path().join("ready"), folder.path().join("cleaned"));
        let script = format!(
            "trap 'touch {}; exit' TERM; touch {}; while :; do sleep 0.05; done",
            cleaned.display(),
            ready.display()
        );
        let mut polite = shell(&script).start().unwrap();
        while !ready.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        polite.end_group(Duration::from_secs(10)).await;
        assert!(cleaned.exists() && polite.process.has_ended());

        let mut deaf = shell("trap '' TERM; while :; do sleep 60; done").start().unwrap();
        deaf.end_group(Duration::from_millis(200)).await;
        assert!(deaf.process.has_ended());
    }

    #[tokio::test]
    async fn a_program_that_cannot_run_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let launch = shell("true").directory(&folder.path().join("missing"));
        let error = launch.start().unwrap_err();
        assert!(error.to_string().contains("cannot start sh"), "{error}");
    }
}
