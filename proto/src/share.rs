//! Folders of the host that a guest sees.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{GuestPath, Invalid, wire::daemon as wire};

/// A folder of the host that a guest has at a path of its own.
///
/// Both paths are UTF-8 without colons and control characters, so that one can be written, shown
/// and kept as `DIR:PATH[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share {
    /// The folder on the host. Relative only until it has left the command line.
    pub directory: String,
    /// Where it is in the guest: absolute, and never `/`.
    pub path: String,
    /// The guest cannot change what is in it.
    pub read_only: bool,
}

/// Where nothing can be put: what a guest lives on, or what begins empty at every boot.
const NOT_BELOW: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/proc",
    "/root/.ssh",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lock",
    "/var/run",
];
/// What can have a folder of the host's in it, and cannot be one.
const NOT_WHOLE: &[&str] = &["/root", "/var", "/var/lib", "/var/log"];

impl Share {
    /// Most that one VM may have: each has a process and a device.
    const MOST: usize = 8;
    const NOUN: &'static str = "shared folder";
    const RULE: &'static str = "use DIR:PATH or DIR:PATH:ro with PATH from / on, as in ./src:/src:ro; \
         a name that has a colon cannot be written so";

    /// With its folder, where that is relative, as seen from `base`.
    ///
    /// # Errors
    /// When `base` cannot be written.
    pub fn seen_from(mut self, base: &Path) -> Result<Self, Invalid> {
        let directory = base.join(&self.directory);
        let text = || directory.to_string_lossy();
        self.directory = directory
            .to_str()
            .and_then(plain)
            .ok_or_else(|| Invalid::new(Self::NOUN, &text(), Self::RULE))?
            .to_owned();
        Ok(self)
    }

    /// What one VM may have together, and where.
    ///
    /// # Errors
    /// When there are too many, a folder is relative, or a path is one that a guest needs or
    /// has for another of them.
    pub fn check(all: &[Self]) -> Result<(), Invalid> {
        if all.len() > Self::MOST {
            let count = all.len().to_string();
            return Err(Invalid::new("number of shared folders", &count, "use at most 8"));
        }
        for (index, one) in all.iter().enumerate() {
            let wrong = |rule| Err(Invalid::new(Self::NOUN, &one.to_string(), rule));
            if !one.directory.starts_with('/') {
                return wrong("name the folder from / on");
            }
            let path = Path::new(&one.path);
            if NOT_BELOW.iter().any(|vital| path.starts_with(vital))
                || NOT_WHOLE.iter().any(|vital| one.path == *vital)
            {
                return wrong(
                    "the guest needs that place itself; use one below /mnt, /srv, /opt, /home or /root",
                );
            }
            let inside = |other: &Self| {
                path.starts_with(&other.path) || Path::new(&other.path).starts_with(path)
            };
            if all.get(..index).unwrap_or_default().iter().any(inside) {
                return wrong("another one has that place, or one in or around it");
            }
        }
        Ok(())
    }

    /// `/home/ann/src -> /src, read-only`.
    #[must_use]
    pub fn arrow(&self) -> String {
        let how = if self.read_only { ", read-only" } else { "" };
        format!("{} -> {}{how}", self.directory, self.path)
    }

    fn new(directory: &str, path: &str, read_only: bool) -> Option<Self> {
        let directory = plain(directory)?;
        let path = plain(path)?.trim_end_matches('/');
        GuestPath::new(path).ok()?;
        Some(Self { directory: directory.to_owned(), path: path.to_owned(), read_only })
    }
}

/// The text, if it can be part of a longer one.
fn plain(text: &str) -> Option<&str> {
    let fits = !text.is_empty() && text.chars().all(|c| c != ':' && !c.is_control());
    fits.then_some(text)
}

impl FromStr for Share {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<_> = text.split(':').collect();
        let share = match parts[..] {
            [directory, path] => Self::new(directory, path, false),
            [directory, path, "ro"] => Self::new(directory, path, true),
            _ => None,
        };
        share.ok_or_else(|| Invalid::new(Self::NOUN, text, Self::RULE))
    }
}

