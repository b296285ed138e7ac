//! What a machine is given at its start: a tar, as its second disk.

use std::fs::File;
use std::path::Path;

/// Bytes of the second disk, whatever it holds: the machine saw its size before it was saved.
const SIZE: u64 = 512 << 20;

/// What a build makes for users.
const PROGRAMS: &[&str] = &["banger", "bangerd", "banger-roothelper"];

/// A tar without a name.
pub struct Payload {
    tar: tar::Builder<File>,
}

impl Default for Payload {
    fn default() -> Self {
        let file = tempfile::tempfile_in("/var/tmp").expect("a file can be made in /var/tmp");
        Self { tar: tar::Builder::new(file) }
    }
}

impl Payload {
    /// The program of the test that calls this, as `test`.
    pub fn of_this_test() -> Self {
        let mut payload = Self::default();
        payload.add(&std::env::current_exe().expect("a test knows its own path"), "test");
        payload
    }

    /// The programs that this build made, as far as it made them.
    pub fn of_programs() -> Self {
        let mut payload = Self::default();
        let folder = std::env::current_exe().expect("a program knows its own path");
        for name in PROGRAMS {
            let program = folder.with_file_name(name);
            if program.exists() {
                payload.add(&program, name);
            }
        }
        payload
    }

    /// Adds a file of the host, with its mode.
    pub fn add(&mut self, from: &Path, name: &str) {
        self.tar.append_path_with_name(from, name).expect("a file can be added");
    }

    /// The disk.
    pub(super) fn disk(self) -> File {
        let file = self.tar.into_inner().expect("the tar can be ended");
        let len = file.metadata().expect("it is open").len();
        assert!(len <= SIZE, "the payload has {len} bytes, and the second disk {SIZE}");
        file.set_len(SIZE).expect("a file can be made longer");
        file
    }
}
