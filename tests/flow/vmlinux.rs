//! The kernel inside a distribution's kernel, and an initial RAM disk of its modules, by a worker that has
//! nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use banger_tests::owner::Owner;
use banger_tests::unpacked::{Kernel, debian, rootfs, unpack};
use banger_tests::{root, skip};

#[test]
fn a_distributions_kernel_is_unpacked_and_a_damaged_one_refused() {
    let Some(Kernel { image: mut kernel, .. }) = debian() else { return };
    let Some(owner) = Owner::new() else { return };
    let done = unpack(&owner, &kernel, None);
    assert!(done.well && done.said.contains(r#""told":"done""#), "{}", done.said);
    let unpacked = fs::read(&done.vmlinux).unwrap();
    assert!(unpacked.starts_with(b"\x7fELF") && unpacked.len() > kernel.len(), "{}", done.said);
    let version = unpacked.windows(14).any(|bytes| bytes == b"Linux version ");
    assert!(version, "a kernel says its version");
    let half = kernel.len() / 2;
    kernel[half..half + 64].fill(0xa5);
    let done = unpack(&owner, &kernel, None);
    let refused = !done.well && done.said.contains(r#""by_host":false"#);
    assert!(refused && done.said.contains("damaged"), "{}", done.said);
    let done = unpack(&owner, &kernel[..1 << 20], None);
    assert!(!done.well && done.said.contains("it is cut short"), "{}", done.said);
}

/// What is in an archive, by whoever else reads such: each path with its mode and content.
fn extracted(unpacker: &[&str], archive: &Path, folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let _from_an_earlier_time = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    let output = Command::new(unpacker[0])
        .args(&unpacker[1..])
        .stdin(Stdio::from(File::open(archive).unwrap()))
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{unpacker:?}: {said}");
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder_now) = open.pop() {
        for entry in fs::read_dir(folder_now).unwrap() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let content = if about.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            found.insert(name, (about.permissions().mode(), content));
            if about.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn its_initial_ram_disk_holds_the_modules_that_find_a_disk_as_others_read_it() {
    let Some(kernel) = debian() else { return };
    let Some(owner) = Owner::new() else { return };
    if !root::has("busybox") {
        skip("busybox is missing (apt-get install busybox-static)");
        return;
    }
    let disk = owner.home().join("rootfs.ext4");
    rootfs(&owner, &disk, &kernel.files);
    let done = unpack(&owner, &kernel.image, Some(&disk));
    assert!(done.well && done.said.contains(r#""made":{"Ok":{"written":"#), "{}", done.said);
    let mut unpackers = vec![vec!["busybox", "cpio", "-idm"]];
    if root::has("cpio") {
        unpackers.push(vec!["cpio", "--extract", "--make-directories", "--quiet"]);
    }
    for unpacker in unpackers {
        let found = extracted(&unpacker, &done.initrd, &owner.home().join("extracted"));
        let order = String::from_utf8(found["modules/order"].1.clone()).unwrap();
        let order: Vec<_> = order.lines().collect();
        let place = |name: &str| order.iter().position(|found| *found == name).expect(name);
        assert!(place("virtio") > place("virtio_ring"), "{order:?}");
        assert!(place("virtio_mmio") > place("virtio"), "{order:?}");
        assert!(place("virtio_blk") > place("virtio"), "{order:?}");
        assert!(place("virtio_net") > place("net_failover"), "{order:?}");
        assert!(!order.contains(&"virtio_pci") && !order.contains(&"fuse"), "{order:?}");
        for name in &order {
            let content = kernel.file(&format!("/{name}.ko"));
            assert!(found[&format!("modules/{name}.ko")].1 == content, "{name} is as it was");
        }
        assert_eq!(found["init"].0 & 0o7777, 0o755);
        assert!(found["init"].1.starts_with(b"\x7fELF") && found["init"].1.len() < 64 << 10);
        let folders = found.iter().filter(|(_, (mode, _))| mode & 0o040_000 != 0);
        assert!(folders.map(|(name, _)| name.as_str()).eq(["dev", "modules", "proc", "root"]));
        assert_eq!(found.len(), 4 + 2 + order.len());
    }
}

#[test]
fn an_image_without_the_modules_of_its_kernel_has_its_kernel_unpacked_and_is_told() {
    let Some(mut kernel) = debian() else { return };
    let Some(owner) = Owner::new() else { return };
    let said = |name: &str, files: &[(String, Vec<u8>)]| {
        let disk = owner.home().join(name);
        rootfs(&owner, &disk, files);
        let done = unpack(&owner, &kernel.image, Some(&disk));
        assert!(done.well && fs::read(done.vmlinux).unwrap().starts_with(b"\x7fELF"));
        done.said
    };
    let of_another = [("usr/lib/modules/6.1.0-1/modules.dep".to_owned(), Vec::new())];
    let without = said("without", &of_another);
    assert!(
        without.contains(&format!("there is no /lib/modules/{} in it", kernel.release)),
        "{without}"
    );
    // No filesystem at all is no reason to fail, either.
    let noise = owner.home().join("noise");
    owner.write(&noise, &vec![0x5a; 1 << 20]);
    let done = unpack(&owner, &kernel.image, Some(&noise));
    assert!(done.well && done.said.contains(r#""made":{"Err":"#), "{}", done.said);
    let lists = |name: &str| name.contains("/modules.");
    let files: Vec<_> = kernel.files.drain(..).filter(|(name, _)| lists(name)).collect();
    let lists_alone = said("lists", &files);
    assert!(lists_alone.contains("virtio_ring.ko in it cannot be read"), "{lists_alone}");
}
