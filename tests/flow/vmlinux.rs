//! The kernel inside a distribution's kernel, unpacked by a worker that has nothing else.

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;

use banger_tests::owner::{self, Owner};
use banger_tests::skip;

/// The kernel of the Debian that guests in tests run, where it is at hand already.
fn debian() -> Option<Vec<u8>> {
    let cache = owner::cache(&owner::account()?).unwrap();
    let is_debian = |name: &str| name.starts_with("debian-") && name.ends_with(".tar");
    let tar = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| is_debian(&name.to_string_lossy())));
    let Some(tar) = tar else {
        skip("Debian's root filesystem is not in the cache yet (the suite `guest` makes it)");
        return None;
    };
    let mut archive = tar::Archive::new(File::open(tar).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_string_lossy().contains("boot/vmlinuz-") {
            let mut kernel = Vec::new();
            entry.read_to_end(&mut kernel).unwrap();
            return Some(kernel);
        }
    }
    panic!("there is no kernel in it");
}

/// What the worker makes of a kernel, whether it ended well, and what it said.
fn unpack(owner: &Owner, kernel: &[u8]) -> (Vec<u8>, bool, String) {
    let (from, to) = (owner.home().join("vmlinuz"), owner.home().join("vmlinux"));
    fs::write(&from, kernel).unwrap();
    let output = File::options().read(true).write(true).create(true).truncate(true).open(&to);
    let mut worker = owner.command(owner.home().join("bin/bangerd"));
    worker.arg("vmlinux-worker").stdin(File::open(&from).unwrap()).stdout(output.unwrap());
    let ended = worker.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    (fs::read(&to).unwrap(), ended.status.success(), said)
}

#[test]
fn a_distributions_kernel_is_unpacked_and_a_damaged_one_refused() {
    let Some(mut kernel) = debian() else { return };
    let Some(owner) = Owner::new() else { return };
    let (unpacked, well, said) = unpack(&owner, &kernel);
    assert!(well && said.contains(r#""told":"done""#), "{said}");
    assert!(unpacked.starts_with(b"\x7fELF") && unpacked.len() > kernel.len(), "{said}");
    let version = unpacked.windows(14).any(|bytes| bytes == b"Linux version ");
    assert!(version, "a kernel says its version");
    let half = kernel.len() / 2;
    kernel[half..half + 64].fill(0xa5);
    let (_, well, said) = unpack(&owner, &kernel);
    assert!(!well && said.contains("damaged") && said.contains(r#""by_host":false"#), "{said}");
    let (_, well, said) = unpack(&owner, &kernel[..1 << 20]);
    assert!(!well && said.contains("it is cut short"), "{said}");
}
