//! The QEMU that emulates the testbed: of Debian's backports, unpacked into the cache, with the libraries that it
//! is linked to. The machine's own QEMU is what banger's guests run in; it is left alone.
//!
//! Debian 12's own, 7.2, cannot be trusted with a kernel under KVM: it forgets the interrupt shadow between
//! leaving a guest and entering it again, so that a guest that goes to sleep misses what should have woken it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::{Cache, Kind, key};
use crate::debian;

/// The program.
const PROGRAM: &str = "usr/bin/qemu-system-x86_64";
/// What starts it with these libraries, whatever the machine has.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/// Where it finds the firmware.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// The kind of part in the cache.
const KIND: Kind = Kind::lasting("testbed-qemu");

/// What mmdebstrap is told: to unpack, and to install nothing.
const ARGUMENTS: &[&str] = &[
    "--mode=unshare",
    "--variant=extract",
    "--format=tar",
    "--include=qemu-system-x86",
    "--aptopt=APT::Default-Release \"bookworm-backports\"",
    "--aptopt=Acquire::Languages \"none\"",
    "bookworm",
    "-",
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
    "deb http://deb.debian.org/debian bookworm-backports main",
];

/// It, in the cache.
#[derive(Debug, Clone)]
pub(super) struct Emulator {
    folder: PathBuf,
}

impl Emulator {
    /// The one in the cache, made when it is absent; `None`, with the skip noted, where it cannot be
    /// made. The lock is not held.
    pub(super) fn find_or_make(cache: &Cache) -> Option<Self> {
        let key = key(ARGUMENTS.iter().map(|argument| argument.as_bytes()));
        let folder = cache.part(KIND, &key);
        cache.lock_for_use();
        if !folder.exists() {
            cache.unlock();
            cache.lock_for_making();
        }
        let there = folder.exists() || make(cache, &key).is_some();
        if there {
            Cache::touch(&folder);
        }
        cache.unlock();
        there.then_some(Self { folder })
    }

    /// How it is started: a program and its first arguments.
    pub(super) fn line(&self) -> Vec<PathBuf> {
        let libraries = LIBRARIES.map(|name| self.folder.join(name).display().to_string());
        let mut line = vec![self.folder.join(LOADER)];
        line.extend(["--library-path".into(), libraries.join(":").into()]);
        line.push(self.folder.join(PROGRAM));
        line.extend(FIRMWARE.into_iter().flat_map(|name| ["-L".into(), self.folder.join(name)]));
        line
    }

    /// As it calls itself.
    pub(super) fn version(&self) -> Vec<u8> {
        let line = self.line();
        let told = Command::new(&line[0]).args(&line[1..]).arg("--version").output();
        told.expect("QEMU can be started").stdout
    }
}

/// Unpacks it. The lock is held for making.
fn make(cache: &Cache, key: &str) -> Option<PathBuf> {
    let arguments: Vec<_> = ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
    let tar = debian::made(&cache.account, &cache.folder, "qemu", &arguments)?;
    Some(cache.make(KIND, key, |folder| unpack(&tar, folder)))
}

fn unpack(tar: &Path, folder: &Path) {
    let needed = LIBRARIES.into_iter().chain(FIRMWARE).chain([PROGRAM, LOADER]);
    let done = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--directory"])
        .arg(folder)
        .args(needed.map(|name| format!("./{name}")))
        .stdin(File::open(tar).expect("the tar is there"))
        .output()
        .expect("tar can be started");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "QEMU cannot be unpacked: {said}");
}
