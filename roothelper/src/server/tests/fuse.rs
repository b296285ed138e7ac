//! A FUSE filesystem whose server is a program of the test's, in a namespace of mounts of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::stage::is_root;
use crate::skip::skip;

pub(super) struct Fuse {
    server: Child,
    folder: tempfile::TempDir,
}

impl Fuse {
    /// Has Python run the program, which mounts; `None` where that cannot be.
    pub(super) fn mount(program: &str) -> Option<Self> {
        if !is_root() || !Path::new("/dev/fuse").exists() {
            skip("a filesystem of a test's own takes root and /dev/fuse");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new("python3")
            .args(["-c", program])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let here = Self { server, folder };
        (line == "mounted\n").then_some(here)
    }

    /// A file of it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let below = self.folder.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.server.id().to_string()).join("root").join(below).join(name)
    }
}

impl Drop for Fuse {
    /// Nobody waits for a server that is gone.
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
