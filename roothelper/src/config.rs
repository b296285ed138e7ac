//! `/etc/banger/roothelper.toml`: what the administrator lets every owner have.
//!
//! It must belong to root and be writable by nobody else, and so must its folder. Whatever
//! is wrong with it, nothing is guessed: the helper does not start.

use std::io::Read;
use std::path::{Path, PathBuf};

use banger_proto::Mib;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use serde::Deserialize;

use crate::{Limits, NotAPool, Pool};

/// Where the file lies.
pub const PATH: &str = "/etc/banger/roothelper.toml";
/// Largest file that is read, in bytes.
const LARGEST: i64 = 64 << 10;
/// What `vms` may be at most: all owners share one range of loop devices.
const MOST_VMS: u32 = 4096;

/// What holds for every owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Limits of an owner and of a request.
    pub limits: Limits,
    /// The bridge's addresses.
    pub pool: Pool,
    /// Whether guests reach what is beyond this computer.
    pub nat: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { limits: Limits::default(), pool: Pool::DEFAULT, nat: false }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be opened or read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or its folder.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// Somebody else could have written it.
    #[error("{0} {why}: chown root:root {0}; chmod go-w {0}", path.display())]
    Untrusted {
        /// The file or its folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is no file that a configuration could be.
    #[error("{} {why}", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// What it says is not legal.
    #[error("{}, line {line}: {why}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
}

/// The file's tables, as they are written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Tables {
    quota: Quota,
    network: Network,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Quota {
    overlays: Option<toml::Spanned<String>>,
    vms: Option<toml::Spanned<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Network {
    pool: Option<toml::Spanned<String>>,
    nat: Option<bool>,
}

impl Config {
    /// What the file says, and the defaults where it says nothing or is not there. It must belong to `owner`, who is root
    /// but in tests.
    ///
    /// # Errors
    /// Whatever is wrong with the file.
    pub fn load(path: &Path, owner: u32) -> Result<Self, ConfigError> {
        match read(path, owner)? {
            Some(text) => Self::parse(path, &text),
            None => Ok(Self::default()),
        }
    }

    /// What `text` says, which is that of `path`.
    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |span: Option<std::ops::Range<usize>>, why: String| {
            let before = text.as_bytes().get(..span.map_or(0, |span| span.start));
            let line = 1 + before.unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
            ConfigError::Wrong { path: path.to_owned(), line, why }
        };
        let tables: Tables = toml::from_str(text).map_err(|error| {
            // The parser's word may be of several lines; the first says what it is.
            let why = error.message().lines().next().unwrap_or("this is no TOML").to_owned();
            wrong(error.span(), why)
        })?;
        let mut config = Self::default();
        if let Some(overlays) = tables.quota.overlays {
            let quota: Mib =
                overlays.get_ref().parse().map_err(|error: banger_proto::Invalid| {
                    wrong(Some(overlays.span()), format!("`overlays`: {error}"))
                })?;
            config.limits.overlay_quota_bytes = quota.bytes();
        }
        if let Some(vms) = tables.quota.vms {
            config.limits.vms = u32::try_from(*vms.get_ref())
                .ok()
                .filter(|vms| (1..=MOST_VMS).contains(vms))
                .ok_or_else(|| {
                    wrong(Some(vms.span()), format!("`vms`: use a number from 1 to {MOST_VMS}"))
                })?;
        }
        if let Some(pool) = tables.network.pool {
            config.pool = pool
                .get_ref()
                .parse()
                .map_err(|error: NotAPool| wrong(Some(pool.span()), format!("`pool`: {error}")))?;
        }
        config.nat = tables.network.nat.unwrap_or(config.nat);
        Ok(config)
    }
}

/// The text of a file that nobody but `owner` can have written; `None` when there is none.
fn read(path: &Path, owner: u32) -> Result<Option<String>, ConfigError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ConfigError::NotAFile { path: path.to_owned(), why: "is no file" });
    };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source: rustix::io::Errno| ConfigError::Unreadable { path, source: source.into() }
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(folder, flags | OFlags::DIRECTORY, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        opened => opened.map_err(unreadable(folder))?,
    };
    let stat = rustix::fs::fstat(&opened).map_err(unreadable(folder))?;
    trusted(folder, &stat, owner)?;
    // Not blocking: a pipe would wait for somebody to write.
    let file = match rustix::fs::openat(
        &opened,
        name,
        flags | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    ) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => {
            return Err(ConfigError::NotAFile { path: path.to_owned(), why: "is a link" });
        }
        file => file.map_err(unreadable(path))?,
    };
    let stat = rustix::fs::fstat(&file).map_err(unreadable(path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ConfigError::NotAFile { path: path.to_owned(), why: "is no regular file" });
    }
    trusted(path, &stat, owner)?;
    if stat.st_size > LARGEST {
        let why = "is larger than 64 KiB: this is no configuration";
        return Err(ConfigError::NotAFile { path: path.to_owned(), why });
    }
    let mut text = String::new();
    std::fs::File::from(file)
        .take(LARGEST.unsigned_abs())
        .read_to_string(&mut text)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(Some(text))
}

