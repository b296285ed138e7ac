//! The helper's files, beside those that this version ships.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::super::facts::{FileState, Role, Shipped};

/// Where systemd looks for units, udev for rules: the first that has a name has it.
const UNITS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const UDEV: &[&str] = &[
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];

/// A file: what for, in which folders, its name, and its text, which a program has none of.
type File = (Role, &'static [&'static str], &'static str, Option<&'static str>);

macro_rules! shipped {
    ($path:literal) => {
        Some(include_str!(concat!("../../../../../packaging/", $path)))
    };
}

const FILES: &[File] = &[
    (Role::Program, &["/usr/libexec/banger"], "banger-roothelper", None),
    (
        Role::Program,
        UNITS,
        "banger-roothelper.socket",
        shipped!("systemd/banger-roothelper.socket"),
    ),
    (
        Role::Program,
        UNITS,
        "banger-roothelper.service",
        shipped!("systemd/banger-roothelper.service"),
    ),
    (
        Role::Polkit,
        &["/usr/share/polkit-1/actions"],
        "dev.banger.roothelper.policy",
        shipped!("polkit/dev.banger.roothelper.policy"),
    ),
    (
        Role::Polkit,
        &["/usr/share/polkit-1/rules.d"],
        "dev.banger.roothelper.rules",
        shipped!("polkit/dev.banger.roothelper.rules"),
    ),
    (Role::Udev, UDEV, "56-banger-dm.rules", shipped!("udev/56-banger-dm.rules")),
    (Role::Udev, UDEV, "59-banger-loop.rules", shipped!("udev/59-banger-loop.rules")),
];

/// All of them.
pub(super) fn all() -> Vec<Shipped> {
    FILES.iter().map(|(role, folders, name, text)| find(*role, folders, name, *text)).collect()
}

fn find(role: Role, folders: &[&str], name: &str, text: Option<&str>) -> Shipped {
    let places = || folders.iter().map(|folder| Path::new(folder).join(name));
    let found = places().find_map(|path| Some((state(&path, text)?, path)));
    let (state, path) = found.unwrap_or_else(|| {
        // Where packages put it.
        let usual =
            places().find(|path| path.starts_with("/usr") && !path.starts_with("/usr/local"));
        (FileState::Missing, usual.unwrap_or_default())
    });
    Shipped { path, role, state }
}

/// How a file is; nothing where there is none.
fn state(path: &PathBuf, text: Option<&str>) -> Option<FileState> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(_) => return Some(FileState::Unseen),
    };
    if !metadata.is_file() || metadata.len() == 0 {
        return Some(FileState::Off);
    }
    Some(match (text, fs::read(path)) {
        (None, _) => FileState::Same,
        (Some(text), Ok(found)) if found == text.as_bytes() => FileState::Same,
        (Some(_), Ok(_)) => FileState::Differs,
        (Some(_), Err(_)) => FileState::Unseen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_first_of_its_name_and_is_compared_with_what_is_shipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (first, second) = (path("first"), path("second"));
        for folder in [&first, &second] {
            fs::create_dir(folder).unwrap();
        }
        let folders = [first.as_str(), second.as_str()];
        let look = || find(Role::Udev, &folders, "x.rules", Some("text")).state;
        assert_eq!(look(), FileState::Missing);
        fs::write(path("second/x.rules"), "text").unwrap();
        assert_eq!(look(), FileState::Same);
        fs::write(path("second/x.rules"), "text of another").unwrap();
        assert_eq!(look(), FileState::Differs);
        std::os::unix::fs::symlink("/dev/null", path("first/x.rules")).unwrap();
        assert_eq!(look(), FileState::Off);
        assert_eq!(
            find(Role::Udev, &folders, "x.rules", None).path,
            folder.path().join("first/x.rules")
        );
    }
}
