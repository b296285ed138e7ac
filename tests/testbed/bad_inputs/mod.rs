//! Bad inputs that the installed helper is asked with, over its socket. After each there is nothing that was not there
//! before, and the log has the entries that it must have.

mod content;
mod descriptors;
mod identity;
mod messages;
mod room;
mod traced;

use std::os::fd::OwnedFd;
use std::path::Path;

use banger_proto::roothelper::{Change, Interaction, OfVm, SOCKET};
use banger_proto::wire::roothelper as wire;
use banger_proto::{Refusal, VmId};
use prost::Message;

use crate::asking::User;
use crate::files::filesystem;
use crate::hygiene::{Log, There};
use crate::raw::{Ended, Raw, prefixed};

/// A call as nobody should make it.
pub struct Bad {
    what: String,
    method: &'static str,
    /// With gRPC's prefix.
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    /// Descriptors, those of one message each.
    loads: Vec<Vec<OwnedFd>>,
    /// How it ends: a status, or with the connection.
    ends: Option<tonic::Code>,
    /// What the log says of it, a verb and a decision each.
    entries: Vec<&'static str>,
}

impl Bad {
    /// One that is refused with one entry.
    pub fn new(
        what: impl Into<String>,
        method: &'static str,
        message: &impl Message,
        code: tonic::Code,
    ) -> Self {
        let (body, headers, loads) = (prefixed(&message.encode_to_vec()), Vec::new(), Vec::new());
        let (ends, entries) = (Some(code), vec!["refused"]);
        Self { what: what.into(), method, body, headers, loads, ends, entries }
    }

    /// The same with any bytes in the place of gRPC's prefix and message.
    pub fn bytes(
        what: impl Into<String>,
        method: &'static str,
        body: Vec<u8>,
        code: tonic::Code,
    ) -> Self {
        Self { body, ..Self::new(what, method, &(), code) }
    }

    pub fn with(self, loads: Vec<Vec<OwnedFd>>) -> Self {
        Self { loads, ..self }
    }

    /// It is allowed, and the verb refuses it.
    pub fn allowed(self) -> Self {
        Self { entries: vec!["allowed"], ..self }
    }
}

/// Asks all of them as this user, each on a connection of its own.
pub fn each(user: User, bad: Vec<Bad>) {
    let (before, log) = (There::now(), Log::from_here());
    let mut expected = Vec::new();
    for Bad { what, method, body, headers, loads, ends, entries } in bad {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let ended = user.does(|| {
            runtime().block_on(async {
                match Raw::connect_with(Path::new(SOCKET), loads).await {
                    Ok(mut raw) => raw.call_with(method, &body, &headers).await,
                    Err(_) => Ended::Closed,
                }
            })
        });
        match (&ended, ends) {
            (Ended::Status(code, _), Some(expected)) => {
                assert_eq!(*code, expected, "{what}: {ended:?}");
            }
            (Ended::Closed, None) => {}
            _ => panic!("{what}: {ended:?}, expected {ends:?}"),
        }
        before.is_all(&what);
        let verb = if ends.is_none() { "-" } else { method };
        expected.extend(entries.iter().map(|entry| format!("{} {verb} {entry}", user.uid)));
    }
    log.is(&expected);
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A message with this id in it.
type WithId = fn(String) -> Vec<u8>;

/// Every call that is about a VM, and its message with an id.
pub const ABOUT_A_VM: [(&str, WithId); 9] = [
    ("AttachSnapshot", |vm_id| {
        wire::AttachSnapshotRequest { vm_id, create_overlay: true, ..Default::default() }
            .encode_to_vec()
    }),
    ("ReadExt4File", |vm_id| {
        let (device, paths) = (handle(vm_id), vec![b"/f".to_vec()]);
        wire::ReadExt4FileRequest { device, paths, limit_bytes: 9, allow_interaction: false }
            .encode_to_vec()
    }),
    ("WriteExt4Files", |vm_id| {
        let (device, writes) = (handle(vm_id), vec![removal()]);
        wire::WriteExt4FilesRequest { device, writes, allow_interaction: false }.encode_to_vec()
    }),
    ("LendDevice", |vm_id| {
        wire::LendDeviceRequest { device: handle(vm_id), allow_interaction: false }.encode_to_vec()
    }),
    ("DetachSnapshot", |vm_id| {
        wire::DetachSnapshotRequest { vm_id, ..Default::default() }.encode_to_vec()
    }),
    ("DiscardOverlay", |vm_id| {
        wire::DiscardOverlayRequest { vm_id, ..Default::default() }.encode_to_vec()
    }),
    ("AttachNetwork", |vm_id| {
        wire::AttachNetworkRequest { vm_id, ..Default::default() }.encode_to_vec()
    }),
    ("DetachNetwork", |vm_id| {
        wire::DetachNetworkRequest { vm_id, ..Default::default() }.encode_to_vec()
    }),
    ("Sweep", |vm_id| {
        wire::SweepRequest { keep_vm_ids: vec![vm_id], ..Default::default() }.encode_to_vec()
    }),
];

fn handle(vm_id: String) -> Option<wire::DeviceHandle> {
    Some(wire::DeviceHandle { vm_id, diskseq: 7 })
}

pub fn removal() -> wire::Ext4Write {
    let operation = Some(wire::ext4_write::Operation::Remove(wire::Remove {}));
    wire::Ext4Write { path: b"/f".to_vec(), operation }
}

/// An attach that is right but for what comes with it.
pub fn attach() -> wire::AttachSnapshotRequest {
    let vm_id = VmId::random().to_string();
    wire::AttachSnapshotRequest { vm_id, create_overlay: true, ..Default::default() }
}

/// All calls have been made once: what a helper makes at its first call of a kind is there.
pub fn ready(user: User) {
    let (base, vm) = (filesystem(user, "ready"), VmId::random());
    let device = user.attach(vm, &base).unwrap().device;
    user.read(device, "/etc/fstab").unwrap();
    user.network(vm, true).unwrap();
    user.network(vm, false).unwrap();
    assert_eq!(user.detach(vm).unwrap(), Change::Removed);
    user.discard(vm).unwrap();
}

impl User {
    /// Attaches or detaches a network.
    pub fn network(self, vm: VmId, attach: bool) -> Result<Change, Refusal> {
        let request = OfVm { vm, interaction: Interaction::Never };
        self.asks(|mut helper| async move {
            if attach {
                helper.attach_network(request).await.map(|made| made.change)
            } else {
                helper.detach_network(request).await
            }
        })
    }
}
