//! virtiofsd: the file server of one folder, for one guest.
//!
//! Its only way to the guest is a socket whose other end the VMM has, so that it ends with the
//! VMM, with a start that fails, and with a daemon that dies in between. It runs behind
//! bubblewrap's walls and makes more of its own: an empty root but the folder, seccomp.
//!
//! The virtiofsd of QEMU 7 insists on dropping its groups, which is forbidden in a user namespace
//! that an ordinary user has made: `newuidmap`'s, by way of `unshare`, are not like that. Inside
//! of it bubblewrap makes one with a single user, so that all that a guest makes is its owner's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::RangeFrom;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::Share;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;

use super::folder::{Folder, FolderError};
use crate::spawn::{
    Attempt, BWRAP, Finder, Launch, LaunchError, Missing, Process, ProcessId, SETPRIV, UNSHARE,
    VIRTIOFSD,
};
use crate::vmm::walls::{self, INFO_DESCRIPTOR, SHARED, Walls};
use crate::vmm::{Files, Host, console};

/// Descriptors under which the VMM finds the sockets of its file servers, the first share's first.
pub(crate) const DESCRIPTORS: RangeFrom<RawFd> = 6..;
/// Descriptor under which a file server finds the socket that it is asked on.
const SOCKET: RawFd = 3;
/// How long a file server may take until it has its folder.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a file server may take to end once its VMM has.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Most descriptors that a file server asks for: it has one for every file that its guest knows.
const MOST_FILES: u64 = 1_000_000;
/// Bytes of a file server's log that are kept.
const LOG: u64 = 1 << 20;

/// The name by which the guest mounts a share; they are counted from 0.
pub(crate) fn tag(number: usize) -> String {
    format!("share{number}")
}

/// A file server that runs: what the VM's record keeps of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// What it serves.
    #[serde(with = "crate::store::text")]
    pub share: Share,
    /// Its process.
    pub server: ProcessId,
}

