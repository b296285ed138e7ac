//! The folder of copy-on-write files.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::statfs;

use crate::kernel::{Overlay, Seen};
use crate::{OwnerUid, Ownership};

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
            since: metadata.mtime(),
        });
    }
    found.sort_unstable_by_key(|overlay| overlay.vm);
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
            std::fs::File::create(state.path().join(name)).unwrap().set_len(1 << 40).unwrap();
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
