//! Reading: what is at some paths, in so many bytes and no more.

use banger_ext4::{Error, FileKind, Filesystem, ImagePath, Result, Stat};
use banger_proto::roothelper::{Ext4Found, Ext4Owner};
use banger_proto::{FileMode, GuestPath};

use super::answer::OF_A_NAME;

/// What is at each of these paths, links followed inside the filesystem.
pub(super) fn read(fs: &Filesystem, paths: &[GuestPath], limit: u64) -> Result<Vec<Ext4Found>> {
    let mut left = limit;
    paths.iter().map(|path| one(fs, path, &mut left, limit)).collect()
}

fn one(fs: &Filesystem, path: &GuestPath, left: &mut u64, limit: u64) -> Result<Ext4Found> {
    let path = ImagePath::new(path.as_bytes())?;
    let stat = match fs.stat(&path) {
        Ok(stat) => stat,
        // Links that lead in a circle lead to nothing either.
        Err(Error::NotFound { .. } | Error::WrongType { .. } | Error::InvalidPath { .. }) => {
            return Ok(Ext4Found::Nothing);
        }
        Err(error) => return Err(error),
    };
    let too_large = || Error::TooLarge { what: format!("what is read, with {path}"), limit };
    match stat.kind {
        FileKind::Regular => {
            // The length stands in the inode: nothing is allocated for one that is too long.
            *left = left.checked_sub(stat.size).ok_or_else(too_large)?;
            let content = fs.read_file(&path, stat.size)?;
            Ok(Ext4Found::File { content, owner: owner(&stat)? })
        }
        FileKind::Directory => {
            let most = *left / (OF_A_NAME as u64 + 1);
            let items = fs.read_dir(&path, most).map_err(|error| match error {
                Error::TooLarge { .. } => too_large(),
                error => error,
            })?;
            let bytes: usize = items.iter().map(|item| item.name.len() + OF_A_NAME).sum();
            *left = left.checked_sub(bytes as u64).ok_or_else(too_large)?;
            let names = items.into_iter().map(|item| item.name).collect();
            Ok(Ext4Found::Directory { names, owner: owner(&stat)? })
        }
        FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket => {
            Ok(Ext4Found::Special)
        }
        FileKind::Symlink => Ok(Ext4Found::Nothing),
    }
}

fn owner(stat: &Stat) -> Result<Ext4Owner> {
    let mode = FileMode::new(stat.mode.into())
        .map_err(|_| Error::Corrupt { what: format!("inode {}: its mode is none", stat.ino) })?;
    Ok(Ext4Owner { mode, uid: stat.uid, gid: stat.gid })
}