/// A folder that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A program could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// There is nothing to confine a file server with.
    #[error("folders are shared from behind bubblewrap's walls only")]
    NoWalls(#[source] NoWalls),
    /// The way to its walls is barred.
    #[error("virtiofsd does not run behind its walls here")]
    Barred(#[source] NoWalls),
    /// The folder is not what it was, or may not be shared any more.
    #[error("the folder {directory} cannot be shared")]
    Folder {
        /// The folder.
        directory: String,
        /// Why.
        #[source]
        source: FolderError,
    },
    /// A file or socket of the VM's directory could not be made.
    #[error("cannot make what a file server needs in the VM's folder")]
    Files(#[from] io::Error),
    /// The server ended before the guest ran.
    #[error("the file server of {directory} would not start")]
    Ended {
        /// The folder.
        directory: String,
        /// The last lines of what it said.
        log: String,
    },
    /// The server has another folder.
    #[error("the folder {directory} became another one while it was being shared")]
    Swapped {
        /// The folder.
        directory: String,
    },
    /// The server does not have its folder.
    #[error("the file server of {directory} did not get its folder in time")]
    NotReady {
        /// The folder.
        directory: String,
    },
}

/// What was said of walls that do not stand.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoWalls(String);

/// A file server that waits for its VMM. It is killed unless it is kept.
#[derive(Debug)]
pub(crate) struct Serving {
    /// What it serves.
    pub(crate) share: Share,
    /// Its process, behind its walls.
    pub(crate) server: ProcessId,
    /// The VMM's end of the socket.
    pub(crate) socket: Option<OwnedFd>,
    attempt: Attempt,
    log: std::path::PathBuf,
}

impl Serving {
    /// What is wrong with it while its VMM is there, if anything is.
    pub(crate) fn trouble(&self) -> Option<ShareError> {
        let ended = self.attempt.started.process.has_ended();
        ended.then(|| ended_with(&self.share, &self.log))
    }

    /// Whether it is to blame for a VMM that has ended: one that is not ends well, for that reason.
    pub(crate) async fn blame(&mut self) -> Option<ShareError> {
        let ended = self.attempt.started.child.wait();
        let status = tokio::time::timeout(LAST_WORDS, ended).await.ok()?.ok()?;
        (!status.success()).then(|| ended_with(&self.share, &self.log))
    }

    /// Leaves it running.
    pub(crate) fn keep(mut self) -> Served {
        self.attempt.succeeded = true;
        let Self { share, server, .. } = &self;
        Served { share: share.clone(), server: server.clone() }
    }
}

fn ended_with(share: &Share, log: &Path) -> ShareError {
    let directory = share.directory.clone();
    ShareError::Ended { directory, log: console::tail_of(log, 4) }
}

/// What comes before bubblewrap: a user namespace without any group of the user's but the first.
fn before_bubblewrap(finder: &Finder) -> Result<Vec<OsString>, Missing> {
    let (setpriv, bubblewrap) = (finder.find(&SETPRIV)?, finder.find(&BWRAP)?);
    let mut line: Vec<OsString> =
        ["--user", "--map-auto", "--map-root-user"].map(Into::into).into();
    line.extend(["--setuid", "0", "--setgid", "0", "--"].map(OsString::from));
    line.push(setpriv.into());
    line.extend(["--clear-groups", "--"].map(OsString::from));
    line.push(bubblewrap.into());
    Ok(line)
}

/// The two programs of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// That which came with QEMU up to 7.
    Qemus,
    /// That which is on its own, of Rust.
    Own,
}

impl Kind {
    /// By what it says of its version: `virtiofsd version 7.2.22 (Debian ...)`, `virtiofsd 1.13.2`.
    fn of(version: &str) -> Self {
        if version.starts_with("virtiofsd version ") { Self::Qemus } else { Self::Own }
    }

    /// What it is told.
    fn arguments(self, files: u64) -> Vec<OsString> {
        let mut line = vec![format!("--fd={SOCKET}"), format!("--rlimit-nofile={files}")];
        line.extend(match self {
            Self::Qemus => {
                let source = format!("source={SHARED}");
                ["-f", "-o", &source, "-o", "sandbox=chroot"].map(str::to_owned).to_vec()
            }
            // Handles in place of open files would take more rights.
            Self::Own => {
                let words = ["--shared-dir", SHARED, "--sandbox", "chroot"].map(str::to_owned);
                [&words[..], &["--inode-file-handles=never".to_owned()]].concat()
            }
        });
        line.into_iter().map(OsString::from).collect()
    }
}

fn sealed(walls: &Walls) -> Result<bool, ShareError> {
    match walls {
        Walls::Bubblewrap { sealed } => Ok(*sealed),
        Walls::Landlock(reason) | Walls::Bare(reason) => {
            Err(ShareError::NoWalls(NoWalls(reason.clone())))
        }
    }
}

/// Whether folders can be shared here: virtiofsd says its version from behind its walls,
/// which it would not do in front of them.
///
/// # Errors
/// [`ShareError`], with what is missing.
pub(crate) async fn probe(finder: &Finder, walls: &Walls) -> Result<String, ShareError> {
    let sealed = sealed(walls)?;
    let program = finder.find(&VIRTIOFSD)?;
    let (_reader, info) = io::pipe()?;
    let launch = Launch::new(&UNSHARE, finder)?
        .arguments(before_bubblewrap(finder)?)
        .arguments(walls::around_file_server(&program, "/usr".as_ref(), true, sealed))
        .arguments(["--version"])
        .descriptor(INFO_DESCRIPTOR, info.into())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let reason = match walls::run(launch).await {
        Ok(output) if output.status.success() => {
            let said = console::printable(&output.stdout);
            return Ok(said.lines().next().unwrap_or_default().trim().to_owned());
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(reason) => reason,
    };
    Err(ShareError::Barred(NoWalls(reason)))
}

/// Starts the file servers of a VM, each of which has its folder then and waits for the VMM.
///
/// # Errors
/// [`ShareError`]; nothing is left running then.
pub(crate) async fn serve(
    host: &Host,
    folders: &[Folder],
    files: &Files,
) -> Result<Vec<Serving>, ShareError> {
    let mut serving = Vec::new();
    if folders.is_empty() {
        return Ok(serving);
    }
    let kind = Kind::of(&probe(&host.finder, &host.walls).await?);
    for (number, folder) in folders.iter().enumerate() {
        serving.push(serve_one(host, kind, folder, &files.share_log(number), files).await?);
    }
    Ok(serving)
}

async fn serve_one(
    host: &Host,
    kind: Kind,
    folder: &Folder,
    log: &Path,
    files: &Files,
) -> Result<Serving, ShareError> {
    let share = &folder.share;
    let sealed = sealed(&host.walls)?;
    let program = host.finder.find(&VIRTIOFSD)?;
    // The connection waits in the listening socket, which nobody else can find.
    let (listening, socket) = connection(files)?;
    let written = File::create(log).and_then(|_| File::options().append(true).open(log))?;
    let (reader, info) = io::pipe()?;
    let most = getrlimit(Resource::Nofile).maximum.map_or(MOST_FILES, |most| most.min(MOST_FILES));
    let directory = Path::new(&share.directory);
    let started = Launch::new(&UNSHARE, &host.finder)?
        .arguments(before_bubblewrap(&host.finder)?)
        .arguments(walls::around_file_server(&program, directory, share.read_only, sealed))
        .arguments(kind.arguments(most))
        .descriptor(SOCKET, listening.into())
        .descriptor(INFO_DESCRIPTOR, info.into())
        .stdout(written.try_clone()?)
        .stderr(written)
        .start()?;
    let attempt = Attempt { started, succeeded: false };
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let server = tokio::time::timeout(PATIENCE, has_its_folder(&attempt, reader, folder)).await;
    let directory = share.directory.clone();
    match server {
        Ok(Found::Folder(server)) => Ok(Serving {
            share: share.clone(),
            server,
            socket: Some(socket),
            attempt,
            log: log.to_owned(),
        }),
        Ok(Found::Ended) => Err(ended_with(share, log)),
        Ok(Found::Another) => Err(ShareError::Swapped { directory }),
        Err(_) => Err(ShareError::NotReady { directory }),
    }
}

/// A socket to listen on, and one that is connected to it.
fn connection(files: &Files) -> io::Result<(UnixListener, OwnedFd)> {
    crate::vmm::qmp::with_short_path(files.directory(), "share.sock", |path| {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listening = UnixListener::bind(path)?;
        let connected = UnixStream::connect(path);
        fs::remove_file(path)?;
        Ok((listening, connected?.into()))
    })
}

/// What a file server that was started has come to.
enum Found {
    /// It has its folder.
    Folder(ProcessId),
    /// It has another folder.
    Another,
    /// It has ended.
    Ended,
}

/// Waits until a file server is in its place, and looks whether what it sees as its folder is the
/// one that was checked: the folder's name may have come to mean another one since.
async fn has_its_folder(attempt: &Attempt, info: pipe::Receiver, folder: &Folder) -> Found {
    let process = &attempt.started.process;
    let Some(server) = walls::inside(info, process.id().pid).await else { return Found::Ended };
    let root = format!("/proc/{}/root", server.pid);
    // It makes the folder its root before long.
    let (below, itself) = (format!("{root}{SHARED}"), format!("{root}/."));
    let looks = async {
        loop {
            // Asked before: what it is when it is itself is what it stays.
            let is_itself = is_called(server.pid, VIRTIOFSD.name);
            let (below, itself) = (folder.is_at(&below), folder.is_at(&itself));
            if below == Some(true) || itself == Some(true) {
                return Found::Folder(server);
            }
            // One that is ending has no root any more.
            if is_itself && itself == Some(false) {
                return Found::Another;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        found = looks => found,
        _ = process.ended() => Found::Ended,
    }
}

fn is_called(process: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|text| text.trim() == name)
}

/// Cuts the logs of file servers that have grown: a guest may make them say much.
pub(crate) fn trim_logs(files: &Files, served: usize) -> io::Result<()> {
    for number in 0..served {
        let log = files.share_log(number);
        if fs::metadata(&log).is_ok_and(|found| found.len() > LOG) {
            // They append, and go on at its begin.
            File::options().write(true).open(&log)?.set_len(0)?;
        }
    }
    Ok(())
}

/// Returns when one of these has ended, with its place among them; never when there is none.
pub(crate) async fn one_ended(servers: &[(usize, Process)]) -> usize {
    let mut waiting: Vec<_> = servers
        .iter()
        .map(|(number, server)| {
            Box::pin(async move {
                if server.ended().await.is_err() {
                    std::future::pending::<()>().await;
                }
                *number
            })
        })
        .collect();
    std::future::poll_fn(|context| {
        for one in &mut waiting {
            if let std::task::Poll::Ready(number) = one.as_mut().poll(context) {
                return std::task::Poll::Ready(number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_virtiofsd_is_told() {
        let text = |line: Vec<OsString>| line.join(" ".as_ref()).into_string().unwrap();
        let told = |version| text(Kind::of(version).arguments(4096));
        insta::assert_snapshot!(told("virtiofsd version 7.2.22 (Debian 1:7.2)"), @"--fd=3 --rlimit-nofile=4096 -f -o source=/share -o sandbox=chroot");
        insta::assert_snapshot!(told("virtiofsd 1.13.2"), @"--fd=3 --rlimit-nofile=4096 --shared-dir /share --sandbox chroot --inode-file-handles=never");
        assert_eq!(told("virtiofsd backend 1.4.0"), told("virtiofsd 1.14.0"));
        insta::assert_snapshot!(text(before_bubblewrap(&Finder::default()).unwrap()), @"--user --map-auto --map-root-user --setuid 0 --setgid 0 -- /usr/bin/setpriv --clear-groups -- /usr/bin/bwrap");
    }

    #[tokio::test]
    async fn without_bubblewrap_nothing_is_shared() {
        let walls = Walls::Landlock("bubblewrap is not there".into());
        let error = probe(&Finder::default(), &walls).await.unwrap_err();
        assert!(crate::causes::with_causes(&error).contains("bubblewrap is not there"), "{error}");
        let bare = Finder::only(vec!["/nonexistent".into()]);
        let error = probe(&bare, &Walls::Bubblewrap { sealed: true }).await.unwrap_err();
        assert!(error.to_string().contains("apt install virtiofsd"), "{error}");
    }

    #[test]
    fn a_log_that_has_grown_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let mut log = File::options().append(true).create(true).open(files.share_log(0)).unwrap();
        let write = |log: &mut File, bytes: &[u8]| io::Write::write_all(log, bytes).unwrap();
        write(&mut log, b"short");
        trim_logs(&files, 2).unwrap();
        assert_eq!(fs::read(files.share_log(0)).unwrap(), b"short");
        write(&mut log, &[b'x'; 1 << 16].repeat(16));
        trim_logs(&files, 2).unwrap();
        write(&mut log, b"on");
        assert_eq!(fs::read(files.share_log(0)).unwrap(), b"on");
    }
}
