//! Users of the system who ask the installed helper by its socket, and what it leaves.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_proto::roothelper::{
    AttachSnapshot, Change, DetachSnapshot, DeviceHandle, Interaction, LendDevice, LentDevice,
    RootHelper, SOCKET, Snapshot,
};
use banger_proto::{Refusal, VmId};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::login::user;
use crate::packaging::install;
use crate::sh;

/// A user of the group.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub uid: u32,
    gid: u32,
    group: u32,
}

/// Installs the helper, opens its socket, and makes these users of the group.
pub fn members<const N: usize>(names: [&str; N]) -> [User; N] {
    install();
    sh("systemctl is-active --quiet banger-roothelper.socket || \
        systemctl enable --now banger-roothelper.socket");
    let number = |line: String| line.parse().unwrap();
    names.map(|name| {
        user(name);
        sh(&format!("gpasswd --add {name} banger"));
        User {
            uid: number(sh(&format!("id -u {name}"))),
            gid: number(sh(&format!("id -g {name}"))),
            group: number(sh("getent group banger | cut -d: -f3")),
        }
    })
}

impl User {
    /// Does something with the rights of this user.
    pub fn does<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
                set_thread_groups(&[Gid::from_raw(self.group)]).unwrap();
                set_thread_res_gid(gid, gid, gid).unwrap();
                set_thread_res_uid(uid, uid, uid).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Asks the helper as this user, whose process the kernel sees at the socket.
    pub fn asks<T, F>(self, question: impl FnOnce(RootHelper) -> F + Send) -> Result<T, Refusal>
    where
        T: Send,
        F: Future<Output = Result<T, Refusal>>,
    {
        self.does(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(async { question(RootHelper::connect(Path::new(SOCKET)).await?).await })
        })
    }

    /// An image of its own.
    pub fn image(self, name: &str, bytes: u64) -> PathBuf {
        let path = PathBuf::from(format!("/var/tmp/{name}-{}", self.uid));
        // Root may not write over what a user has in such a folder.
        let _old = std::fs::remove_file(&path);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        std::os::unix::fs::chown(&path, Some(self.uid), Some(self.gid)).unwrap();
        path
    }

    pub fn attach(self, vm: VmId, base: &Path) -> Result<Snapshot, Refusal> {
        self.asks(|helper| async move { helper.attach_snapshot(attaching(vm), open(base)).await })
    }

    pub fn lend(self, device: DeviceHandle) -> Result<LentDevice, Refusal> {
        let request = LendDevice { device, interaction: Interaction::Never };
        self.asks(|mut helper| async move { helper.lend_device(request).await })
    }

    pub fn detach(self, vm: VmId) -> Result<Change, Refusal> {
        let request = DetachSnapshot { vm, diskseq: None, interaction: Interaction::Never };
        self.asks(|mut helper| async move { helper.detach_snapshot(request).await })
    }
}

pub fn attaching(vm: VmId) -> AttachSnapshot {
    AttachSnapshot { vm, interaction: Interaction::Never, create_overlay: true, free_bytes: 0 }
}

pub fn open(base: &Path) -> Arc<std::os::fd::OwnedFd> {
    Arc::new(File::open(base).unwrap().into())
}

/// The node of a device that was attached.
pub fn node(user: User, vm: VmId) -> PathBuf {
    let name = format!("/dev/mapper/banger-u{}-{vm}", user.uid);
    sh(&format!("udevadm settle; readlink -f {name}")).into()
}

/// Whose a node is, and its mode.
pub fn owner(node: &Path) -> (u32, u32) {
    let metadata = node.metadata().unwrap();
    (metadata.uid(), metadata.mode() & 0o7777)
}

/// Everything of ours that the kernel and the helper have: devices, loop devices, nodes, links,
/// and the helper's own descriptors.
pub fn left() -> String {
    sh("udevadm settle; { dmsetup ls | grep banger; \
        ls /sys/block | grep -E '^(dm-|loop1[0-9]{6})'; \
        ls /dev | grep -E '^(dm-|loop1[0-9]{6})'; ls /dev/mapper | grep banger; \
        losetup --list --noheadings; \
        pid=$(systemctl show banger-roothelper.service --property=MainPID --value); \
        [ $pid = 0 ] || ls -l /proc/$pid/fd | grep -E 'loop|dm-|/var/lib/banger|/var/tmp'; } || true")
}

/// That nothing is left but overlay files.
pub fn nothing_is_left() {
    assert_eq!(left(), "");
}
