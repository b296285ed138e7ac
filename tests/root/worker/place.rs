//! A filesystem, and workers to set on it.

use std::fs::{self, File};
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use banger_ext4::{Attributes, Batch, Flush, FormatOptions, ImagePath, MemoryDisk, Timestamp};
use banger_proto::roothelper::{Ext4Found, Ext4Operation, Ext4Owner, Ext4Write, LinkTarget};
use banger_proto::{FileMode, GuestPath};
use banger_roothelper::worker::{Account, Deadlines, Device, Program, Workers};
use banger_tests::{root, skip};

/// A user that nobody has.
pub(crate) const WORKER: u32 = 64_123;
pub(crate) const GROUP: u32 = 64_124;

/// Whether this test is run by root; where it is not, it is run again as root, or skipped.
pub(crate) fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let own = std::env::current_exe().unwrap();
    let Some(mut again) = root::command(own.to_str().unwrap()) else {
        skip("the ext4 worker is started by root");
        return false;
    };
    let test = std::thread::current();
    let status = again.args(["--exact", test.name().unwrap(), "--nocapture"]).status().unwrap();
    assert!(status.success(), "as root: {status}");
    false
}

/// Runs as the helper does, on one thread.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

pub(crate) fn path(text: impl AsRef<[u8]>) -> GuestPath {
    GuestPath::new(text.as_ref()).unwrap()
}

pub(crate) const ROOT: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

pub(crate) fn owner(mode: u32, uid: u32, gid: u32) -> Ext4Owner {
    Ext4Owner { mode: FileMode::new(mode).unwrap(), uid, gid }
}

pub(crate) fn file(at: &str, content: impl AsRef<[u8]>) -> Ext4Write {
    let content = content.as_ref().to_vec();
    change(at, Ext4Operation::File { content, owner: owner(0o644, 0, 0) })
}

pub(crate) fn link(at: &str, target: &str) -> Ext4Write {
    change(at, Ext4Operation::Symlink(LinkTarget::new(target).unwrap()))
}

pub(crate) fn change(at: &str, operation: Ext4Operation) -> Ext4Write {
    Ext4Write { path: path(at), operation }
}

/// A filesystem of 8 MiB with some files, as bytes.
pub(crate) fn small_filesystem(add: impl FnOnce(&mut Batch)) -> Vec<u8> {
    filesystem(8 << 20, add)
}

pub(crate) fn filesystem(size: usize, add: impl FnOnce(&mut Batch)) -> Vec<u8> {
    let disk = Arc::new(MemoryDisk::new(size));
    let options = FormatOptions::new([7; 16], [9; 16], Timestamp::now());
    Batch::create(disk.clone(), &options).unwrap().commit(Flush::ProcessSafe).unwrap();
    let mut batch = Batch::open(disk.clone()).unwrap();
    let folder = Attributes { mode: 0o755, uid: 0, gid: 0 };
    batch.make_directory(&ImagePath::new("/etc").unwrap(), folder).unwrap();
    let hostname = ImagePath::new("/etc/hostname").unwrap();
    batch.write_file(&hostname, ROOT, b"old\n").unwrap();
    add(&mut batch);
    batch.commit(Flush::ProcessSafe).unwrap();
    Arc::into_inner(disk).unwrap().into_bytes()
}

/// A folder with an image in it, and workers.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) deadlines: Deadlines,
}

impl Place {
    pub(crate) fn new(image: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deadlines = Deadlines { read: Duration::from_secs(60), write: Duration::from_secs(60) };
        let place = Self { folder, deadlines };
        place.put(image);
        place
    }

    /// The image becomes this; where there are only zeros, it has none.
    pub(crate) fn put(&self, image: &[u8]) {
        let file = File::create(self.image()).unwrap();
        file.set_len(image.len() as u64).unwrap();
        for (block, bytes) in image.chunks(4096).enumerate() {
            if bytes.iter().any(|byte| *byte != 0) {
                file.write_all_at(bytes, block as u64 * 4096).unwrap();
            }
        }
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Workers that do once what the name says, and what they are asked.
    pub(crate) fn workers(&self, scenario: &str) -> Workers {
        let program = self.program(scenario);
        let program = Program::at(&program).unwrap();
        Workers::new(program, Account::new(WORKER, GROUP).unwrap(), self.deadlines)
    }

    /// The worker of tests under the name of what it is to do.
    pub(crate) fn program(&self, scenario: &str) -> PathBuf {
        // .../deps/root-hash -> .../examples/name
        let own = std::env::current_exe().unwrap();
        let built = own.parent().and_then(Path::parent).unwrap().join("examples/worker-under-test");
        let named = self.folder.path().join(scenario);
        if !named.exists() && fs::hard_link(&built, &named).is_err() {
            fs::copy(&built, &named).unwrap();
        }
        named
    }

    pub(crate) fn device(&self) -> Device {
        device(&self.image(), ())
    }

    /// What a good worker finds at a path.
    pub(crate) fn found(&self, at: &str) -> Ext4Found {
        let workers = self.workers("good");
        let paths = vec![path(at)];
        run(workers.read(self.device(), paths, 1 << 20)).unwrap().remove(0)
    }

    /// The content that a good worker finds, none where nothing is.
    pub(crate) fn content(&self, at: &str) -> Option<Vec<u8>> {
        match self.found(at) {
            Ext4Found::File { content, .. } => Some(content),
            Ext4Found::Nothing => None,
            other => panic!("{at}: {other:?}"),
        }
    }
}

/// A file or device, for both kinds of workers.
pub(crate) fn device(at: &Path, held: impl Send + Sync + 'static) -> Device {
    let reading = File::options().read(true).open(at).unwrap();
    let writing = File::options().read(true).write(true).open(at).unwrap();
    Device::writing(reading.into(), writing.into(), held)
}

/// A loop device of a file; dropping it takes it away.
pub(crate) struct Loop(PathBuf);

impl Loop {
    pub(crate) fn of(image: &Path) -> Self {
        let output =
            Command::new("losetup").args(["--find", "--show"]).arg(image).output().unwrap();
        assert!(output.status.success(), "losetup: {output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _gone = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}
