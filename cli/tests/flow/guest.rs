//! A guest that is a folder: its side of a copy is run by a shell here, or by busybox.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use crate::place::Place;

/// A place whose guest is a folder, with programs of `busybox` or of the host.
pub(crate) struct Guest {
    pub(crate) place: Place,
}

impl Guest {
    pub(crate) fn new(busybox: bool) -> Self {
        let place = Place::new(&[]);
        let home = place.home();
        for folder in ["guest", "host"] {
            fs::create_dir(home.join(folder)).unwrap();
        }
        let mut shell = "exec sh";
        if busybox {
            fs::create_dir(home.join("applets")).unwrap();
            for name in [
                "sh", "tar", "cat", "mv", "rm", "ln", "chmod", "touch", "wc", "mkdir", "find",
                "stat", "xargs",
            ] {
                symlink("/bin/busybox", home.join("applets").join(name)).unwrap();
            }
            shell = "PATH=$HOME/applets exec sh";
        }
        // Neither log nor keys: the last argument is the line, and the home of root is a folder.
        place.program(
            "ssh",
            &format!("for last; do :; done; cd \"$HOME/guest\" && {shell} -c \"$last\""),
        );
        let guest = Self { place };
        guest.give();
        guest
    }

    /// All that is there belongs to who runs the commands.
    pub(crate) fn give(&self) {
        if rustix::process::geteuid().is_root() {
            let mut open = vec![self.place.home()];
            while let Some(path) = open.pop() {
                let metadata = path.symlink_metadata().unwrap();
                std::os::unix::fs::lchown(&path, Some(65_534), Some(65_534)).unwrap();
                if metadata.is_dir() {
                    open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                }
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.home().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        self.give();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let metadata = self.path(name).symlink_metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o640, "{name}");
        assert_eq!(metadata.mtime(), 1_000_000_000, "{name}");
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `cp` in the folder `host`, and gives back what it said when it failed.
    pub(crate) fn cp(&self, source: &str, target: &str) -> Result<(), String> {
        self.banger(&["cp", source, target]).map(|_said| ())
    }

    /// Runs a command in the folder `host`, and gives back what it said: on standard output
    /// when it went well, else on the other.
    pub(crate) fn banger(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.place.banger(arguments);
        let output = command.current_dir(self.path("host")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for folder in ["guest", "host"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let name = entry.unwrap().file_name();
                assert!(!name.to_string_lossy().starts_with(".banger"), "{name:?} is left");
            }
        }
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(out + &said) } else { Err(said) }
    }
}

/// Runs a test with the host's programs and with those of busybox.
pub(crate) fn with_both(test: impl Fn(&Guest)) {
    test(&Guest::new(false));
    if fs::exists("/bin/busybox").unwrap() {
        test(&Guest::new(true));
    }
}
