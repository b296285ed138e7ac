//! Initial RAM disks out of small images, whole and damaged.

use std::sync::Arc;

use banger_ext4::{Attributes, Batch, Flush, MemoryDisk};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::causes::with_causes;
use crate::disk::format_options;

const RELEASE: &str = "6.1.0-9";

fn module(text: &str) -> Vec<u8> {
    let mut module = vec![0; 64];
    module[..6].copy_from_slice(b"\x7fELF\x02\x01");
    module[16..20].copy_from_slice(&[1, 0, 62, 0]);
    module.extend_from_slice(text.as_bytes());
    module
}

/// A root filesystem with these files in the folder of the modules, which is below /usr as it is today, or not.
fn rootfs(merged: bool, files: &[(&str, Vec<u8>)]) -> Filesystem {
    let disk = Arc::new(MemoryDisk::new(16 << 20));
    let mut batch = Batch::create(disk.clone(), &format_options(Uuid::from_u128(7))).unwrap();
    let at = |path: &str| ImagePath::new(path).unwrap();
    let folder = Attributes { mode: 0o755, uid: 0, gid: 0 };
    if merged {
        batch.make_directories(&at("/usr/lib"), folder).unwrap();
        batch.symlink(&at("/lib"), b"usr/lib", 0, 0).unwrap();
    }
    for (name, content) in files {
        let path = at(&format!("/lib/modules/{RELEASE}/{name}"));
        batch.make_directories(&path.parent().unwrap(), folder).unwrap();
        batch.write_file(&path, Attributes { mode: 0o644, ..folder }, content).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    Filesystem::open(disk).unwrap()
}

fn debian() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "modules.dep",
            b"k/virtio_mmio.ko: k/virtio.ko\nk/virtio.ko:\nk/virtio_blk.ko.xz: k/virtio.ko\n"
                .to_vec(),
        ),
        ("modules.builtin", b"kernel/fs/ext4/ext4.ko\n".to_vec()),
        ("k/virtio_mmio.ko", module("mmio")),
        ("k/virtio.ko", module("virtio")),
        ("k/virtio_blk.ko.xz", packed(&module("blk"))),
    ]
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut options = lzma_rust2::XzOptions::with_preset(6);
    options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(content).unwrap();
    xz.finish().unwrap()
}

#[test]
fn the_modules_that_are_needed_are_in_it_unpacked_and_in_their_order() {
    let mut first = None;
    for merged in [true, false] {
        let mut made = Vec::new();
        let done = generate(&rootfs(merged, &debian()), Some(RELEASE), &mut made).unwrap();
        assert_eq!(done, Made::Written { modules: 3, bytes: made.len() as u64 });
        let holds = |text: &[u8]| memchr::memmem::find(&made, text);
        assert!(holds(INIT).is_some() && INIT.starts_with(b"\x7fELF"));
        assert!(holds(b"modules/order\0").is_some());
        assert!(holds(b"virtio\nvirtio_mmio\nvirtio_blk\n").is_some());
        for text in ["virtio", "mmio", "blk"] {
            assert!(holds(&module(text)).is_some(), "{text}");
        }
        // The same image makes the same bytes.
        assert_eq!(first.get_or_insert(made.clone()), &made);
    }
}

#[test]
fn a_kernel_that_has_it_all_gets_none() {
    let builtin = b"k/virtio_mmio.ko\nk/virtio_blk.ko\nk/ext4.ko\n".to_vec();
    let mut made = Vec::new();
    let rootfs = rootfs(true, &[("modules.builtin", builtin)]);
    assert_eq!(generate(&rootfs, Some(RELEASE), &mut made).unwrap(), Made::Unneeded);
    assert_eq!(made, b"");
}

#[test]
fn what_it_cannot_be_made_of_is_said() {
    let said = |files: &[(&str, Vec<u8>)], release: Option<&str>| {
        with_causes(&generate(&rootfs(true, files), release, &mut io::sink()).unwrap_err())
    };
    let without =
        |name: &str| -> Vec<_> { debian().into_iter().filter(|(file, _)| *file != name).collect() };
    assert!(said(&debian(), None).contains("does not say which release"));
    assert!(said(&debian(), Some("6.1.0-10")).contains("no /lib/modules/6.1.0-10"));
    assert!(said(&debian(), Some("..")).contains("cannot be read"), "it leads nowhere else");
    let lacks = said(&without("modules.builtin"), Some(RELEASE));
    assert_eq!(
        lacks,
        "the modules for its kernel 6.1.0-9 cannot be chosen: it has no ext4, neither built in nor as a module"
    );
    let absent = said(&without("k/virtio.ko"), Some(RELEASE));
    assert!(absent.contains("k/virtio.ko in it cannot be read"), "{absent}");
    let mut other = debian();
    other[3].1 = b"#!/bin/sh".to_vec();
    let other = said(&other, Some(RELEASE));
    assert!(other.contains("k/virtio.ko cannot be taken: it is no module for x86-64"), "{other}");
}

#[test]
fn a_disk_that_becomes_full_is_told_from_what_the_image_lacks() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let failed = generate(&rootfs(true, &debian()), Some(RELEASE), &mut Full).unwrap_err();
    assert!(matches!(failed, GenerateError::Write(_)), "{failed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_ends(
        which in 0..5_usize,
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut files = debian();
        let content = &mut files[which].1;
        let at = at.index(content.len());
        let end = content.len().min(at + bytes.len());
        content[at..end].copy_from_slice(&bytes[..end - at]);
        let mut made = Vec::new();
        if let Ok(Made::Written { bytes, .. }) = generate(&rootfs(true, &files), Some(RELEASE), &mut made) {
            prop_assert_eq!(bytes, made.len() as u64);
        }
    }
}
