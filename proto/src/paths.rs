//! Where the owner's files and sockets are, following the XDG base directories.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// The folders that banger uses for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Records, disks, locks and control sockets: `$XDG_STATE_HOME/banger`.
    pub state: PathBuf,
    /// Images: `$XDG_DATA_HOME/banger`.
    pub data: PathBuf,
    /// What can be made again: `$XDG_CACHE_HOME/banger`.
    pub cache: PathBuf,
    /// Configuration: `$XDG_CONFIG_HOME/banger`.
    pub config: PathBuf,
    /// The administrator's configuration: `/etc/banger`.
    pub system_config: PathBuf,
    /// The folder of bangerd's socket: in `$XDG_RUNTIME_DIR`, else in the state folder.
    pub runtime: PathBuf,
}

/// Why a folder or socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Neither the variable nor a home is there.
    #[error("HOME is not set to an absolute path")]
    NoHome,
    /// A folder that must be private cannot be made or looked at.
    #[error("cannot prepare the folder {}", path.display())]
    Prepare {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder cannot be made where it belongs, since the folder there is somebody else's.
    #[error("cannot make the folder {}: {} is not yours to write to", path.display(), above.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// The folder that is there already.
        above: PathBuf,
    },
    /// A folder that must be private is open to others.
    #[error("{} must be a folder of your own with mode 0700", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
}

impl Paths {
    /// Name of bangerd's socket in its folder.
    pub const SOCKET: &'static str = "bangerd.sock";

    /// Variable that names another folder in place of `/etc/banger`, for tests. It guards
    /// nothing, and the command line does not hand it on to bangerd.
    pub const SYSTEM_CONFIG: &'static str = "BANGER_SYSTEM_CONFIG";

    /// The folders that the given environment names.
    ///
    /// # Errors
    /// When `HOME` is needed and is not an absolute path.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, PathError> {
        // The specification says that relative paths are to be ignored.
        let absolute =
            |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let base = |name: &str, below_home: &str| {
            absolute(name)
                .or_else(|| home.as_ref().map(|home| home.join(below_home)))
                .map(|base| base.join("banger"))
                .ok_or(PathError::NoHome)
        };
        let state = base("XDG_STATE_HOME", ".local/state")?;
        let runtime = absolute("XDG_RUNTIME_DIR")
            .map_or_else(|| state.join("run"), |runtime| runtime.join("banger"));
        Ok(Self {
            data: base("XDG_DATA_HOME", ".local/share")?,
            cache: base("XDG_CACHE_HOME", ".cache")?,
            config: base("XDG_CONFIG_HOME", ".config")?,
            system_config: absolute(Self::SYSTEM_CONFIG)
                .unwrap_or_else(|| PathBuf::from("/etc/banger")),
            runtime,
            state,
        })
    }

    /// The folders of this process's environment.
    ///
    /// # Errors
    /// As [`Paths::from_environment`].
    pub fn of_this_process() -> Result<Self, PathError> {
        Self::from_environment(|name| std::env::var_os(name))
    }

    /// Path of bangerd's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join(Self::SOCKET)
    }
}

/// Makes `path` and its parents when absent, and checks that it is a folder of this user
/// alone: not a link, owned by us, mode 0700.
///
/// # Errors
/// When it cannot be made, or is not private.
pub fn private_directory(path: &Path) -> Result<(), PathError> {
    let prepare = |source| PathError::Prepare { path: path.to_owned(), source };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| match closed(path) {
        Some(above) if source.kind() == io::ErrorKind::PermissionDenied => {
            PathError::NotOurs { path: path.to_owned(), above: above.to_owned() }
        }
        _ => prepare(source),
    })?;
    let metadata = std::fs::symlink_metadata(path).map_err(prepare)?;
    let private = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.permissions().mode() & 0o077 == 0;
    if private { Ok(()) } else { Err(PathError::NotPrivate { path: path.to_owned() }) }
}

/// The lowest folder above `path` that is there, when nothing can be made in it.
fn closed(path: &Path) -> Option<&Path> {
    let there = path.ancestors().skip(1).find(|above| above.exists())?;
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).is_err().then_some(there)
}

/// A short name for a socket in a folder, however long the folder's own path is: the
/// address of a unix socket holds 107 bytes only.
#[derive(Debug)]
pub struct SocketAddress {
    directory: OwnedFd,
    name: OsString,
}

impl SocketAddress {
    /// Opens the folder that holds the socket `path`.
    ///
    /// # Errors
    /// What opening the folder said.
    pub fn of(path: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        Ok(Self { directory: File::open(directory)?.into(), name: name.to_owned() })
    }

    /// A path of the socket that is valid as long as `self` lives, in this process.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> Result<Paths, PathError> {
        Paths::from_environment(|name| {
            variables.iter().find(|row| row.0 == name).map(|row| row.1.into())
        })
    }

    #[test]
    fn a_bare_home_is_enough() {
        let paths = paths(&[("HOME", "/home/ann")]).unwrap();
        assert_eq!(paths.state, Path::new("/home/ann/.local/state/banger"));
        assert_eq!(paths.data, Path::new("/home/ann/.local/share/banger"));
        assert_eq!(paths.system_config, Path::new("/etc/banger"));
        assert_eq!(paths.socket(), Path::new("/home/ann/.local/state/banger/run/bangerd.sock"));
    }

    #[test]
    fn the_runtime_folder_is_used_when_it_is_there() {
        let paths = paths(&[("HOME", "/home/ann"), ("XDG_RUNTIME_DIR", "/run/user/1000")]).unwrap();
        assert_eq!(paths.socket(), Path::new("/run/user/1000/banger/bangerd.sock"));
    }

    #[test]
    fn relative_folders_are_ignored_and_no_home_is_an_error() {
        assert!(matches!(
            paths(&[("HOME", "ann"), ("XDG_STATE_HOME", "x")]),
            Err(PathError::NoHome)
        ));
    }

    #[test]
    fn a_private_folder_is_made_and_an_open_one_refused() {
        let base = tempfile::tempdir().unwrap();
        let made = base.path().join("a/b");
        private_directory(&made).unwrap();
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o750)).unwrap();
        assert!(matches!(private_directory(&made), Err(PathError::NotPrivate { .. })));
        let link = base.path().join("link");
        std::os::unix::fs::symlink(base.path(), &link).unwrap();
        assert!(matches!(private_directory(&link), Err(PathError::NotPrivate { .. })));
    }

    #[test]
    fn a_socket_far_down_can_be_bound_and_reached() {
        let base = tempfile::tempdir().unwrap();
        let deep = base.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let socket = deep.join("s");
        let address = SocketAddress::of(&socket).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(address.path()).unwrap();
        assert!(socket.exists());
        std::os::unix::net::UnixStream::connect(address.path()).unwrap();
    }
}
