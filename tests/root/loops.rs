//! The root helper's loop devices on this kernel.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};

use banger_roothelper::kernel::device::Binding;
use banger_roothelper::kernel::{Devices, Kernel, Linux};
use banger_roothelper::{OwnerUid, Ownership};
use banger_tests::skip;

#[test]
fn a_loop_device_is_claimed_bound_named_and_let_go() {
    let linux = Linux::default();
    if !rustix::process::geteuid().is_root() {
        return skip("loop devices are root's");
    }
    if let Err(missing) = linux.loop_control() {
        return skip(&missing);
    }
    let uid = OwnerUid::new(0x7fff_fff0).unwrap();
    let of = Ownership { uid, vm: banger_proto::VmId::random() };
    let file = tempfile::tempfile_in("/var/tmp").unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(b"content", 0).unwrap();

    let (number, hold) = linux.claim_loop().unwrap();
    let (other, other_hold) = linux.claim_loop().unwrap();
    assert_ne!(number, other, "a number is taken once");
    // Nobody takes for a stray what is claimed.
    linux.release_stray_loops().unwrap();
    let binding = Binding { of, read_only: true, size: 512 << 10 };
    linux.bind_loop(number, file.as_fd(), &binding).unwrap();
    let again = linux.bind_loop(number, file.as_fd(), &binding).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::ResourceBusy);

    let ours = |found: &&banger_roothelper::kernel::device::Loop| found.of == Some(of);
    let found = *linux.loops().unwrap().iter().find(ours).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!((found.number, found.read_only, found.size), (number, true, 512 << 10));
    assert_eq!((found.file.device, found.file.inode), (metadata.dev(), metadata.ino()));
    let node = std::fs::File::open(format!("/dev/{number}")).unwrap();
    let mut content = [0; 7];
    node.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(&content, b"content");
    let facts = node.metadata().unwrap();
    assert!(facts.file_type().is_block_device());
    assert_eq!(facts.permissions().mode() & 0o007, 0);
    drop(node);

    drop((hold, other_hold));
    assert!(!linux.loops().unwrap().iter().any(|found| found.of == Some(of)), "it clears itself");
    for number in [number, other] {
        linux.release_loop(number).unwrap();
        assert!(!std::fs::exists(format!("/dev/{number}")).unwrap());
        linux.release_loop(number).unwrap();
    }
}
