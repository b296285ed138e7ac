//! Which folders of the host may be shared.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_proto::Share;
use banger_proto::paths::Paths;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};

/// What is the system's and no folder of files.
const SYSTEM: &[&str] = &["/proc", "/sys", "/dev", "/run"];

/// A folder that may be shared, held so that it can be told from any other.
#[derive(Debug, Clone)]
pub struct Folder {
    /// What is shared.
    pub share: Share,
    handle: Arc<OwnedFd>,
}

impl Folder {
    /// Whether `path`, by no link at its end, is this very folder; none where nothing is found.
    pub(super) fn is_at(&self, path: &str) -> Option<bool> {
        let there = fs::symlink_metadata(path).ok()?;
        let here = fstat(&*self.handle).ok()?;
        Some((there.dev(), there.ino()) == (here.st_dev, here.st_ino))
    }
}

/// What no guest may have, as it was found on this host.
#[derive(Debug, Clone, Default)]
pub struct Forbidden {
    /// banger's own folders, with every folder that each of them is in; the folder itself first.
    own: Vec<Vec<Place>>,
}

/// A folder by its name and by what it is: the same one may be mounted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Device and inode; absent where there is none yet.
    identity: Option<(u64, u64)>,
}

impl Place {
    fn at(path: &Path) -> Self {
        let identity = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Self { path: path.to_owned(), identity }
    }

    fn is(&self, other: &Self) -> bool {
        self.path == other.path || self.identity.is_some() && self.identity == other.identity
    }
}

/// A folder and every one that it is in, up to `/`.
fn upwards(path: &Path) -> Vec<Place> {
    path.ancestors().map(Place::at).collect()
}

impl Forbidden {
    /// What is found by the folders of the owner.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let folders = [&paths.state, &paths.data, &paths.cache, &paths.config, &paths.runtime];
        let resolved = |path: &PathBuf| {
            // One that is not there yet is resolved as far as it is.
            let there = path.ancestors().find_map(|above| {
                let rest = path.strip_prefix(above).ok()?;
                let above = above.canonicalize().ok()?;
                // Nothing joined would be a slash at the end.
                Some(if rest.as_os_str().is_empty() { above } else { above.join(rest) })
            });
            upwards(there.as_deref().unwrap_or(path))
        };
        Self { own: folders.into_iter().map(resolved).collect() }
    }

    /// Why a folder, by itself and those that it is in, may not be shared.
    fn judge(&self, folder: &[Place]) -> Option<FolderError> {
        let here = folder.first()?;
        if here.path == Path::new("/") {
            return Some(FolderError::Root);
        }
        if let Some(system) = SYSTEM.iter().find(|system| here.path.starts_with(system)) {
            return Some(FolderError::System(system));
        }
        self.own.iter().find_map(|own| {
            let theirs = own.first()?;
            if folder.iter().any(|place| place.is(theirs)) {
                return Some(FolderError::Own(theirs.path.clone()));
            }
            own.iter()
                .any(|place| place.is(here))
                .then(|| FolderError::AroundOwn(theirs.path.clone()))
        })
    }
}

