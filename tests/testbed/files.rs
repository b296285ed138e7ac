//! Files on the devices of users, by the installed helper.

use std::path::PathBuf;

use banger_proto::roothelper::{
    DeviceHandle, Discarded, Ext4Found, Ext4Operation, Ext4Owner, Ext4Write, Interaction, Object,
    OfVm, ReadExt4, Sweep, Swept, WriteExt4, WriteOutcome,
};
use banger_proto::{FileMode, GuestPath, Refusal, VmId};

use crate::asking::User;
use crate::sh;

const NEVER: Interaction = Interaction::Never;
/// What is in the file of that name of [`filesystem`].
pub const FSTAB: &str = "/dev/vda / ext4 defaults 0 1\n";

/// A base image of a user's with a filesystem in it.
pub fn filesystem(user: User, name: &str) -> PathBuf {
    let path = user.image(name, 32 << 20);
    sh(&format!(
        "mkdir -p /run/tree/etc; printf '%s' '{FSTAB}' >/run/tree/etc/fstab; \
         mkfs.ext4 -q -F -d /run/tree {}",
        path.display()
    ));
    path
}

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

/// What is found there, if it is a file.
fn content(found: Ext4Found) -> Option<Vec<u8>> {
    match found {
        Ext4Found::File { content, .. } => Some(content),
        Ext4Found::Nothing => None,
        other => panic!("no file: {other:?}"),
    }
}

impl User {
    pub fn read(self, device: DeviceHandle, at: &str) -> Result<Vec<u8>, Refusal> {
        let found = self.read_all(device, &[at])?.remove(0);
        Ok(found.unwrap_or_else(|| panic!("{at} is not there")))
    }

    pub fn read_all(
        self,
        device: DeviceHandle,
        at: &[&str],
    ) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
        let paths = at.iter().map(|at| path(at)).collect();
        let request = ReadExt4 { device, paths, limit_bytes: 1 << 20, interaction: NEVER };
        let found = self.asks(|mut helper| async move { helper.read_ext4_file(request).await })?;
        Ok(found.into_iter().map(content).collect())
    }

    pub fn write(self, device: DeviceHandle, count: u32) -> Result<WriteOutcome, Refusal> {
        let owner = Ext4Owner { mode: FileMode::new(0o644).unwrap(), uid: 0, gid: 0 };
        let file = |n| Ext4Write {
            path: path(&format!("/etc/f{n}")),
            operation: Ext4Operation::File { content: format!("new {n}").into_bytes(), owner },
        };
        let request =
            WriteExt4 { device, writes: (0..count).map(file).collect(), interaction: NEVER };
        self.asks(|mut helper| async move { helper.write_ext4_files(request).await })
    }

    pub fn discard(self, vm: VmId) -> Result<Discarded, Refusal> {
        let request = OfVm { vm, interaction: NEVER };
        self.asks(|mut helper| async move { helper.discard_overlay(request).await })
    }

    pub fn list(self) -> Vec<Object> {
        self.asks(|mut helper| async move { helper.list_objects().await }).unwrap()
    }

    pub fn sweep(self, keep: &[VmId], include_overlays: bool) -> Vec<Swept> {
        let keep = keep.to_vec();
        let request = Sweep { keep, dry_run: false, include_overlays, interaction: NEVER };
        self.asks(|mut helper| async move { helper.sweep(request).await }).unwrap()
    }
}
