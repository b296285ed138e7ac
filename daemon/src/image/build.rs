//! The recipe of a Debian image: which packages, which settings, which command line.
//!
//! mmdebstrap makes it as an ordinary user, in a user namespace, and writes a tar
//! to its standard output: an image like any other from there on.

use std::fs;
use std::path::Path;

use crate::spawn::{Finder, Launch, MMDEBSTRAP, Missing};

/// A Debian image that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianImage {
    suite: String,
    mirror: Option<String>,
}

/// A Debian image that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// mmdebstrap is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Not a suite's name.
    #[error(
        "{0:?} is no name of a Debian suite: use one like bookworm or trixie, of letters, digits and hyphens"
    )]
    Suite(String),
    /// Not a mirror's address.
    #[error("{0:?} is no address of a Debian mirror: use one like http://deb.debian.org/debian")]
    Mirror(String),
    /// Without it nobody may use more than one user in a namespace.
    #[error(
        "newuidmap is needed to build images without root and was not found; install it with: sudo apt install uidmap"
    )]
    NoNewuidmap,
    /// The user may use no other user ids.
    #[error(
        "{file} has no line for {user}, so that no image can be built without root; add one with: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
    )]
    NoSubordinates {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// Name of the user.
        user: String,
    },
}

/// Packages beyond the essential ones. Lean, but a root shell in it is to feel like
/// Debian. tiny-initramfs makes an initial RAM disk of 150 KB that loads three
/// modules and mounts the root by its UUID; initramfs-tools' runs udev first, which
/// takes seconds under emulation.
const PACKAGES: &[&str] = &[
    "bash-completion",
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "kmod",
    "less",
    "linux-image-cloud-amd64",
    "nano",
    "openssh-server",
    "passwd",
    "procps",
    "systemd",
    "systemd-sysv",
    "tiny-initramfs",
    "udev",
];

/// What dpkg leaves out: nothing that a program reads.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
];

/// Before the kernel is installed: which modules its initial RAM disk loads.
const MODULES: &str = "mkdir -p \"$1/etc/tiny-initramfs\" && printf '%s\\n' MICROCODE=no \
    AUTO_MODULES=no INCLUDE_MODULES=virtio_pci,virtio_blk,virtio_net \
    >\"$1/etc/tiny-initramfs/tiny-initramfs.conf\"";

/// After everything is installed.
const FINISH: &str = include_str!("debian.sh");

impl DebianImage {
    /// An image of `suite`. Without a mirror mmdebstrap uses Debian's own, with its
    /// updates and security updates.
    ///
    /// # Errors
    /// [`BuildError::Suite`] and [`BuildError::Mirror`]: both become arguments, and
    /// must not be taken for options.
    pub fn new(suite: &str, mirror: Option<&str>) -> Result<Self, BuildError> {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !suite.starts_with(|c: char| c.is_ascii_lowercase())
            || suite.len() > 40
            || !suite.bytes().all(letters)
        {
            return Err(BuildError::Suite(suite.to_owned()));
        }
        if let Some(mirror) = mirror {
            let known = ["http://", "https://"].iter().any(|scheme| mirror.starts_with(scheme));
            if !known || !mirror.bytes().all(|c| c.is_ascii_graphic()) {
                return Err(BuildError::Mirror(mirror.to_owned()));
            }
        }
        Ok(Self { suite: suite.to_owned(), mirror: mirror.map(str::to_owned) })
    }