/// Why a folder cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is none, or it cannot be reached.
    #[error("there is no such folder, or you may not enter it")]
    NotThere(#[source] io::Error),
    /// It is something else.
    #[error("it is no folder")]
    NoFolder,
    /// It is all there is.
    #[error("it is all of this computer; share a folder below it")]
    Root,
    /// It is the kernel's or the system's.
    #[error("what is in {0} is the system's own, and no folder of files")]
    System(&'static str),
    /// It is banger's.
    #[error("{} is banger's own: disks and keys of every VM are there", .0.display())]
    Own(PathBuf),
    /// banger's folders are in it.
    #[error("banger's own {} is in it, with disks and keys of every VM; share a folder below", .0.display())]
    AroundOwn(PathBuf),
    /// Its name cannot be written.
    #[error("its whole name has a colon, a control character or no UTF-8: {0}")]
    Name(String),
    /// Others own it and keep it to themselves.
    #[error("you may not read all of it, as its mode is")]
    NotReadable,
    /// Others own it and let nobody write.
    #[error("you may not write there; share it read-only, with :ro behind")]
    NotWritable,
    /// What was shared is somewhere else now.
    #[error("a link took its place, and leads to {}", .0.display())]
    Moved(PathBuf),
}

/// The share with its folder as it really is: without links.
///
/// # Errors
/// [`FolderError`] when the folder may not be shared.
pub(crate) fn admit(share: &Share, forbidden: &Forbidden) -> Result<Share, FolderError> {
    let resolved = Path::new(&share.directory).canonicalize().map_err(FolderError::NotThere)?;
    judge(&resolved, share.read_only, forbidden)?;
    let name = || resolved.to_string_lossy().into_owned();
    let directory = resolved.to_str().ok_or_else(|| FolderError::Name(name()))?;
    let admitted = Share { directory: directory.to_owned(), ..share.clone() };
    // As a record keeps it.
    if admitted.to_string().parse().as_ref() != Ok(&admitted) {
        return Err(FolderError::Name(name()));
    }
    Ok(admitted)
}

/// Opens the folder of a share that was admitted, which must be what it was then: nobody who can
/// write near it, a guest that has the folder above among them, makes it mean another one.
///
/// # Errors
/// [`FolderError`] when there is none any more, or it may not be shared any more.
pub(crate) fn open(share: &Share, forbidden: &Forbidden) -> Result<Folder, FolderError> {
    let recorded = Path::new(&share.directory);
    let resolved = recorded.canonicalize().map_err(FolderError::NotThere)?;
    if resolved != recorded {
        return Err(FolderError::Moved(resolved));
    }
    judge(recorded, share.read_only, forbidden)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = openat2(CWD, recorded, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .map_err(|error| FolderError::NotThere(error.into()))?;
    Ok(Folder { share: share.clone(), handle: Arc::new(handle) })
}

fn judge(folder: &Path, read_only: bool, forbidden: &Forbidden) -> Result<(), FolderError> {
    let found = fs::metadata(folder).map_err(FolderError::NotThere)?;
    if !found.is_dir() {
        return Err(FolderError::NoFolder);
    }
    if let Some(error) = forbidden.judge(&upwards(folder)) {
        return Err(error);
    }
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    rights((found.uid(), found.gid(), found.mode()), us, read_only)
}

/// What the file server may do with a folder: it has the owner's user and first group, and no
/// other group of theirs.
fn rights(
    (uid, gid, mode): (u32, u32, u32),
    us: (u32, u32),
    read_only: bool,
) -> Result<(), FolderError> {
    let bits = match us {
        (user, _) if user == uid => mode >> 6,
        (_, group) if group == gid => mode >> 3,
        _ => mode,
    };
    if bits & 0o5 != 0o5 {
        return Err(FolderError::NotReadable);
    }
    if bits & 0o2 == 0 && !read_only {
        return Err(FolderError::NotWritable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            for folder in ["src/deep", ".local/state/banger/vms/1", ".local/share", "a:b"] {
                fs::create_dir_all(home.path(folder)).unwrap();
            }
            home
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn forbidden(&self) -> Forbidden {
            let home = self.path("");
            let paths = Paths::from_environment(|name| match name {
                "HOME" => Some(home.clone().into()),
                _ => None,
            });
            Forbidden::of(&paths.unwrap())
        }

        fn share(&self, name: &str) -> Share {
            let directory = self.path(name).to_str().unwrap().to_owned();
            Share { directory, path: "/src".into(), read_only: false }
        }

        fn admit(&self, name: &str) -> Result<String, FolderError> {
            admit(&self.share(name), &self.forbidden()).map(|share| share.directory)
        }
    }

    #[test]
    fn links_are_resolved() {
        let home = Home::new();
        symlink("src", home.path("link")).unwrap();
        for name in ["src", "link", "src/deep/..", "./link/deep/../."] {
            let admitted = home.admit(name).unwrap();
            assert_eq!(Path::new(&admitted), home.path("src"), "{name}");
        }
    }

    #[test]
    fn nothing_of_bangers_and_nothing_around_it_is_shared() {
        let home = Home::new();
        symlink(".local/state", home.path("state")).unwrap();
        symlink("/", home.path("all")).unwrap();
        for name in [".local/state/banger", ".local/state/banger/vms/1", "state/banger/vms"] {
            assert!(matches!(home.admit(name), Err(FolderError::Own(_))), "{name}");
        }
        // The image store is not there yet.
        for name in ["", ".local", ".local/state", "state", ".local/share", ".."] {
            assert!(matches!(home.admit(name), Err(FolderError::AroundOwn(_))), "{name}");
        }
        assert!(matches!(home.admit("all"), Err(FolderError::Root)));
        let system = |directory: &str| {
            let share = Share { directory: directory.into(), ..home.share("src") };
            admit(&share, &home.forbidden())
        };
        for directory in ["/proc/self", "/sys", "/dev", "/run", "/proc"] {
            assert!(matches!(system(directory), Err(FolderError::System(_))), "{directory}");
        }
        assert!(matches!(system("/"), Err(FolderError::Root)));
    }

    #[test]
    fn the_same_folder_under_another_name_is_the_same() {
        let (own, elsewhere) = (Path::new("/home/u/.state/banger"), Path::new("/data/u"));
        let known = |path: &Path, inode| Place { path: path.into(), identity: Some((1, inode)) };
        let above = own.ancestors().zip(1..).map(|(path, inode)| known(path, inode)).collect();
        let forbidden = Forbidden { own: vec![above] };
        // /home/u is mounted at /data/u too.
        let mounted = [known(elsewhere, 3), known(Path::new("/data"), 90)];
        assert!(matches!(forbidden.judge(&mounted), Some(FolderError::AroundOwn(_))));
        let inside = [known(Path::new("/x/banger/vms"), 80), known(Path::new("/x/banger"), 1)];
        assert!(matches!(forbidden.judge(&inside), Some(FolderError::Own(_))));
        let other = [known(Path::new("/home/u/src"), 50), known(Path::new("/home/u"), 3)];
        assert!(forbidden.judge(&other).is_none());
    }

    #[test]
    fn what_is_no_folder_or_has_no_name_is_refused() {
        let home = Home::new();
        fs::write(home.path("file"), "").unwrap();
        symlink("a:b", home.path("colon")).unwrap();
        assert!(matches!(home.admit("missing"), Err(FolderError::NotThere(_))));
        assert!(matches!(home.admit("file"), Err(FolderError::NoFolder)));
        assert!(matches!(home.admit("colon"), Err(FolderError::Name(_))));
    }

    #[test]
    fn the_servers_rights_are_the_owners_without_their_groups() {
        let tried = |mode, uid, gid, ro| rights((uid, gid, mode), (1000, 1000), ro);
        assert!(tried(0o700, 1000, 5, false).is_ok());
        assert!(tried(0o770, 0, 1000, false).is_ok());
        assert!(tried(0o755, 0, 0, true).is_ok());
        assert!(tried(0o1777, 0, 0, false).is_ok());
        assert!(matches!(tried(0o755, 0, 0, false), Err(FolderError::NotWritable)));
        assert!(matches!(tried(0o500, 1000, 5, false), Err(FolderError::NotWritable)));
        assert!(matches!(tried(0o077, 1000, 5, true), Err(FolderError::NotReadable)));
        assert!(matches!(tried(0o770, 0, 5, true), Err(FolderError::NotReadable)));
    }

    #[test]
    fn a_folder_is_opened_as_long_as_it_is_what_it_was() {
        let home = Home::new();
        let (share, forbidden) = (home.share("src"), home.forbidden());
        assert!(open(&share, &forbidden).is_ok());
        fs::rename(home.path("src"), home.path("was")).unwrap();
        assert!(matches!(open(&share, &forbidden), Err(FolderError::NotThere(_))));
        symlink(home.path("was"), home.path("src")).unwrap();
        let Err(FolderError::Moved(to)) = open(&share, &forbidden) else { panic!() };
        assert_eq!(to, home.path("was"));
        fs::remove_file(home.path("src")).unwrap();
        fs::write(home.path("src"), "").unwrap();
        assert!(matches!(open(&share, &forbidden), Err(FolderError::NoFolder)));
    }
}