/// As it is read.
impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.read_only { ":ro" } else { "" };
        write!(formatter, "{}:{}{how}", self.directory, self.path)
    }
}

impl TryFrom<wire::Share> for Share {
    type Error = Invalid;

    fn try_from(wire: wire::Share) -> Result<Self, Invalid> {
        Self::new(&wire.directory, &wire.path, wire.read_only).ok_or_else(|| {
            let text = format!("{}:{}", wire.directory, wire.path);
            Invalid::new(Self::NOUN, &text, Self::RULE)
        })
    }
}

impl From<Share> for wire::Share {
    fn from(share: Share) -> Self {
        let Share { directory, path, read_only } = share;
        Self { directory, path, read_only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn folders_are_read_as_people_write_them() {
        for (text, shown) in [
            ("/a:/b", "/a:/b"),
            ("src:/src/", "src:/src"),
            (".:/mnt/a b:ro", ".:/mnt/a b:ro"),
            ("../x:/root/x", "../x:/root/x"),
            ("/\u{e9}:/\u{e9}", "/\u{e9}:/\u{e9}"),
        ] {
            assert_eq!(share(text).to_string(), shown, "{text}");
            assert_eq!(share(shown), share(text), "what is shown is read");
            let wire = wire::Share::from(share(text));
            assert_eq!(Share::try_from(wire), Ok(share(text)));
        }
        assert_eq!(share("/a:/b:ro").arrow(), "/a -> /b, read-only");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":",
            "/a",
            "/a:",
            ":/b",
            "/a:b",
            "/a:/",
            "/a:/b/../c",
            "/a:/b//c",
            "/a:/b:rw",
            "/a:/b:",
            "/a:b:/c",
            "/a:b:/c:ro",
            "/a\n:/b",
            "/a:/b\t",
        ] {
            let said = text.parse::<Share>().unwrap_err().to_string();
            assert!(said.contains("a colon"), "{text}: {said}");
        }
        assert!(Share::try_from(wire::Share::default()).is_err());
        let colon = wire::Share { directory: "/a:b".into(), path: "/c".into(), read_only: true };
        assert!(Share::try_from(colon).is_err());
    }

    #[test]
    fn a_relative_folder_is_one_of_the_working_directory() {
        let seen = |text: &str| share(text).seen_from(Path::new("/home/ann"));
        assert_eq!(seen("src:/b").unwrap().directory, "/home/ann/src");
        assert_eq!(seen("/src:/b").unwrap().directory, "/src");
        assert!(share("src:/b").seen_from(Path::new("/a:b")).is_err());
    }

    #[test]
    fn a_guest_keeps_the_places_that_it_needs() {
        let check = |texts: &[&str]| {
            let all: Vec<_> = texts.iter().map(|text| share(text)).collect();
            Share::check(&all).map_err(|error| error.rule)
        };
        for path in
            ["/src", "/mnt", "/srv/www", "/root/src", "/home", "/var/www", "/opt", "/etcetera"]
        {
            assert_eq!(check(&[&format!("/a:{path}")]), Ok(()), "{path}");
        }
        for path in [
            "/etc",
            "/usr/src",
            "/root",
            "/root/.ssh",
            "/root/.ssh/x",
            "/tmp/x",
            "/var",
            "/proc/1",
            "/dev",
            "/lib64",
            "/boot",
        ] {
            let said = check(&[&format!("/a:{path}")]).unwrap_err();
            assert!(said.contains("needs that place"), "{path}: {said}");
        }
        assert!(check(&["a:/src"]).unwrap_err().contains("from / on"));
        assert_eq!(check(&["/a:/src", "/a:/srcs", "/b:/mnt/a", "/b:/mnt/b"]), Ok(()));
        for pair in [["/a:/src", "/b:/src"], ["/a:/src", "/b:/src/b"], ["/a:/src/a", "/b:/src"]] {
            assert!(check(&pair).unwrap_err().contains("another one"), "{pair:?}");
        }
        assert!(check(&["/a:/b"; 9]).unwrap_err().contains("at most 8"));
    }
}
