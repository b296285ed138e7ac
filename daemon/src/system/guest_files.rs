//! A guest's files as a batch of the root helper's.

use banger_proto::roothelper::{Ext4Operation, Ext4Owner, Ext4Write, LinkTarget};
use banger_proto::{FileMode, GuestPath, Invalid};

use crate::guest::{Content, GuestFile};

/// The changes that make these files, in their order.
pub(super) fn writes(files: Vec<GuestFile>) -> Result<Vec<Ext4Write>, Invalid> {
    files.into_iter().map(write).collect()
}

fn write(file: GuestFile) -> Result<Ext4Write, Invalid> {
    let GuestFile { path, mode, uid, gid, content } = file;
    let owner = Ext4Owner { mode: FileMode::new(mode.into())?, uid, gid };
    let operation = match content {
        Content::File(content) => Ext4Operation::File { content, owner },
        Content::Symlink(target) => Ext4Operation::Symlink(LinkTarget::new(target)?),
        Content::Directory => Ext4Operation::Directory(owner),
        Content::MountPoint => Ext4Operation::MissingDirectory(owner),
        Content::Absent => Ext4Operation::Removed,
    };
    Ok(Ext4Write { path: GuestPath::new(path)?, operation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_has_its_operation() {
        let file = |path: &str, content| GuestFile {
            path: path.into(),
            mode: 0o640,
            uid: 1,
            gid: 2,
            content,
        };
        let owner = Ext4Owner { mode: FileMode::new(0o640).unwrap(), uid: 1, gid: 2 };
        let table = [
            (Content::File(b"x".to_vec()), Ext4Operation::File { content: b"x".to_vec(), owner }),
            (Content::Symlink("/a".into()), Ext4Operation::Symlink(LinkTarget::new("/a").unwrap())),
            (Content::Directory, Ext4Operation::Directory(owner)),
            (Content::MountPoint, Ext4Operation::MissingDirectory(owner)),
            (Content::Absent, Ext4Operation::Removed),
        ];
        let files = table.iter().map(|(content, _)| file("/etc/a", content.clone())).collect();
        let path = GuestPath::new("/etc/a").unwrap();
        let expected = table
            .into_iter()
            .map(|(_, operation)| Ext4Write { path: path.clone(), operation })
            .collect();
        assert_eq!(writes(files), Ok(expected));
        assert!(writes(vec![file("etc", Content::Absent)]).is_err());
        assert!(writes(vec![file("/etc", Content::Symlink(String::new()))]).is_err());
    }
}
