//! Where the parts of the testbed are kept, and by which names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::owner::{self, Account};

/// A kind of part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// What its folders' names begin with.
    pub(super) name: &'static str,
    /// How long one that is not ours stays: another checkout may be using it.
    pub(super) kept: Duration,
}

impl Kind {
    /// One that changes with what is worked on now and then.
    pub(super) const fn lasting(name: &'static str) -> Self {
        Self { name, kept: Duration::from_secs(2 * 3600) }
    }

    /// One that changes with every build.
    pub(super) const fn of_a_build(name: &'static str) -> Self {
        Self { name, kept: Duration::from_secs(20 * 60) }
    }
}

/// The cache, and the lock on its parts of the testbed.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) account: Account,
    pub(super) folder: PathBuf,
    lock: File,
}

impl Cache {
    /// The cache of the user that tests run as; `None`, with the skip noted, without one.
    pub(super) fn open() -> Option<Self> {
        let account = owner::account()?;
        let folder = owner::cache(&account).expect("the cache can be made");
        let path = folder.join("testbed.lock");
        let lock = File::options().create(true).append(true).open(path).expect("it can be written");
        Some(Self { account, folder, lock })
    }

    /// Waits until nobody makes parts, and keeps everybody from it: while a machine opens them.
    pub(super) fn lock_for_use(&self) {
        self.lock.lock_shared().expect("the lock can be taken");
    }

    /// Waits until nobody else makes or opens parts.
    pub(super) fn lock_for_making(&self) {
        self.lock.lock().expect("the lock can be taken");
    }

    /// Lets others in.
    pub(super) fn unlock(&self) {
        self.lock.unlock().expect("the lock can be let go of");
    }

    /// The folder of the part `kind` with this key, which may not be there.
    pub(super) fn part(&self, kind: Kind, key: &str) -> PathBuf {
        self.folder.join(format!("{}-{key}", kind.name))
    }

    /// Makes a part as a whole or not at all, and removes those of its kind that nobody has
    /// used for long. The lock is held for making.
    pub(super) fn make(&self, kind: Kind, key: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let Kind { name: kind, kept } = kind;
        let unfinished = self.folder.join(format!("{kind}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).expect("what was left half made can be removed");
        }
        fs::create_dir(&unfinished).expect("the cache can be written");
        make(&unfinished);
        for entry in fs::read_dir(&self.folder).unwrap().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let used = entry.metadata().and_then(|data| data.modified());
            let old = used.is_ok_and(|used| {
                SystemTime::now().duration_since(used).is_ok_and(|age| age > kept)
            });
            if old && name.starts_with(&format!("{kind}-")) {
                fs::remove_dir_all(entry.path()).expect("an old part can be removed");
            }
        }
        let part = self.folder.join(format!("{kind}-{key}"));
        fs::rename(unfinished, &part).expect("a part can be given its name");
        part
    }

    /// Notes that a part is in use.
    pub(super) fn touch(part: &Path) {
        // Another user's part cannot be touched, and is not removed by us either.
        let _noted = File::open(part).and_then(|folder| folder.set_modified(SystemTime::now()));
    }
}

/// A name for whatever is made of these.
pub(super) fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
