//! What a machine is given at its start: a tar as its second disk, and images of guests as its third.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::key;
use super::guests::{self, GuestImage};
use crate::repository;

/// Bytes of the second disk, whatever it holds: the machine saw its size before it was saved.
const SIZE: u64 = 512 << 20;

/// Files for a machine.
#[derive(Debug, Default)]
pub struct Payload {
    files: Vec<Carried>,
    guests: Vec<GuestImage>,
    prepared: bool,
}

/// A file of the host, and its name in the machine.
#[derive(Debug, Clone)]
struct Carried {
    from: PathBuf,
    name: String,
    /// A program, whose debug information would only have to be carried.
    program: bool,
}

impl Payload {
    /// The program of the test that calls this, as `test`.
    pub fn of_this_test() -> Self {
        let mut payload = Self::default();
        let from = std::env::current_exe().expect("a test knows its own path");
        payload.files.push(Carried { from, name: "test".to_owned(), program: true });
        payload
    }

    /// The programs that this build made, or those of the folder that measurements name, in `bin`.
    #[must_use]
    pub fn with_programs(mut self, names: &[&str]) -> Self {
        let named = std::env::var_os("BANGER_PROGRAMS").map(PathBuf::from);
        let folder = named.unwrap_or_else(crate::built);
        for name in names {
            let from = folder.join(name);
            assert!(from.exists(), "{name} is not built: use `make test`");
            self.files.push(Carried { from, name: format!("bin/{name}"), program: true });
        }
        self
    }

    /// What `make install` calls for the root helper, which finds what is built in `bin`.
    #[must_use]
    pub fn with_packaging(mut self) -> Self {
        self.add_folder(&repository().join("packaging"), "packaging");
        self.add(&repository().join("scripts/say.sh"), "scripts/say.sh");
        self.with_programs(&["banger-roothelper", "libnss_banger.so"])
    }

    /// These images, on the third disk.
    #[must_use]
    pub fn with_guests(mut self, images: &[GuestImage]) -> Self {
        self.guests.extend(images);
        self
    }

    /// For a machine in which the helper is installed already, and what is in `to_prepare`
    /// lies in `/payload`.
    #[must_use]
    pub fn on_prepared(mut self) -> Self {
        self.prepared = true;
        self
    }

    /// What the machine that is saved as prepared is given.
    pub(super) fn to_prepare() -> Self {
        let mut payload =
            Self::default().with_programs(&["banger", "banger-ask", "bangerd"]).with_packaging();
        payload.add(&repository().join("tests/testbed/recipe/prepare.sh"), "prepare.sh");
        payload
    }

    /// The same with what the prepared machine was given.
    pub(super) fn with_what_prepares(&self) -> Self {
        let mut both = Self::to_prepare();
        both.files.extend(self.files.iter().cloned());
        both
    }

    /// Adds a file of the host, with its mode.
    pub fn add(&mut self, from: &Path, name: &str) {
        let (from, name) = (from.to_owned(), name.to_owned());
        self.files.push(Carried { from, name, program: false });
    }

    fn add_folder(&mut self, folder: &Path, name: &str) {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .expect("a folder can be read")
            .map(|entry| entry.expect("a folder can be read").path())
            .collect();
        entries.sort();
        for path in entries {
            let last = path.file_name().and_then(|last| last.to_str()).expect("a name of letters");
            let name = format!("{name}/{last}");
            if path.is_dir() { self.add_folder(&path, &name) } else { self.add(&path, &name) }
        }
    }

    /// A name for all of this, by what the files look like from outside.
    pub(super) fn key(&self) -> String {
        let told = self.files.iter().map(|file| {
            let data = file.from.metadata().expect("a file that is carried is there");
            let seen = (data.len(), data.mode(), data.mtime(), data.mtime_nsec());
            format!("{} {} {seen:?}", file.from.display(), file.name)
        });
        let told: Vec<_> = told.collect();
        key(told.iter().map(String::as_bytes))
    }

    pub(super) fn is_for_prepared(&self) -> bool {
        self.prepared
    }

    /// The second disk.
    pub(super) fn disk(&self) -> File {
        let file = tempfile::tempfile_in("/var/tmp").expect("a file can be made in /var/tmp");
        let mut tar = tar::Builder::new(file);
        for file in &self.files {
            let stripped = if file.program { stripped(&file.from) } else { None };
            let from = stripped.as_ref().map_or(&*file.from, |stripped| stripped.path());
            tar.append_path_with_name(from, &file.name).expect("a file can be added");
        }
        let file = tar.into_inner().expect("the tar can be ended");
        let len = file.metadata().expect("it is open").len();
        assert!(len <= SIZE, "the payload has {len} bytes, and the second disk {SIZE}");
        file.set_len(SIZE).expect("a file can be made longer");
        file
    }

    /// The third disk; `None`, with the skip noted, where an image on it cannot be made.
    pub(super) fn guests(&self) -> Option<File> {
        guests::disk(&self.guests)
    }
}

/// A copy without debug information, where there is a `strip`.
fn stripped(program: &Path) -> Option<tempfile::NamedTempFile> {
    let copy = tempfile::NamedTempFile::new_in("/var/tmp").expect("/var/tmp can be written");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(copy.path()).arg(program);
    let done = strip.status().is_ok_and(|status| status.success());
    if !done {
        return None;
    }
    let mode = program.metadata().expect("it was read").permissions();
    fs::set_permissions(copy.path(), mode).expect("it is ours");
    Some(copy)
}
