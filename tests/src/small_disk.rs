//! A disk that becomes full soon: a small tmpfs, mounted by root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::owner::Owner;
use crate::{root, skip};

/// A mounted tmpfs; dropping it takes it away.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts `kib` KiB at `path`, which is made, as a private folder of the owner's;
    /// `None`, with the skip noted, without root.
    pub fn mount(owner: &Owner, path: &Path, kib: u64) -> Option<Self> {
        let account = owner.account();
        let options =
            format!("size={kib}k,mode=0700,uid={},gid={},nosuid,nodev", account.uid, account.gid);
        let arguments = [path.as_os_str(), OsStr::new(&options)];
        let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder).expect("a folder can be made");
            owner.give(folder);
        }
        let mounted = root::script("mount -t tmpfs -o \"$2\" banger-test \"$1\"", &arguments);
        if mounted.is_none() {
            skip("a small disk cannot be mounted here without root");
        }
        mounted.map(|_| Self { path: path.to_owned() })
    }

    /// Makes it larger or smaller.
    pub fn resize(&self, kib: u64) {
        let size = format!("remount,size={kib}k");
        let _ours = root::script("mount -o \"$2\" \"$1\"", &[self.path.as_os_str(), size.as_ref()]);
    }

    /// KiB in use.
    pub fn used_kib(&self) -> u64 {
        let state = rustix::fs::statvfs(&self.path).expect("the disk is mounted");
        (state.f_blocks - state.f_bfree) * state.f_frsize / 1024
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that still runs may have files open on it.
        let _ours = root::script("umount -l \"$1\"", &[self.path.as_os_str()]);
    }
}
