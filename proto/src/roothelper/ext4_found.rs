//! What is read from a guest's root filesystem through the helper.

use super::{DeviceHandle, Interaction};
use crate::wire::roothelper as wire;
use crate::{FileMode, GuestPath, Invalid};

/// Asks what is at some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadExt4 {
    /// Which device.
    pub device: DeviceHandle,
    /// The paths.
    pub paths: Vec<GuestPath>,
    /// Bytes of content and names in all.
    pub limit_bytes: u64,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

/// Owner, group and permissions of a file inside a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ext4Owner {
    /// Permission bits.
    pub mode: FileMode,
    /// The guest's uid.
    pub uid: u32,
    /// The guest's gid.
    pub gid: u32,
}

/// What is at a path, symlinks followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ext4Found {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// All of its bytes.
        content: Vec<u8>,
        /// Whose it is.
        owner: Ext4Owner,
    },
    /// A directory.
    Directory {
        /// Names without `.` and `..`, in no order.
        names: Vec<Vec<u8>>,
        /// Whose it is.
        owner: Ext4Owner,
    },
    /// A device, pipe or socket, which is not read.
    Special,
}

impl Ext4Owner {
    pub(super) fn checked(mode: u32, uid: u32, gid: u32) -> Result<Self, Invalid> {
        Ok(Self { mode: FileMode::new(mode)?, uid, gid })
    }

    pub(super) fn mode_bits(self) -> u32 {
        self.mode.bits().into()
    }
}

impl TryFrom<wire::ReadExt4FileRequest> for ReadExt4 {
    type Error = Invalid;

    fn try_from(wire: wire::ReadExt4FileRequest) -> Result<Self, Invalid> {
        if wire.paths.is_empty() {
            return Err(Invalid::new("paths", "", "name at least one"));
        }
        Ok(Self {
            device: wire.device.try_into()?,
            paths: wire.paths.into_iter().map(GuestPath::new).collect::<Result<_, _>>()?,
            limit_bytes: wire.limit_bytes,
            interaction: wire.allow_interaction.into(),
        })
    }
}

impl From<ReadExt4> for wire::ReadExt4FileRequest {
    fn from(request: ReadExt4) -> Self {
        Self {
            device: Some(request.device.into()),
            paths: request.paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            limit_bytes: request.limit_bytes,
            allow_interaction: request.interaction.is_allowed(),
        }
    }
}

impl TryFrom<wire::Ext4Found> for Ext4Found {
    type Error = Invalid;

    fn try_from(wire: wire::Ext4Found) -> Result<Self, Invalid> {
        use wire::ext4_found::Result as Wire;
        Ok(match wire.result {
            None => return Err(Invalid::new("answer", "", "not one of this version")),
            Some(Wire::NotFound(_)) => Self::Nothing,
            Some(Wire::Special(_)) => Self::Special,
            Some(Wire::File(file)) => Self::File {
                owner: Ext4Owner::checked(file.mode, file.uid, file.gid)?,
                content: file.content,
            },
            Some(Wire::Directory(directory)) => Self::Directory {
                owner: Ext4Owner::checked(directory.mode, directory.uid, directory.gid)?,
                names: directory.names,
            },
        })
    }
}

impl From<Ext4Found> for wire::Ext4Found {
    fn from(found: Ext4Found) -> Self {
        use wire::ext4_found::Result as Wire;
        let result = match found {
            Ext4Found::Nothing => Wire::NotFound(wire::Ext4NotFound {}),
            Ext4Found::Special => Wire::Special(wire::Ext4Special {}),
            Ext4Found::File { content, owner } => Wire::File(wire::Ext4File {
                content,
                mode: owner.mode_bits(),
                uid: owner.uid,
                gid: owner.gid,
            }),
            Ext4Found::Directory { names, owner } => Wire::Directory(wire::Ext4Directory {
                names,
                mode: owner.mode_bits(),
                uid: owner.uid,
                gid: owner.gid,
            }),
        };
        Self { result: Some(result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmId;
    use crate::roothelper::Diskseq;

    #[test]
    fn a_request_survives_the_wire_and_bad_paths_are_refused() {
        let device = DeviceHandle { vm: VmId::random(), diskseq: Diskseq::new(1).unwrap() };
        let ours = ReadExt4 {
            device,
            paths: vec![GuestPath::new("/etc/fstab").unwrap(), GuestPath::new("/").unwrap()],
            limit_bytes: 9,
            interaction: Interaction::Allowed,
        };
        let wire = wire::ReadExt4FileRequest::from(ours.clone());
        assert_eq!(ReadExt4::try_from(wire.clone()), Ok(ours));
        for paths in [vec![], vec![b"/etc/../../etc/shadow".to_vec()], vec![b"etc".to_vec()]] {
            let bad = wire::ReadExt4FileRequest { paths, ..wire.clone() };
            assert!(ReadExt4::try_from(bad).is_err());
        }
    }

    #[test]
    fn what_was_found_survives_the_wire() {
        let owner = Ext4Owner { mode: FileMode::new(0o640).unwrap(), uid: 0, gid: 42 };
        for found in [
            Ext4Found::Nothing,
            Ext4Found::Special,
            Ext4Found::File { content: vec![0, 255], owner },
            Ext4Found::Directory { names: vec![b"\xff".to_vec()], owner },
        ] {
            assert_eq!(Ext4Found::try_from(wire::Ext4Found::from(found.clone())), Ok(found));
        }
        assert!(Ext4Found::try_from(wire::Ext4Found { result: None }).is_err());
    }
}
