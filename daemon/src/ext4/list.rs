//! What there is in an image.

use banger_ext4::{Acl, FileKind, Filesystem, ImagePath, Limits, Result, Stat};
use banger_proto::{Bytes, Ext4Attribute, Ext4Entry, Ext4Kind, Ext4Line};

/// Entries of one directory that are listed.
const MOST: u64 = 4 << 20;
/// Attributes that hold access control lists.
const ACL: &[u8] = b"system.posix_acl_";

/// What is in the directory that `path` leads to, one below the other by name; or the entry
/// itself where it is none.
pub(super) fn directory(
    fs: &Filesystem,
    path: &ImagePath,
    tell: &mut dyn FnMut(&Ext4Line),
) -> Result<()> {
    if fs.stat(path)?.kind != FileKind::Directory {
        tell(&Ext4Line::Entry(Box::new(itself(fs, path)?)));
        return Ok(());
    }
    let mut items = fs.read_dir(path, MOST)?;
    items.sort_by(|a, b| a.name.cmp(&b.name));
    for item in items {
        let stat = fs.stat_ino(item.ino)?;
        let entry = entry(fs, &path.join(&item.name)?, item.name, &stat)?;
        tell(&Ext4Line::Entry(Box::new(entry)));
    }
    Ok(())
}

/// Everything below the directory that `path` leads to; paths are told from there.
pub(super) fn tree(
    fs: &Filesystem,
    path: &ImagePath,
    tell: &mut dyn FnMut(&Ext4Line),
) -> Result<()> {
    if fs.stat(path)?.kind != FileKind::Directory {
        return directory(fs, path, tell);
    }
    // As deep as a walk without open folders may go, however large the files are.
    let limits = Limits { depth: 4096, bytes: u64::MAX, ..Limits::default() };
    fs.walk(path, &limits, &mut |found| {
        if found.depth > 0 {
            let names = found.path.split(|byte| *byte == b'/');
            let at = names.clone().try_fold(path.clone(), |at, name| at.join(name))?;
            let entry = entry(fs, &at, found.path.clone(), &found.stat)?;
            tell(&Ext4Line::Entry(Box::new(entry)));
        }
        Ok(())
    })
}

/// The entry at `path`, a link itself.
pub(super) fn itself(fs: &Filesystem, path: &ImagePath) -> Result<Ext4Entry> {
    entry(fs, path, path.as_bytes().to_vec(), &fs.lstat(path)?)
}

/// The extended attributes of the entry at `path`, lists as text.
pub(super) fn attributes(fs: &Filesystem, path: &ImagePath) -> Result<Vec<Ext4Attribute>> {
    let shown = |name: &[u8], value: Vec<u8>| {
        let list = name.starts_with(ACL).then(|| Acl::from_system(&value).ok()).flatten();
        list.map_or(value, |list| list.to_string().into_bytes())
    };
    let all = fs.xattrs(path)?.into_iter();
    let told = all.map(|attribute| Ext4Attribute {
        value: Bytes(shown(&attribute.name, attribute.value)),
        name: Bytes(attribute.name),
    });
    Ok(told.collect())
}

fn entry(fs: &Filesystem, at: &ImagePath, path: Vec<u8>, stat: &Stat) -> Result<Ext4Entry> {
    let kind = match stat.kind {
        FileKind::Regular => Ext4Kind::File,
        FileKind::Directory => Ext4Kind::Directory,
        FileKind::Symlink => Ext4Kind::Symlink,
        FileKind::CharDevice => Ext4Kind::CharDevice,
        FileKind::BlockDevice => Ext4Kind::BlockDevice,
        FileKind::Fifo => Ext4Kind::Fifo,
        FileKind::Socket => Ext4Kind::Socket,
    };
    let is_link = kind == Ext4Kind::Symlink;
    let target = if is_link { Some(Bytes(fs.read_link(at)?)) } else { None };
    let is_device = matches!(kind, Ext4Kind::CharDevice | Ext4Kind::BlockDevice);
    Ok(Ext4Entry {
        path: Bytes(path),
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size,
        allocated: stat.allocated,
        links: stat.nlink,
        inode: stat.ino,
        times: [stat.atime, stat.mtime, stat.ctime].map(|time| time.seconds),
        target,
        device: is_device.then_some(stat.rdev),
    })
}
