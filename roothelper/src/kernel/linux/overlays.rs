//! The folder of copy-on-write files.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, statfs};

use crate::kernel::{Overlay, Seen};
use crate::{Names, OwnerUid, Ownership};

/// Filesystems on which overlay files would not be the disk's: they need memory.
const IN_MEMORY: [(u64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// The folder, and whether files in it last.
pub(super) fn folder(state: &Path) -> Seen {
    let missing = |error: io::Error| format!("{}: {error}", state.display());
    let metadata = state.symlink_metadata().map_err(missing)?;
    if !metadata.is_dir() {
        return Err(format!("{} is no folder", state.display()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("{} is open to others: chmod 0700 {0}", state.display()));
    }
    let filesystem = statfs(state).map_err(|error| missing(error.into()))?;
    let kind = filesystem.f_type as u64;
    match IN_MEMORY.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(format!("{} is on {name}, which is memory", state.display())),
        None => Ok(state.display().to_string()),
    }
}

/// The files of a user.
pub(super) fn list(state: &Path, uid: OwnerUid) -> io::Result<Vec<Overlay>> {
    let entries = match std::fs::read_dir(state.join(uid.to_string())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let metadata = match entry.metadata() {
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let name = entry.file_name();
        let path = name.to_str().map(|name| format!("{uid}/{name}"));
        let ownership = path.and_then(|path| Ownership::from_overlay(&path));
        let Some(ownership) = ownership.filter(|_| metadata.is_file()) else { continue };
        found.push(Overlay {
            vm: ownership.vm,
            size: metadata.len(),
            allocated: metadata.blocks().saturating_mul(512),
            since: made(&metadata),
        });
    }
    found.sort_unstable_by_key(|overlay| overlay.vm);
    Ok(found)
}

/// Seconds since the epoch at which a file was made; 0 where the filesystem does not keep that.
fn made(metadata: &std::fs::Metadata) -> i64 {
    let since = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// The users who have a folder of files.
pub(super) fn owners(state: &Path) -> io::Result<Vec<OwnerUid>> {
    let entries = match std::fs::read_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let uid = name.to_str().and_then(|name| name.parse().ok());
        let uid = uid.and_then(|uid| OwnerUid::new(uid).ok());
        found.extend(uid.filter(|uid| name == *uid.to_string()));
    }
    Ok(found)
}

/// Bytes that are free for everybody.
pub(super) fn space(state: &Path) -> io::Result<u64> {
    match statfs(state) {
        Err(rustix::io::Errno::NOENT) => Ok(0),
        filesystem => {
            let filesystem = filesystem?;
            Ok(filesystem.f_bavail.saturating_mul(filesystem.f_bsize.unsigned_abs()))
        }
    }
}

/// The folder of a user's files, and the name of a VM's file in it.
fn place(state: &Path, of: Ownership) -> io::Result<(OwnedFd, String)> {
    let path = Names::of(of).overlay;
    let (folder, name) = path.split_once('/').ok_or(io::ErrorKind::InvalidFilename)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok((rustix::fs::open(state.join(folder), flags, Mode::empty())?, name.to_owned()))
}

/// A whole file appears, or none: it has no name before it is as it shall be.
pub(super) fn create(state: &Path, of: Ownership, size: u64) -> io::Result<()> {
    match rustix::fs::mkdir(state.join(of.uid.to_string()), Mode::RWXU) {
        Ok(()) => File::open(state)?.sync_all()?,
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let (folder, name) = place(state, of)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR)?);
    file.set_len(size)?;
    file.sync_all()?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, nameless, &folder, &name, AtFlags::SYMLINK_FOLLOW)?;
    rustix::fs::fsync(&folder).map_err(|error| {
        // It has an error for an answer, and so is not there.
        let _gone = rustix::fs::unlinkat(&folder, &name, AtFlags::empty());
        error.into()
    })
}

pub(super) fn open(state: &Path, of: Ownership) -> io::Result<File> {
    let (folder, name) = place(state, of)?;
    // Not blocking: nothing else than a file is to be waited for.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    if own && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1 {
        return Ok(file.into());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the overlay is no file of root's alone"))
}

pub(super) fn remove(state: &Path, of: Ownership) -> io::Result<()> {
    let (folder, name) = place(state, of)?;
    rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
    Ok(rustix::fs::fsync(&folder)?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use banger_proto::VmId;

    use super::*;
    use crate::Names;

    #[test]
    fn only_files_of_our_names_are_overlays_and_only_of_this_user() {
        let state = tempfile::tempdir().unwrap();
        let uid = OwnerUid::new(1000).unwrap();
        assert_eq!(list(state.path(), uid).unwrap(), []);
        let vm = VmId::random();
        let names = Names::of(Ownership { uid, vm });
        let other = Names::of(Ownership { uid: OwnerUid::new(1001).unwrap(), vm });
        for folder in ["1000", "1001"] {
            std::fs::create_dir(state.path().join(folder)).unwrap();
        }
        for name in [&names.overlay, &other.overlay] {
            File::create(state.path().join(name)).unwrap().set_len(1 << 40).unwrap();
        }
        std::fs::write(state.path().join("1000/notes.cow"), "x").unwrap();
        std::fs::create_dir(state.path().join(format!("1000/{}.cow", VmId::random()))).unwrap();
        std::os::unix::fs::symlink(
            state.path().join(&names.overlay),
            state.path().join(format!("1000/{}.cow", VmId::random())),
        )
        .unwrap();
        let found = list(state.path(), uid).unwrap();
        let [only] = &*found else { panic!("{found:?}") };
        assert_eq!((only.vm, only.size, only.allocated), (vm, 1 << 40, 0));
        assert!(only.since > 1_700_000_000, "{}", only.since);
        for no_user in ["01000", "+1000", "0", "lost+found"] {
            std::fs::create_dir(state.path().join(no_user)).unwrap();
        }
        let mut users: Vec<_> = owners(state.path()).unwrap().iter().map(|uid| uid.get()).collect();
        users.sort_unstable();
        assert_eq!(users, [1000, 1001]);
        assert_eq!(owners(&state.path().join("nowhere")).unwrap(), []);
    }

    #[test]
    fn an_overlay_is_made_once_and_is_sparse_and_private() {
        let state = tempfile::tempdir().unwrap();
        let of = Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() };
        assert_eq!(open(state.path(), of).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(remove(state.path(), of).unwrap_err().kind(), io::ErrorKind::NotFound);
        create(state.path(), of, 1 << 40).unwrap();
        assert_eq!(create(state.path(), of, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let file = open(state.path(), of).unwrap().metadata().unwrap();
        assert_eq!((file.len(), file.blocks(), file.mode() & 0o7777), (1 << 40, 0, 0o600));
        let names: Vec<_> = std::fs::read_dir(state.path().join("1000")).unwrap().collect();
        assert_eq!(names.len(), 1);
        remove(state.path(), of).unwrap();
        assert_eq!(list(state.path(), of.uid).unwrap(), []);
    }

    #[test]
    fn what_is_no_file_of_its_own_is_not_opened() {
        let state = tempfile::tempdir().unwrap();
        let of = Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() };
        create(state.path(), of, 512).unwrap();
        let path = state.path().join(Names::of(of).overlay);
        std::fs::hard_link(&path, state.path().join("second")).unwrap();
        assert_eq!(open(state.path(), of).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(state.path().join("second"), &path).unwrap();
        assert!(open(state.path(), of).is_err());
    }

    #[test]
    fn a_folder_that_is_open_or_missing_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let state = parent.path().join("state");
        assert!(folder(&state).unwrap_err().contains("state"));
        assert_eq!(space(&state).unwrap(), 0);
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        assert!(folder(&state).unwrap_err().contains("open to others"));
        assert!(space(&state).unwrap() > 0);
        assert!(folder(Path::new("/dev/null")).is_err());
    }
}
