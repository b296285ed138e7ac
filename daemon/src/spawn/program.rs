//! Which programs banger starts, and where they are looked for.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A program that banger may start.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// File name in a directory of programs.
    pub name: &'static str,
    /// Debian package that holds it; empty where there is none.
    pub package: &'static str,
    /// What banger wants it for, as the end of "is needed to ...".
    pub purpose: &'static str,
    /// Folders where distributions put it beside the usual ones.
    pub elsewhere: &'static [&'static str],
}

/// The virtual machine monitor.
pub const QEMU: Program = Program {
    name: "qemu-system-x86_64",
    package: "qemu-system-x86",
    purpose: "run virtual machines",
    elsewhere: &[],
};
/// The other virtual machine monitor. No distribution has a package of it.
pub const FIRECRACKER: Program = Program {
    name: "firecracker",
    package: "",
    purpose: "run virtual machines with Firecracker",
    elsewhere: &[],
};
/// User-mode network without a way to the host's loopback.
pub const PASST: Program =
    Program { name: "passt", package: "passt", purpose: "give guests a network", elsewhere: &[] };
/// Puts a program into namespaces of its own.
pub const BWRAP: Program = Program {
    name: "bwrap",
    package: "bubblewrap",
    purpose: "confine virtual machines",
    elsewhere: &[],
};
/// Makes a Debian root filesystem without root.
pub const MMDEBSTRAP: Program = Program {
    name: "mmdebstrap",
    package: "mmdebstrap",
    purpose: "build Debian images",
    elsewhere: &[],
};
/// Serves a folder to a guest. The one of QEMU 7 and before came in QEMU's own package.
pub const VIRTIOFSD: Program = Program {
    name: "virtiofsd",
    package: "virtiofsd",
    purpose: "share folders with guests",
    elsewhere: &["/usr/libexec", "/usr/lib/qemu", "/usr/lib"],
};
/// Makes a user namespace with subordinate ids.
pub const UNSHARE: Program = Program {
    name: "unshare",
    package: "util-linux",
    purpose: "share folders with guests",
    elsewhere: &[],
};
/// Drops groups.
pub const SETPRIV: Program = Program {
    name: "setpriv",
    package: "util-linux",
    purpose: "share folders with guests",
    elsewhere: &[],
};

/// Tells guests of each other.
pub const SSH: Program = Program {
    name: "ssh",
    package: "openssh-client",
    purpose: "tell guests of each other",
    elsewhere: &[],
};
/// Tells what systemd knows of a unit.
pub const SYSTEMCTL: Program = Program {
    name: "systemctl",
    package: "systemd",
    purpose: "look at the root helper's units",
    elsewhere: &[],
};
/// Tells what polkit would answer.
pub const PKCHECK: Program = Program {
    name: "pkcheck",
    package: "polkitd",
    purpose: "see what polkit answers",
    elsewhere: &[],
};

/// Every program that banger starts. Nothing else is ever executed.
pub const PROGRAMS: &[&Program] = &[
    &QEMU,
    &FIRECRACKER,
    &PASST,
    &BWRAP,
    &MMDEBSTRAP,
    &VIRTIOFSD,
    &UNSHARE,
    &SETPRIV,
    &SSH,
    &SYSTEMCTL,
    &PKCHECK,
];

/// Where programs are looked for, in this order. `PATH` is not asked: whoever
/// started the daemon would choose the programs that open the user's disks.
const DIRECTORIES: &[&str] =
    &["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is needed to {purpose} and was not found in {searched}; {}", install(.package)
)]
pub struct Missing {
    name: &'static str,
    purpose: &'static str,
    package: &'static str,
    searched: String,
}

fn install(package: &str) -> String {
    match package {
        "" => "name the folder that holds it in ~/.config/banger/programs".to_owned(),
        package => format!("install it with: sudo apt install {package}"),
    }
}

/// Finds programs in a fixed list of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finder {
    directories: Vec<PathBuf>,
    /// Also where a distribution puts a program that nobody calls by hand.
    elsewhere: bool,
}

impl Default for Finder {
    fn default() -> Self {
        Self { directories: DIRECTORIES.iter().map(PathBuf::from).collect(), elsewhere: true }
    }
}

impl Finder {
    /// Looks into `first` before the usual directories, for programs that were
    /// installed elsewhere. A relative path is left out: it would name another
    /// place for every working directory.
    #[must_use]
    pub fn preferring(mut self, first: Vec<PathBuf>) -> Self {
        let usual = std::mem::take(&mut self.directories);
        self.directories =
            first.into_iter().filter(|path| path.is_absolute()).chain(usual).collect();
        self
    }

    /// Looks into these directories and nowhere else.
    #[must_use]
    pub fn only(directories: Vec<PathBuf>) -> Self {
        Self { directories, elsewhere: false }
    }

    /// The path of `program`.
    ///
    /// # Errors
    /// [`Missing`], which names the package to install.
    pub fn find(&self, program: &Program) -> Result<PathBuf, Missing> {
        let elsewhere = program.elsewhere.iter().filter(|_| self.elsewhere).map(PathBuf::from);
        self.directories
            .iter()
            .cloned()
            .chain(elsewhere)
            .map(|directory| directory.join(program.name))
            .find(|path| {
                path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
            })
            .ok_or_else(|| Missing {
                name: program.name,
                purpose: program.purpose,
                package: program.package,
                searched: self
                    .directories
                    .iter()
                    .map(|d| d.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// The directories as a value for `PATH`, for programs that start others.
    #[must_use]
    pub fn search_path(&self) -> OsString {
        let mut joined = OsString::new();
        for directory in &self.directories {
            if !joined.is_empty() {
                joined.push(":");
            }
            joined.push(directory);
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let text = Finder::only(vec!["/nonexistent".into()]).find(&PASST).unwrap_err().to_string();
        assert!(text.contains("sudo apt install passt"), "{text}");
        assert!(text.contains("/nonexistent"), "{text}");
    }

    #[test]
    fn an_override_comes_first_and_a_file_that_cannot_run_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(QEMU.name);
        std::fs::write(&file, "").unwrap();
        let finder = Finder::only(vec![folder.path().to_owned()]);
        assert!(finder.find(&QEMU).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            Finder::default().preferring(vec![folder.path().to_owned()]).find(&QEMU).unwrap(),
            file
        );
    }

    #[test]
    fn a_relative_override_is_left_out() {
        let finder = Finder::default().preferring(vec!["bin".into()]);
        assert_eq!(finder.search_path(), Finder::default().search_path());
    }
}
