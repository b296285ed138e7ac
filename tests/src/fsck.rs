//! e2fsck as a judge: a filesystem is clean, or the test fails.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A tool of e2fsprogs, which may lie outside an ordinary user's `PATH`.
pub fn tool(name: &str) -> Command {
    let full = Path::new("/usr/sbin").join(name);
    if full.exists() { Command::new(full) } else { Command::new(name) }
}

/// Has debugfs do what a script says, on an image that it may change; what it prints.
pub fn debugfs(image: &Path, script: &str) -> String {
    let mut child = tool("debugfs")
        .args(["-w", "-f", "-"])
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}

/// What e2fsck says, and lets pass, about a clock that was set back by less than a day.
const CLOCK: [&str; 3] = [
    "Superblock last write time is in the future.",
    "Superblock last mount time is in the future.",
    "(by less than a day",
];

/// Panics unless `e2fsck -fn` finds nothing to say about the image.
pub fn assert_clean(image: &Path) {
    let output = tool("e2fsck").arg("-fn").arg(image).output().expect("e2fsck can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files ("))
        .filter(|line| !line.trim().is_empty())
        // A host that sets its clock back between a write and the judgement.
        .filter(|line| !CLOCK.iter().any(|said| line.trim_start().starts_with(said)))
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(0) && said.is_empty(),
        "e2fsck -fn {}: {}\n{text}{errors}",
        image.display(),
        output.status,
    );
}

/// Makes a filesystem with mke2fs, the way distributions do.
pub fn mke2fs(image: &Path, size: u64, arguments: &[&str]) {
    std::fs::File::create(image)
        .and_then(|file| file.set_len(size))
        .expect("an image file can be made");
    let output = tool("mke2fs")
        .args(["-q", "-F", "-t", "ext4"])
        .args(arguments)
        .arg(image)
        .output()
        .expect("mke2fs can be started");
    assert!(
        output.status.success(),
        "mke2fs {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
