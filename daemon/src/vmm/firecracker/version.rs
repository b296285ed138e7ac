//! Which Firecracker it is, and whether guests are known to get out of it.

use std::fmt;
use std::path::Path;
use std::process::Stdio;

use crate::spawn::{FIRECRACKER, Finder, Launch};
use crate::vmm::walls::run;

/// A release, by its three numbers. What was made between two releases counts as the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u16, u16, u16);

/// The first that tells guests of their devices by ACPI. Earlier ones do so on the kernel's command
/// line, which few kernels of distributions read: they would find no disk.
const OLDEST: Version = Version(1, 8, 0);
/// Those that a guest's root gets out of, from and to, and by what.
const ESCAPES: &[(Version, Version, &str)] = &[
    (Version(1, 13, 0), Version(1, 14, 3), "CVE-2026-5747"),
    (Version(1, 15, 0), Version(1, 15, 0), "CVE-2026-5747"),
];

impl Version {
    /// Reads what `firecracker --version` says first.
    pub(crate) fn parse(said: &str) -> Option<Self> {
        let text = said.lines().next()?.trim().strip_prefix("Firecracker v")?;
        let number = text.split(['-', '+', ' ']).next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// Whether guests are known to get out of it.
    pub(crate) fn lets_guests_out(self) -> bool {
        self.escape().is_some()
    }

    /// By what guests get out of it.
    fn escape(self) -> Option<&'static str> {
        let known = ESCAPES.iter().find(|(first, last, _)| (*first..=*last).contains(&self));
        known.map(|(_, _, name)| *name)
    }

    /// Why nothing is run with it, when that is so.
    pub(crate) fn trouble(self) -> Option<String> {
        if self < OLDEST {
            return Some(format!("Firecracker {self} is older than {OLDEST}"));
        }
        self.escape()
            .map(|name| format!("guests are known to get out of Firecracker {self} ({name})"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Asks the program for its version, and says why it is not used where that is so.
pub(crate) async fn ask(finder: &Finder) -> Result<Version, String> {
    let launch = Launch::new(&FIRECRACKER, finder).map_err(|missing| missing.to_string())?;
    let launch = launch.arguments(["--version"]).stdout(Stdio::piped());
    let output = run(launch).await.map_err(|why| format!("Firecracker does not run: {why}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = Version::parse(&said).filter(|_| output.status.success());
    let version = version.ok_or_else(|| {
        let path = finder.find(&FIRECRACKER).unwrap_or_else(|_| Path::new("it").to_owned());
        format!("{} does not say which Firecracker it is", path.display())
    })?;
    match version.trouble() {
        Some(trouble) => Err(trouble),
        None => Ok(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(said: &str) -> Option<String> {
        Version::parse(said).expect("it is a version").trouble()
    }

    #[test]
    fn those_that_guests_get_out_of_are_not_used() {
        for bad in ["1.13.0", "1.13.2", "1.14.0-dev", "1.14.3", "1.15.0"] {
            let said = format!("Firecracker v{bad}\n\n");
            assert!(trouble(&said).is_some_and(|text| text.contains("CVE-2026-5747")), "{bad}");
        }
        for good in ["1.8.0", "1.12.1", "1.14.4", "1.15.1", "1.16.1", "1.17.0-dev", "2.0.0"] {
            assert_eq!(trouble(&format!("Firecracker v{good}\n")), None);
        }
        assert_eq!(
            trouble("Firecracker v0.25.2").as_deref(),
            Some("Firecracker 0.25.2 is older than 1.8.0")
        );
    }

    #[test]
    fn what_is_no_version_is_none() {
        for other in ["", "QEMU emulator version 7.2.0", "Firecracker v1.2", "Firecracker vx.y.z"] {
            assert_eq!(Version::parse(other), None, "{other}");
        }
        assert_eq!(Version::parse("Firecracker v1.2.3.4"), None);
    }
}