    /// What mmdebstrap is told. The tar comes on its standard output.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut line: Vec<String> =
            ["--mode=unshare", "--variant=minbase", "--format=tar"].map(str::to_owned).into();
        line.push(format!("--include={}", PACKAGES.join(",")));
        line.push("--aptopt=Acquire::Languages \"none\"".to_owned());
        line.extend(LEFT_OUT.iter().map(|option| format!("--dpkgopt={option}")));
        line.push(format!("--essential-hook={MODULES}"));
        line.push(format!("--customize-hook={FINISH}"));
        line.push("--".to_owned());
        line.push(self.suite.clone());
        line.push("-".to_owned());
        line.extend(self.mirror.clone());
        line
    }

    /// The program that makes it, ready to be started by the current user: its
    /// standard output is to be a pipe, and so is its standard error, on which it
    /// says what it does. It works in `folder`. It is to be ended with
    /// [`crate::spawn::Started::end_group`], which lets it clean up.
    ///
    /// # Errors
    /// [`BuildError`], which says what to install or to set up.
    pub fn launch(&self, finder: &Finder, folder: &Path) -> Result<Launch, BuildError> {
        let launch = Launch::new(&MMDEBSTRAP, finder)?;
        let directories = std::env::split_paths(&finder.search_path()).collect::<Vec<_>>();
        if !directories.iter().any(|directory| directory.join("newuidmap").is_file()) {
            return Err(BuildError::NoNewuidmap);
        }
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = name_of(uid, &passwd).unwrap_or_else(|| uid.to_string());
        for file in ["/etc/subuid", "/etc/subgid"] {
            let text = fs::read_to_string(file).unwrap_or_default();
            if !has_subordinates(&text, &user, uid) {
                return Err(BuildError::NoSubordinates { file, user });
            }
        }
        Ok(launch.arguments(self.arguments()).environment(vec![("TMPDIR", folder.into())]))
    }
}

/// The name of user `uid` in the text of `/etc/passwd`.
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    })
}

/// True when the text of `/etc/subuid` gives the user at least the 65536 ids that a
/// distribution uses.
fn has_subordinates(text: &str, user: &str, uid: u32) -> bool {
    text.lines().any(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next();
        let count = fields.nth(1).and_then(|count| count.parse::<u64>().ok());
        (who == Some(user) || who == Some(&uid.to_string())) && count.is_some_and(|c| c >= 65536)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line() {
        let image = DebianImage::new("bookworm", Some("http://mirror.example/debian")).unwrap();
        insta::assert_snapshot!(image.arguments().join("\n"));
    }

    #[test]
    fn what_could_be_an_option_is_refused() {
        for suite in ["", "-x", "--help", "Bookworm", "a b", "trixie/main", "9", "a\n"] {
            assert!(DebianImage::new(suite, None).is_err(), "{suite:?}");
        }
        for mirror in ["", "-x", "deb.debian.org", "file:///etc", "http://a b", "copy:/"] {
            assert!(DebianImage::new("trixie", Some(mirror)).is_err(), "{mirror:?}");
        }
        assert_eq!(DebianImage::new("trixie", None).unwrap().arguments().last().unwrap(), "-");
    }

    #[test]
    fn subordinate_ids_are_found_by_name_and_by_number() {
        let text =
            "# comment\nother:100000:65536\nweb:165536:65536\n1005:231072:65536\nsmall:1:10\n";
        assert!(has_subordinates(text, "web", 7));
        assert!(has_subordinates(text, "nobody", 1005));
        assert!(!has_subordinates(text, "small", 8));
        assert!(!has_subordinates(text, "we", 9));
        assert!(!has_subordinates("", "web", 7));
    }

    #[test]
    fn a_user_has_the_name_that_passwd_says() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nweb:x:1005:1005::/home/web:/bin/sh\n";
        assert_eq!(name_of(1005, passwd).as_deref(), Some("web"));
        assert_eq!(name_of(5, passwd), None);
    }

    #[test]
    fn the_shell_of_the_last_hook_is_sound() {
        let status = std::process::Command::new("sh").args(["-n", "-c", FINISH]).status().unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_host_without_mmdebstrap_is_told_what_to_install() {
        let image = DebianImage::new("trixie", None).unwrap();
        let error =
            image.launch(&Finder::only(vec!["/nonexistent".into()]), Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("sudo apt install mmdebstrap"), "{error}");
    }
}