/// An access list that lets others write shows in the group's bits, which are its mask.
fn trusted(path: &Path, stat: &Stat, owner: u32) -> Result<(), ConfigError> {
    let untrusted = |why| Err(ConfigError::Untrusted { path: path.to_owned(), why });
    if stat.st_uid != owner {
        return untrusted("does not belong to root");
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return untrusted("is writable by others");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    /// The file that is installed.
    const SAMPLE: &str = include_str!("../../packaging/roothelper.toml");

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("r.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_installed_file_says_the_defaults_in_its_comments_too() {
        assert_eq!(parse(SAMPLE).unwrap(), Config::default());
        // A key's line begins with `#` alone, prose with `# `.
        let said = |line: &str| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).map(str::to_owned)
        };
        let told: String = SAMPLE
            .lines()
            .map(|line| said(line).unwrap_or_else(|| line.to_owned()) + "\n")
            .collect();
        assert_eq!(told.lines().filter(|line| line.contains(" = ")).count(), 4, "{told}");
        assert_eq!(parse(&told).unwrap(), Config::default());
    }

    #[test]
    fn every_key_counts() {
        let config = parse(
            "[quota]\noverlays = \"1T\"\nvms = 7\n[network]\npool = \"10.9.0.0/16\"\nnat = true\n",
        )
        .unwrap();
        assert_eq!(config.limits.overlay_quota_bytes, 1 << 40);
        assert_eq!(config.limits.vms, 7);
        assert_eq!(config.pool.to_string(), "10.9.0.0/16");
        assert!(config.nat);
        assert_eq!(config.limits.read_bytes, Limits::default().read_bytes);
    }

    #[test]
    fn nothing_is_guessed() {
        for (text, line, word) in [
            ("[quota]\nvsm = 1", 2, "unknown field `vsm`, expected `overlays` or `vms`"),
            ("[quotas]", 1, "unknown field `quotas`"),
            ("vms = 1", 1, "unknown field `vms`"),
            ("[quota]\nvms = 0", 2, "`vms`: use a number from 1 to 4096"),
            ("[quota]\nvms = 4097", 2, "`vms`: use"),
            ("[quota]\nvms = -1", 2, "`vms`: use"),
            ("[quota]\n\nvms = \"1\"", 3, "invalid type"),
            ("[quota]\noverlays = 5", 2, "invalid type"),
            ("[quota]\noverlays = \"5X\"", 2, "`overlays`:"),
            ("[quota]\noverlays = \"17T\"", 2, "`overlays`:"),
            ("[network]\npool = \"127.0.0.0/24\"", 2, "`pool`: guests cannot have"),
            ("[network]\nnat = \"yes\"", 2, "invalid type"),
            ("[network]\nnat = true\nnat = true", 3, "duplicate"),
            ("[network", 1, ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("r.toml, line {line}: ")), "{text}: {error}");
            assert!(error.contains(word) && !error.contains('\n'), "{text}: {error}");
        }
    }

    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("roothelper.toml");
        (folder, path)
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let (folder, path) = folder();
        assert_eq!(Config::load(&path, me()).unwrap(), Config::default());
        let nowhere = folder.path().join("nowhere/roothelper.toml");
        assert_eq!(Config::load(&nowhere, me()).unwrap(), Config::default());
        fs::write(&path, "[quota]\nvms = 9\n").unwrap();
        assert_eq!(Config::load(&path, me()).unwrap().limits.vms, 9);
    }

    /// What `load` says of the file after `change`.
    fn refusal(change: impl FnOnce(&Path)) -> String {
        let (_folder, path) = folder();
        fs::write(&path, "").unwrap();
        change(&path);
        Config::load(&path, me()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_others_can_have_written_is_refused() {
        let mode =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert!(
            refusal(|path| mode(path, 0o664)).contains("writable by others: chown root:root /")
        );
        assert!(refusal(|path| mode(path, 0o646)).contains("writable by others"));
        assert!(refusal(|path| mode(path.parent().unwrap(), 0o775)).contains("writable by others"));
        assert!(
            refusal(|path| mode(path.parent().unwrap(), 0o1777)).contains("writable by others")
        );
        let (_folder, path) = folder();
        fs::write(&path, "").unwrap();
        let error = Config::load(&path, me() + 1).unwrap_err().to_string();
        assert!(error.contains("does not belong to root"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let instead = |make: fn(&Path)| {
            refusal(|path| {
                fs::remove_file(path).unwrap();
                make(path);
            })
        };
        assert!(instead(|path| symlink("/etc/passwd", path).unwrap()).contains("is a link"));
        assert!(instead(|path| symlink("nowhere", path).unwrap()).contains("is a link"));
        assert!(instead(|path| fs::create_dir(path).unwrap()).contains("is no regular file"));
        let pipe = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        };
        assert!(instead(pipe).contains("is no regular file"));
        assert!(refusal(|path| fs::write(path, vec![b'#'; 65 << 10]).unwrap()).contains("64 KiB"));
        assert!(refusal(|path| fs::write(path, b"\xff").unwrap()).contains("cannot be read"));
    }
}
