//! A batch of changes of a guest's root filesystem through the helper.

use super::{DeviceHandle, Ext4Owner, Interaction};
use crate::wire::roothelper as wire;
use crate::{GuestPath, Invalid};

/// Asks for changes, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteExt4 {
    /// Which device.
    pub device: DeviceHandle,
    /// The changes, in their order.
    pub writes: Vec<Ext4Write>,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Write {
    /// Where.
    pub path: GuestPath,
    /// What.
    pub operation: Ext4Operation,
}

/// What is to be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ext4Operation {
    /// A regular file with these bytes, in place of a file or symlink.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Whose it is.
        owner: Ext4Owner,
    },
    /// A directory; one that is there gets this owner and mode.
    Directory(Ext4Owner),
    /// A directory where there is nothing; what is there stays as it is.
    MissingDirectory(Ext4Owner),
    /// A symlink, in place of a file or symlink.
    Symlink(LinkTarget),
    /// Whatever is there, with this owner and mode.
    Ownership(Ext4Owner),
    /// Nothing.
    Removed,
}

/// Where a symlink inside a guest leads: any bytes without NUL, from 1 to 4095.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTarget(Vec<u8>);

impl LinkTarget {
    /// Checks the bytes of a target.
    ///
    /// # Errors
    /// When there are none or too many of them, or one is NUL.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Invalid> {
        let bytes = bytes.into();
        if (1..=4095).contains(&bytes.len()) && !bytes.contains(&0) {
            return Ok(Self(bytes));
        }
        let shown = String::from_utf8_lossy(&bytes);
        Err(Invalid::new("symlink's target", &shown, "use 1 to 4095 bytes without NUL"))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Ext4Write {
    /// Bytes that it adds to a request's limit: path and content.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = match &self.operation {
            Ext4Operation::File { content, .. } => content.len(),
            Ext4Operation::Symlink(target) => target.as_bytes().len(),
            _ => 0,
        };
        self.path.as_bytes().len().saturating_add(content)
    }
}

impl TryFrom<wire::Ext4Write> for Ext4Write {
    type Error = Invalid;

    fn try_from(wire: wire::Ext4Write) -> Result<Self, Invalid> {
        use wire::ext4_write::Operation as Wire;
        let path = GuestPath::new(wire.path)?;
        let operation = match wire.operation {
            None => {
                let path = String::from_utf8_lossy(path.as_bytes());
                return Err(Invalid::new("change of", &path, "not one of this version"));
            }
            Some(Wire::File(file)) => Ext4Operation::File {
                owner: Ext4Owner::checked(file.mode, file.uid, file.gid)?,
                content: file.content,
            },
            Some(Wire::Directory(directory)) => {
                let owner = Ext4Owner::checked(directory.mode, directory.uid, directory.gid)?;
                if directory.only_if_missing {
                    Ext4Operation::MissingDirectory(owner)
                } else {
                    Ext4Operation::Directory(owner)
                }
            }
            Some(Wire::Symlink(link)) => Ext4Operation::Symlink(LinkTarget::new(link.target)?),
            Some(Wire::Ownership(owner)) => {
                Ext4Operation::Ownership(Ext4Owner::checked(owner.mode, owner.uid, owner.gid)?)
            }
            Some(Wire::Remove(_)) => Ext4Operation::Removed,
        };
        Ok(Self { path, operation })
    }
}

impl From<Ext4Write> for wire::Ext4Write {
    fn from(write: Ext4Write) -> Self {
        use wire::ext4_write::Operation as Wire;
        let directory = |owner: Ext4Owner, only_if_missing| {
            Wire::Directory(wire::MakeDirectory {
                mode: owner.mode_bits(),
                uid: owner.uid,
                gid: owner.gid,
                only_if_missing,
            })
        };
        let operation = match write.operation {
            Ext4Operation::File { content, owner } => Wire::File(wire::WriteFile {
                content,
                mode: owner.mode_bits(),
                uid: owner.uid,
                gid: owner.gid,
            }),
            Ext4Operation::Directory(owner) => directory(owner, false),
            Ext4Operation::MissingDirectory(owner) => directory(owner, true),
            Ext4Operation::Symlink(target) => Wire::Symlink(wire::MakeSymlink { target: target.0 }),
            Ext4Operation::Ownership(owner) => Wire::Ownership(wire::SetOwnership {
                mode: owner.mode_bits(),
                uid: owner.uid,
                gid: owner.gid,
            }),
            Ext4Operation::Removed => Wire::Remove(wire::Remove {}),
        };
        Self { path: write.path.as_bytes().to_vec(), operation: Some(operation) }
    }
}

impl TryFrom<wire::WriteExt4FilesRequest> for WriteExt4 {
    type Error = Invalid;

    fn try_from(wire: wire::WriteExt4FilesRequest) -> Result<Self, Invalid> {
        if wire.writes.is_empty() {
            return Err(Invalid::new("batch", "", "change something"));
        }
        Ok(Self {
            device: wire.device.try_into()?,
            writes: wire.writes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            interaction: wire.allow_interaction.into(),
        })
    }
}

impl From<WriteExt4> for wire::WriteExt4FilesRequest {
    fn from(request: WriteExt4) -> Self {
        Self {
            device: Some(request.device.into()),
            writes: request.writes.into_iter().map(Into::into).collect(),
            allow_interaction: request.interaction.is_allowed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roothelper::Diskseq;
    use crate::{FileMode, VmId};

    #[test]
    fn a_batch_survives_the_wire_and_half_changes_are_refused() {
        let owner = Ext4Owner { mode: FileMode::new(0o4755).unwrap(), uid: 1, gid: u32::MAX };
        let write = |operation| Ext4Write { path: GuestPath::new("/a").unwrap(), operation };
        let ours = WriteExt4 {
            device: DeviceHandle { vm: VmId::random(), diskseq: Diskseq::new(1).unwrap() },
            writes: vec![
                write(Ext4Operation::File { content: vec![1, 2], owner }),
                write(Ext4Operation::Directory(owner)),
                write(Ext4Operation::MissingDirectory(owner)),
                write(Ext4Operation::Symlink(LinkTarget::new("../run").unwrap())),
                write(Ext4Operation::Ownership(owner)),
                write(Ext4Operation::Removed),
            ],
            interaction: Interaction::Never,
        };
        assert_eq!(
            ours.writes.iter().map(Ext4Write::bytes).collect::<Vec<_>>(),
            [4, 2, 2, 8, 2, 2]
        );
        let wire = wire::WriteExt4FilesRequest::from(ours.clone());
        assert_eq!(WriteExt4::try_from(wire.clone()), Ok(ours));
        let nothing = wire::WriteExt4FilesRequest { writes: vec![], ..wire };
        assert!(WriteExt4::try_from(nothing).is_err());
        let good = wire::Ext4Write::from(write(Ext4Operation::Removed));
        assert!(Ext4Write::try_from(wire::Ext4Write { operation: None, ..good.clone() }).is_err());
        assert!(Ext4Write::try_from(wire::Ext4Write { path: b"a".to_vec(), ..good }).is_err());
    }

    #[test]
    fn types_of_files_and_empty_targets_are_refused() {
        assert!(Ext4Owner::checked(0o100_644, 0, 0).is_err());
        for bad in [vec![], vec![b'a'; 4096], b"a\0b".to_vec()] {
            assert!(LinkTarget::new(bad).is_err());
        }
    }
}
