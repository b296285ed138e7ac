//! Initial RAM disks of a static busybox, a few modules and an init of a few lines.

use std::fs;
use std::io::Write;

use crate::{root, skip};

/// The static busybox of this machine; `None`, with the skip noted, where there is none.
pub fn busybox() -> Option<Vec<u8>> {
    if !root::has("busybox") {
        skip("busybox is missing (apt-get install busybox-static)");
        return None;
    }
    fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox")).ok()
}

/// The archive: `init`, which finds the modules in `/modules`, their names, in the given order,
/// in `/modules/order`, and the folders `/dev` and `/root` empty.
pub fn archive(busybox: &[u8], init: &[u8], modules: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for folder in ["bin", "dev", "root", "modules"] {
        cpio(&mut archive, folder, 0o040_755, b"");
    }
    cpio(&mut archive, "init", 0o100_755, init);
    cpio(&mut archive, "bin/busybox", 0o100_755, busybox);
    let names: Vec<_> = modules.iter().map(|(name, _)| name.as_str()).collect();
    cpio(&mut archive, "modules/order", 0o100_644, names.join("\n").as_bytes());
    for (name, module) in modules {
        cpio(&mut archive, &format!("modules/{name}"), 0o100_644, module);
    }
    cpio(&mut archive, "TRAILER!!!", 0, b"");
    archive
}

/// Appends an entry of the form that the kernel reads, "newc".
fn cpio(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let inode = archive.len();
    write!(archive, "070701{inode:08X}{mode:08X}{:08X}{:08X}{:08X}{:08X}", 0, 0, 1, 0).unwrap();
    write!(archive, "{:08X}{:08X}{:08X}{:08X}{:08X}", content.len(), 0, 0, 0, 0).unwrap();
    write!(archive, "{:08X}{:08X}{name}\0", name.len() + 1, 0).unwrap();
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
