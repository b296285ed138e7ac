//! What a machine is given at its start: a tar, as its second disk.

use std::fs::File;
use std::path::Path;

use crate::repository;

/// Bytes of the second disk, whatever it holds: the machine saw its size before it was saved.
const SIZE: u64 = 512 << 20;

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

    /// The programs that this build made, in `bin`.
    #[must_use]
    pub fn with_programs(mut self, names: &[&str]) -> Self {
        let own = std::env::current_exe().expect("a program knows its own path");
        // Tests lie in target/<profile>/deps, programs above.
        let folder = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
        let folder = folder.expect("a program lies in a folder");
        for name in names {
            let program = folder.join(name);
            assert!(program.exists(), "{name} is not built: use `make test`");
            self.add(&program, &format!("bin/{name}"));
        }
        self
    }

    /// What `make install` calls for the root helper, which finds the program in `bin`.
    #[must_use]
    pub fn with_packaging(mut self) -> Self {
        let folder = repository().join("packaging");
        self.tar.append_dir_all("packaging", folder).expect("a folder can be added");
        self.add(&repository().join("scripts/say.sh"), "scripts/say.sh");
        self.with_programs(&["banger-roothelper"])
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
