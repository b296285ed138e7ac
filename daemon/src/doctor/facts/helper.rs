//! What was found of the root helper, as data.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use banger_proto::Refusal;
use banger_proto::roothelper::{Answer, HelperDescription, Object};

/// A root helper that is installed, if only by half.
#[derive(Debug, Clone)]
pub(in super::super) struct Helper {
    pub(in super::super) files: Vec<Shipped>,
    /// Absent where systemd does not tell.
    pub(in super::super) units: Option<Units>,
    pub(in super::super) membership: Membership,
    pub(in super::super) polkit: Polkit,
    pub(in super::super) bridge: Bridge,
    pub(in super::super) name_service: NameService,
    pub(in super::super) told: Told,
    /// VMs that run with it and not without.
    pub(in super::super) needed_by: usize,
}

/// A file of the helper's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Shipped {
    /// Where it is read from, or would be.
    pub(in super::super) path: PathBuf,
    pub(in super::super) role: Role,
    pub(in super::super) state: FileState,
}

/// What a file of the helper's is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// The program and what starts it.
    Program,
    /// What polkit reads.
    Polkit,
    /// Rules for udev.
    Udev,
}

/// How a file is, beside the one that this version ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum FileState {
    /// It is that one; of a program only that it is there.
    Same,
    Differs,
    Missing,
    /// Empty, or a link to `/dev/null`.
    Off,
    /// It is in a folder that only root can look into.
    Unseen,
}

impl Shipped {
    /// Whether it is there, as far as can be seen.
    pub(in super::super) fn is_there(&self) -> bool {
        matches!(self.state, FileState::Same | FileState::Differs)
    }
}

/// The units, as systemd has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Units {
    pub(in super::super) socket: Unit,
    pub(in super::super) service: Unit,
}

/// One unit, in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Unit {
    /// `loaded`, `not-found`, `masked`, ...
    pub(in super::super) load: String,
    /// `active`, `inactive`, `failed`, ...
    pub(in super::super) active: String,
    /// `enabled`, `disabled`, ...
    pub(in super::super) file: String,
}

/// Whether this user is of the group that may ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Membership {
    /// There is such a group.
    pub(in super::super) exists: bool,
    /// The account is in it.
    pub(in super::super) joined: bool,
    /// This process has it.
    pub(in super::super) here: bool,
    /// The bangerd that runs has it; absent without one.
    pub(in super::super) in_daemon: Option<bool>,
}

/// What polkit answers for this user, and what of its rules this user can see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Polkit {
    /// An answer an action; why there is none.
    pub(in super::super) answers: Vec<(String, Result<Answer, String>)>,
    /// Rules of others that name our actions or our group and are asked before ours.
    pub(in super::super) before: Vec<PathBuf>,
    /// The same, asked behind ours.
    pub(in super::super) behind: Vec<PathBuf>,
    /// Folders of rules that only root can look into.
    pub(in super::super) closed: Vec<PathBuf>,
}

/// The bridge's network, and what of the host's speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Bridge {
    /// Pool and NAT; why the configuration does not tell them.
    pub(in super::super) wanted: Result<(Network, bool), String>,
    pub(in super::super) routes: Vec<(Network, String)>,
    /// `net.ipv4.ip_forward`.
    pub(in super::super) forwards: bool,
}

/// What lets this host's programs find VMs by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct NameService {
    /// banger's module is in a folder of libraries.
    pub(in super::super) module: bool,
    /// `/etc/nsswitch.conf` has programs ask it.
    pub(in super::super) asked: bool,
    /// The user has a runtime directory, where bangerd writes the names.
    pub(in super::super) runtime: bool,
}

/// A network of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Network {
    pub(in super::super) address: Ipv4Addr,
    pub(in super::super) prefix: u8,
}

/// What came of asking the helper itself.
#[derive(Debug, Clone)]
pub(in super::super) enum Told {
    /// It was not to be started.
    NotAsked,
    Refused(Refusal),
    Said {
        description: Box<HelperDescription>,
        /// What root made for this user.
        objects: Vec<Object>,
    },
}
