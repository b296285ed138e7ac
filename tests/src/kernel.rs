//! The kernel's own ext4 as a judge: images are mounted through loop devices.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{fsck, manifest, root};

/// Held while a loop mount exists: parallel ones race for devices.
struct Turn {
    _lock: File,
}

impl Turn {
    fn take() -> Self {
        let path = std::env::temp_dir().join("banger-loop-mounts.lock");
        // Another user may own the file; a lock needs no right to write.
        let lock = File::open(&path)
            .or_else(|_| OpenOptions::new().create(true).append(true).open(&path))
            .expect("the lock of loop mounts can be opened");
        lock.lock().expect("the lock of loop mounts can be taken");
        Self { _lock: lock }
    }
}

/// Why the kernel cannot be asked here, when it cannot.
pub fn missing() -> Option<&'static str> {
    if root::command("true").is_none() {
        return Some("mounting needs root, or sudo without a question");
    }
    if !root::has("e2fsck") || !root::has("mke2fs") {
        return Some("e2fsprogs is not installed");
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices");
    }
    None
}

/// Mounts `image` with `options`, runs `work` on the folder, unmounts.
///
/// Panics when the kernel refuses, or when root is not to be had: ask
/// [`missing`] first.
pub fn mounted<T>(image: &Path, options: &str, work: impl FnOnce(&Path) -> T) -> T {
    let _turn = Turn::take();
    let folder = tempfile::tempdir().expect("a folder to mount on can be made");
    run(&["mount", "-t", "ext4", "-o", &format!("loop,{options}")], &[image, folder.path()]);
    let unmount = Unmount { folder: folder.path().to_owned(), image: image.to_owned() };
    let result = work(folder.path());
    drop(unmount);
    result
}

struct Unmount {
    folder: PathBuf,
    image: PathBuf,
}

impl Drop for Unmount {
    fn drop(&mut self) {
        run(&["umount"], &[&self.folder]);
        // A mount namespace that somebody made meanwhile has it mounted still, and the kernel
        // writes what it has to write when that ends.
        let begun = Instant::now();
        while is_backing(&self.image) {
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(!late || std::thread::panicking(), "{} stays mounted", self.image.display());
            if late {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a loop device is over this file.
fn is_backing(image: &Path) -> bool {
    let image = image.canonicalize().unwrap_or_else(|_| image.to_owned());
    let devices = std::fs::read_dir("/sys/block").expect("block devices can be listed");
    devices.filter_map(Result::ok).any(|device| {
        let file = std::fs::read_to_string(device.path().join("loop/backing_file"));
        file.is_ok_and(|file| Path::new(file.trim_end_matches('\n')) == image)
    })
}

fn run(words: &[&str], paths: &[&Path]) {
    let mut command = root::command(words[0]).expect("root is to be had");
    let output = command
        .args(&words[1..])
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .expect("the program can be started");
    assert!(
        output.status.success() || std::thread::panicking(),
        "{words:?} {paths:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The program that prints manifests, beside the test programs.
fn manifest_program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    let folder = test.parent().and_then(Path::parent).expect("programs lie below target");
    folder.join("banger-manifest")
}

/// What the kernel sees in the image, mounted read-only.
pub fn tree(image: &Path) -> Vec<String> {
    mounted(image, "ro", list)
}

/// The manifest of a mounted folder, read as root.
pub fn list(folder: &Path) -> Vec<String> {
    let program = manifest_program();
    let mut command =
        root::command(program.to_str().expect("a plain path")).expect("root is to be had");
    let output = command.arg(folder).output().expect("the manifest program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
}

/// Lets the kernel work on the image as a guest would: read it, write to it,
/// read it again. Panics unless what was there stays as it was, and e2fsck has
/// nothing to say before and after.
pub fn assert_workable(image: &Path) -> Vec<String> {
    fsck::assert_clean(image);
    let before = tree(image);
    mounted(image, "rw", |folder| {
        let script = r#"mkdir "$1/kernel-wrote"
            for n in $(seq 50); do head -c $((n * 997)) /dev/zero > "$1/kernel-wrote/file-$n"; done
            sync -f "$1""#;
        root::script(script, &[folder.as_os_str()]).expect("root is to be had");
    });
    fsck::assert_clean(image);
    let after = tree(image);
    let rest = |lines: &[String]| -> Vec<String> {
        let kept = lines
            .iter()
            .filter(|line| !line.starts_with("/kernel-wrote") && !line.starts_with("/ "));
        kept.cloned().collect()
    };
    assert_eq!(
        after.iter().filter(|line| line.starts_with("/kernel-wrote/file-")).count(),
        50,
        "what the kernel wrote is there"
    );
    manifest::assert_same(("the image", &rest(&before)), ("after the kernel wrote", &rest(&after)));
    before
}

/// Copies an image with its holes.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args([OsStr::new("--sparse=always"), from.as_os_str(), to.as_os_str()])
        .status()
        .expect("cp can be started");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}
