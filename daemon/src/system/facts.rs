//! What an image says of itself, read on a VM's device through the root helper.

use std::collections::BTreeMap;
use std::convert::Infallible;

use banger_proto::roothelper::Ext4Found;
use banger_proto::{GuestPath, Invalid};

use crate::guest::{ImageFacts, ImageReader};

/// Notes which paths the facts are read from.
#[derive(Debug, Default)]
struct Wanted(Vec<String>);

impl Wanted {
    fn note(&mut self, path: &str) {
        if !self.0.iter().any(|noted| noted == path) {
            self.0.push(path.to_owned());
        }
    }
}

impl ImageReader for Wanted {
    type Error = Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        self.note(path);
        Ok(None)
    }

    fn names(&mut self, path: &str) -> Result<Vec<String>, Infallible> {
        self.note(path);
        Ok(Vec::new())
    }

    fn exists(&mut self, path: &str) -> Result<bool, Infallible> {
        self.note(path);
        Ok(false)
    }
}

/// The paths that [`gather`] wants to know of: all of them, so that one call of the helper's
/// is enough.
pub(super) fn wanted() -> Result<Vec<GuestPath>, Invalid> {
    let mut wanted = Wanted::default();
    // In an empty image nothing ends the search early.
    let Ok(_nothing) = ImageFacts::gather(&mut wanted);
    wanted.0.into_iter().map(GuestPath::new).collect()
}

/// Answers from what was found.
struct Answers<'a>(BTreeMap<&'a [u8], &'a Ext4Found>);

impl ImageReader for Answers<'_> {
    type Error = Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(match self.0.get(path.as_bytes()) {
            Some(Ext4Found::File { content, .. }) => Some(content.clone()),
            _ => None,
        })
    }

    fn names(&mut self, path: &str) -> Result<Vec<String>, Infallible> {
        Ok(match self.0.get(path.as_bytes()) {
            // A name that is no text is none of those that are looked for.
            Some(Ext4Found::Directory { names, .. }) => {
                names.iter().filter_map(|name| String::from_utf8(name.clone()).ok()).collect()
            }
            _ => Vec::new(),
        })
    }

    fn exists(&mut self, path: &str) -> Result<bool, Infallible> {
        Ok(!matches!(self.0.get(path.as_bytes()), None | Some(Ext4Found::Nothing)))
    }
}

/// The facts, from what is at each of the [`wanted`] paths.
pub(super) fn gather(paths: &[GuestPath], found: &[Ext4Found]) -> ImageFacts {
    let answers = paths.iter().map(GuestPath::as_bytes).zip(found).collect();
    let Ok(facts) = ImageFacts::gather(&mut Answers(answers));
    facts
}

#[cfg(test)]
mod tests {
    use banger_proto::FileMode;
    use banger_proto::roothelper::Ext4Owner;

    use super::*;

    #[test]
    fn every_path_is_asked_for_once_and_within_a_call() {
        let paths = wanted().unwrap();
        let texts: Vec<_> = paths.iter().map(ToString::to_string).collect();
        for path in ["/etc/fstab", "/etc/ssh", "/lib/systemd/systemd", "/etc/rc.local"] {
            assert_eq!(texts.iter().filter(|text| *text == path).count(), 1, "{path}");
        }
        // What one ReadExt4File may carry at the least.
        assert!((8..=64).contains(&paths.len()), "{texts:?}");
    }

    #[test]
    fn facts_are_what_was_found_and_nothing_else() {
        let owner = Ext4Owner { mode: FileMode::new(0o644).unwrap(), uid: 0, gid: 0 };
        let paths = wanted().unwrap();
        let at = |path: &GuestPath| match path.as_bytes() {
            b"/etc/fstab" => Ext4Found::File { content: b"fstab".to_vec(), owner },
            b"/etc/ssh" => Ext4Found::Directory {
                names: vec![b"ssh_host_rsa_key".to_vec(), b"\xff".to_vec(), b"moduli".to_vec()],
                owner,
            },
            b"/lib/systemd/systemd" => Ext4Found::File { content: Vec::new(), owner },
            // Neither a file nor a directory, but there.
            b"/sbin/agetty" => Ext4Found::Special,
            // Not of the kind that is read.
            b"/etc/inittab" => Ext4Found::Directory { names: Vec::new(), owner },
            _ => Ext4Found::Nothing,
        };
        let found: Vec<_> = paths.iter().map(at).collect();
        let facts = gather(&paths, &found);
        let expected = ImageFacts {
            fstab: Some(b"fstab".to_vec()),
            host_key_files: vec!["ssh_host_rsa_key".into()],
            has_systemd: true,
            has_agetty: true,
            ..ImageFacts::default()
        };
        assert_eq!(facts, expected);
        assert_eq!(gather(&paths, &[]), ImageFacts::default());
    }
}
