//! Which packages the testbed is made of.

use std::path::PathBuf;

use super::cache::Cache;
use crate::debian;

/// Beyond the essential ones.
const PACKAGES: &[&str] = &[
    "bubblewrap",
    "dbus",
    "dbus-user-session",
    "dmsetup",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "login",
    "nftables",
    "openssh-server",
    "passt",
    "passwd",
    "polkitd",
    "procps",
    "python3",
    "qemu-system-x86",
    "strace",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "xz-utils",
];

/// What dpkg leaves out: nothing that a program reads.
const LEFT_OUT: &[&str] = &["doc", "info", "locale", "man"];

/// The kernel comes from the last of these.
const SOURCES: &[&str] = &[
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
    "deb http://deb.debian.org/debian bookworm-backports main",
];

const KERNEL: &str = include_str!("../../testbed/recipe/kernel.sh");
const QUIET: &str = include_str!("../../testbed/recipe/quiet.sh");

/// What mmdebstrap is told. The tar comes on its standard output.
fn arguments() -> Vec<String> {
    let mut line: Vec<String> =
        ["--mode=unshare", "--variant=minbase", "--format=tar"].map(str::to_owned).into();
    line.push(format!("--include={}", PACKAGES.join(",")));
    line.push("--aptopt=Acquire::Languages \"none\"".to_owned());
    line.extend(LEFT_OUT.iter().map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*")));
    line.push(format!("--customize-hook={KERNEL}"));
    line.push(format!("--customize-hook={QUIET}"));
    line.extend(["bookworm", "-"].map(str::to_owned));
    line.extend(SOURCES.iter().map(|source| (*source).to_owned()));
    line
}

/// The tar; `None`, with the skip noted, where it cannot be made. The lock is held for making.
pub(super) fn tar(cache: &Cache) -> Option<PathBuf> {
    debian::made(&cache.account, &cache.folder, "testbed", &arguments())
}

/// What the tar is made of.
pub(super) fn content() -> String {
    arguments().join("\n")
}
