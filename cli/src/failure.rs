//! Everything that can go wrong in a command, and what to say of it.

use std::io;
use std::path::PathBuf;

use banger_proto::paths::{PathError, Paths};
use banger_proto::{Code, Refusal};

use crate::bangerd::DaemonError;
use crate::command::NoVariable;
use crate::copy::CopyError;
use crate::interrupt::Signal;
use crate::ssh::SshError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// bangerd said no.
    #[error("{0}")]
    Refused(Refusal),
    /// bangerd cannot be reached.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The guest cannot be reached.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// Something was not copied.
    #[error(transparent)]
    Copy(CopyError),
    /// The VM's port cannot be reached, or was lost.
    #[error("the connection to the guest was lost")]
    Way(#[source] io::Error),
    /// A removal that would take the guest's key, or all of it.
    #[error("--delete would remove what the guest lives by")]
    DeletesHome,
    /// Folders that only `--delete` removes; their names.
    #[error("the guest has folders where the host has files")]
    InTheWay(Vec<String>),
    /// What should have been a VM.
    #[error("{0} is no VM's name")]
    NoVm(String),
    /// The folder that is sent is the host's root.
    #[error("the folder has no name that it could have in the guest")]
    NoFolderName,
    /// Neither side of a copy is a VM's, or both are.
    #[error("one of the two is a VM's, written VM:PATH")]
    CopySides,
    /// A file of the user's cannot be read.
    #[error("cannot read {}", path.display())]
    Input { path: PathBuf, source: io::Error },
    /// A filesystem image cannot be opened.
    #[error("cannot open {}", path.display())]
    Image { path: PathBuf, source: io::Error },
    /// A file of the user's cannot be made.
    #[error("cannot write {}", path.display())]
    Made { path: PathBuf, source: io::Error },
    /// The result cannot be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    /// This process cannot be set up.
    #[error("cannot begin")]
    Begin(#[source] io::Error),
    /// A signal asked to end.
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// A variable of a command's environment cannot be set.
    #[error("cannot set {0} in the guest")]
    Variable(String, #[source] NoVariable),
    /// A terminal where bytes are expected.
    #[error("standard input is a terminal, and an image is not typed in")]
    TypedImage,
    /// A terminal where a file's content is expected.
    #[error("standard input is a terminal, and a file is not typed in")]
    TypedFile,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Ssh(error) => Self::Ssh(error),
            // Whoever read the result has seen enough.
            CopyError::Stream(error) => Self::Output(error),
            other => Self::Copy(other),
        }
    }
}

/// What every command gives back: its exit code.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// Causes, outermost first.
    pub(crate) fn chain(&self) -> Vec<String> {
        let refused = match self {
            Self::Refused(refusal) | Self::Daemon(DaemonError::Socket(refusal)) => Some(refusal),
            _ => None,
        };
        let mut chain = Vec::new();
        if let Some(refusal) = refused {
            if matches!(self, Self::Daemon(_)) {
                chain.push(refusal.message.clone());
            }
            if !refusal.stage.is_empty() {
                chain.push(format!("the stage {} failed", refusal.stage));
            }
            chain.extend(refusal.chain.iter().cloned());
            return chain;
        }
        match self {
            Self::Daemon(DaemonError::Ended { words, .. } | DaemonError::Silent { words }) => {
                chain.extend(words.lines().map(str::to_owned));
            }
            Self::Daemon(DaemonError::NotFound { searched }) => {
                let searched: Vec<_> = searched.iter().map(|p| p.display().to_string()).collect();
                chain.push(format!("it is in none of {}", searched.join(", ")));
            }
            Self::Ssh(SshError::Connection { words, .. } | SshError::Variables { words }) => {
                chain.extend(words.iter().cloned());
            }
            Self::InTheWay(names) => chain.extend(names.iter().take(8).cloned()),
            Self::Copy(CopyError::Guest { words, .. }) => chain.extend(words.iter().cloned()),
            _ => {}
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        chain
    }

    /// The kind, for scripts.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code.as_str(),
            Self::Daemon(DaemonError::Root | DaemonError::NotFound { .. }) => {
                Code::FailedPrecondition.as_str()
            }
            Self::Daemon(_) | Self::Ssh(_) => Code::Unavailable.as_str(),
            Self::Input { .. } | Self::Image { .. } | Self::TypedImage | Self::TypedFile => {
                Code::InvalidArgument.as_str()
            }
            Self::Interrupted(_) => Code::Aborted.as_str(),
            _ => Code::Internal.as_str(),
        }
    }

    /// What to do next; empty when there is nothing sensible to say.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Refused(refusal) if !refusal.hint.is_empty() => refusal.hint.clone(),
            // Nobody foresaw it: the daemon's own words may help.
            Self::Refused(Refusal { code: Code::Internal, .. }) => match Paths::of_this_process() {
                Ok(paths) => {
                    format!("see what bangerd says of it: {}/bangerd.log", paths.state.display())
                }
                Err(_) => String::new(),
            },
            Self::Daemon(DaemonError::Root) => "run it as an ordinary user".into(),
            Self::Daemon(DaemonError::NotFound { .. }) => {
                "install bangerd beside banger (make install does)".into()
            }
            Self::Daemon(DaemonError::Paths(PathError::NotOurs { above, .. })) => {
                format!("make it yours: sudo chown $USER {}", above.display())
            }
            Self::Daemon(DaemonError::Paths(PathError::NoHome)) => {
                "set HOME to your home folder".into()
            }
            Self::Daemon(DaemonError::Paths(_)) => {
                "chmod 0700 the folder, or set XDG_RUNTIME_DIR to one of your own".into()
            }
            // It leaves the field to one that runs, which then answers at another socket.
            Self::Daemon(DaemonError::Ended { status, .. }) if status.success() => {
                "set XDG_RUNTIME_DIR as it was where that one was started, or end that one".into()
            }
            Self::Daemon(DaemonError::Ended { .. } | DaemonError::Silent { .. }) => {
                "run bangerd in a terminal of its own to see more".into()
            }
            Self::Way(_) => "see whether it runs: banger ls".into(),
            Self::DeletesHome | Self::NoFolderName => {
                "name a folder: banger sync DIR VM:/root/DIR".into()
            }
            Self::InTheWay(_) => "--delete removes them".into(),
            Self::NoVm(_) => "banger ls; a name is lower-case letters, digits and -".into(),
            Self::CopySides => "banger cp FILE VM:/tmp, or banger cp VM:/etc/hosts .".into(),
            Self::Variable(_, NoVariable::Name) => {
                "hand it to env instead: banger exec VM -- env NAME=VALUE COMMAND".into()
            }
            Self::Daemon(DaemonError::Spawn { .. }) => "install bangerd anew: make install".into(),
            Self::Ssh(SshError::Start(_)) => "sudo apt install openssh-client".into(),
            Self::Ssh(SshError::Connection { vm, .. }) => {
                format!("banger inspect {vm}; banger logs {vm}")
            }
            Self::TypedImage => {
                "name a file, or pipe a tar in: tar c . | banger image import NAME -".into()
            }
            _ => String::new(),
        }
    }

    /// The guest's last words on its console, when they help.
    pub(crate) fn console_tail(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.console_tail,
            _ => "",
        }
    }

    /// The signal that ended the command, if one did.
    pub(crate) const fn signal(&self) -> Option<Signal> {
        match self {
            Self::Interrupted(signal) | Self::Ssh(SshError::Interrupted(signal)) => Some(*signal),
            _ => None,
        }
    }

    /// Whether whoever read the result has gone away, as in `banger ls | head -n 1`.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
