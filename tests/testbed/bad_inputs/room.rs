//! No room: on the disk that overlays are on, and within a quota.

use banger_proto::roothelper::Change;
use banger_proto::{Code, Refusal, VmId};
use banger_tests::testbed::inside_with_helper as inside;

use super::ready;
use crate::asking::{User, members};
use crate::files::{FSTAB, filesystem};
use crate::hygiene::There;
use crate::sh;

#[track_caller]
fn is_clear<T: std::fmt::Debug>(answer: Result<T, Refusal>, word: &str) {
    let refusal = answer.unwrap_err();
    let told = format!("{} {:?} {}", refusal.message, refusal.chain, refusal.hint);
    assert_eq!(refusal.code, Code::ResourceExhausted, "{told}");
    assert!(told.contains(word) && !refusal.hint.is_empty(), "{told}");
}

#[test]
fn without_room_on_the_disk_or_in_a_quota_it_is_told_and_nothing_is_half_made() {
    inside(|| {
        let [ann, bob] = members(["ann", "bob"]);
        sh("cp /etc/banger/roothelper.toml /root");
        quota(ann, bob);
        ann.sweep(&[], true);
        bob.sweep(&[], true);
        sh("mv /root/roothelper.toml /etc/banger");
        full_disk(ann);
    });
}

fn full_disk(ann: User) {
    let base = filesystem(ann, "base");
    // A disk of 4 MiB with 32 inodes is where overlays go.
    sh("systemctl stop banger-roothelper.service 2>&1; \
        truncate -s 4M /var/tmp/small; mkfs.ext4 -q -N 32 -m 0 -O ^has_journal /var/tmp/small; \
        mount -o loop /var/tmp/small /var/lib/banger; chmod 700 /var/lib/banger; \
        rmdir /var/lib/banger/lost+found");
    ready(ann);
    let folder = format!("/var/lib/banger/{}", ann.uid);
    let fill_inodes = "n=0; while touch /var/lib/banger/full-$((n += 1)); do :; done 2>/dev/null";
    let fill_blocks = "for size in 1M 64K 4K 1K; do n=0; while \
         fallocate -l $size /var/lib/banger/full-$size-$((n += 1)); do :; done; done 2>/dev/null";
    let vm = VmId::random();
    for (what, fill) in [
        ("no inode for a file", fill_inodes.to_owned()),
        ("no inode for a folder", format!("rmdir {folder}; {fill_inodes}")),
        ("no block for a folder", format!("rmdir {folder}; {fill_blocks}")),
        ("no block for what the kernel writes first", fill_blocks.to_owned()),
    ] {
        sh(&format!("mkdir -p -m 700 {folder}; {fill}"));
        let before = There::now();
        is_clear(ann.attach(vm, &base), "space");
        before.is_all(what);
        sh("rm /var/lib/banger/full-*");
    }
    // There is room again.
    let made = ann.attach(vm, &base).unwrap();
    assert_eq!((made.change, made.overlay), (Change::Created, Change::Created));
    assert_eq!(ann.read(made.device, "/etc/fstab").unwrap(), FSTAB.as_bytes());
    assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
}

fn quota(ann: User, bob: User) {
    // An overlay of 32 MiB has 136 KiB more than that: two are within 65 MiB.
    let conf = |overlays: &str| {
        sh(&format!(
            "printf '[quota]\\nvms = 2\\noverlays = \"{overlays}\"\\n' \
             >/etc/banger/roothelper.toml; systemctl stop banger-roothelper.service 2>&1"
        ));
    };
    conf("64M");
    ready(ann);
    let base = filesystem(ann, "base");
    let (first, second, third) = (VmId::random(), VmId::random(), VmId::random());
    ann.attach(first, &base).unwrap();
    let before = There::now();
    is_clear(ann.attach(second, &base), "overlays");
    before.is_all("more than the quota of overlays");
    conf("65M");
    ann.attach(second, &base).unwrap();
    let before = There::now();
    is_clear(ann.attach(third, &base), "vms");
    is_clear(ann.network(third, true), "vms");
    before.is_all("one VM more than the quota, by its tap");
    // A VM with a device and a tap is one, and so is one with a tap alone.
    assert_eq!(ann.network(second, true).unwrap(), Change::Created);
    assert_eq!(ann.detach(first).unwrap(), Change::Removed);
    assert_eq!(ann.network(third, true).unwrap(), Change::Created);
    let before = There::now();
    is_clear(ann.attach(first, &base), "vms");
    before.is_all("one VM more than the quota, by its device");
    // Another user has a quota of his own.
    assert_eq!(bob.network(third, true).unwrap(), Change::Created);
}
