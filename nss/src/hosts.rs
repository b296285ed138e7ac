//! The file with the names of a user's VMs that run on the bridge.

use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of the largest file that is read.
const LARGEST: u64 = 256 << 10;
/// Bytes of the longest name: a label of the domain name system.
const LONGEST: usize = 63;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The VM's name.
    pub(crate) name: String,
    /// Its guest's address.
    pub(crate) address: Ipv4Addr,
}

/// Where the file of the user is as whom this process acts. Root has no VMs, and a program that
/// acts for somebody else than who started it believes no file of either's.
pub(crate) fn of_this_process() -> Option<PathBuf> {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    let user = geteuid();
    let itself = user == getuid() && getegid() == getgid();
    (itself && !user.is_root()).then(|| format!("/run/user/{}/banger/hosts", user.as_raw()).into())
}

/// The VM of this name. It may have a dot at its end, and letters of either case.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn named(file: &Path, name: &[u8]) -> io::Result<Option<Host>> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let possible = !name.is_empty()
        && name.len() <= LONGEST
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    if !possible {
        // Most names are of other computers.
        return Ok(None);
    }
    let text = read(file)?;
    Ok(lines(&text).find(|host| host.name.as_bytes().eq_ignore_ascii_case(name)))
}

/// The VM of this address.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn at(file: &Path, address: Ipv4Addr) -> io::Result<Option<Host>> {
    let text = read(file)?;
    Ok(lines(&text).find(|host| host.address == address))
}

fn lines(text: &str) -> impl Iterator<Item = Host> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let (address, name) = (words.next()?.parse().ok()?, words.next()?);
        Some(Host { name: name.to_owned(), address })
    })
}

/// What the file says; nothing where there is none, or none that this user wrote.
fn read(file: &Path) -> io::Result<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match File::options().read(true).custom_flags(flags).open(file) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(String::new());
        }
        file => file?,
    };
    let metadata = file.metadata()?;
    let mut text = String::new();
    if metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw() {
        file.take(LARGEST).read_to_string(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TEXT: &str = "# Written by bangerd\n172.16.0.9 web # x\nnonsense\n\n172.16.0.7\n\
                        172.16.0.8\tdb-1 other\nfe80::1 six\n";

    fn file(folder: &tempfile::TempDir) -> PathBuf {
        let file = folder.path().join("hosts");
        std::fs::write(&file, TEXT).unwrap();
        file
    }

    #[test]
    fn a_name_has_one_address_and_an_address_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let web = Host { name: "web".into(), address: Ipv4Addr::new(172, 16, 0, 9) };
        for name in ["web", "WEB", "web."] {
            assert_eq!(named(&file, name.as_bytes()).unwrap(), Some(web.clone()), "{name}");
        }
        let db = named(&file, b"db-1").unwrap().unwrap();
        assert_eq!(at(&file, db.address).unwrap(), Some(db));
        let others = ["", ".", "other", "six", "web.", "web..", "web.example", "w", "we\0", "x y"];
        for name in others.into_iter().filter(|name| *name != "web.") {
            assert_eq!(named(&file, name.as_bytes()).unwrap(), None, "{name:?}");
        }
        assert_eq!(named(&file, &[b'a'; 64]).unwrap(), None);
        assert_eq!(at(&file, Ipv4Addr::new(172, 16, 0, 7)).unwrap(), None);
    }

    #[test]
    fn nothing_is_read_that_is_no_file_of_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(named(&link, b"web").is_err(), "a link is not followed");
        assert_eq!(named(folder.path(), b"web").unwrap(), None, "a folder");
        assert_eq!(named(&folder.path().join("none"), b"web").unwrap(), None);
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(named(&fifo, b"web").unwrap(), None, "nobody waits for a fifo");
        std::fs::write(&file, b"172.16.0.9 w\xffb\n").unwrap();
        assert!(named(&file, b"web").is_err(), "no text");
        if rustix::process::geteuid().is_root() {
            std::fs::write(&file, TEXT).unwrap();
            std::os::unix::fs::chown(&file, Some(1), None).unwrap();
            assert_eq!(named(&file, b"web").unwrap(), None, "somebody else's");
        }
    }
}
