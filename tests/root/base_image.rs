//! Descriptors that only root can make, taken for a base image by the root helper.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use banger_roothelper::{BaseImage, Limits, NotABaseImage, OwnerUid};
use banger_tests::skip;
use tempfile::NamedTempFile;

const OWNER: u32 = 12_345;

fn looked(file: File) -> Result<BaseImage, NotABaseImage> {
    BaseImage::of(OwnedFd::from(file), OwnerUid::new(OWNER).unwrap(), &Limits::default())
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("files of other users and devices are made by root");
    }
    root
}

#[test]
fn a_base_image_is_the_owners_or_roots() {
    if !is_root() {
        return;
    }
    let file = NamedTempFile::new_in("/dev/shm").unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    for (uid, good) in [(0, true), (OWNER, true), (OWNER + 1, false), (65_534, false)] {
        chown(file.path(), Some(uid), None).unwrap();
        let looked = looked(File::open(file.path()).unwrap());
        match looked {
            Ok(_) => assert!(good, "{uid}"),
            Err(why) => assert!(!good && why.word() == "base-image-owner", "{uid}: {why}"),
        }
    }
}

#[test]
fn a_block_device_is_no_base_image() {
    if !is_root() {
        return;
    }
    let opened = ["/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"].map(File::open);
    let Some(device) = opened.into_iter().flatten().next() else {
        return skip("there is no block device that can be opened");
    };
    let why = looked(device).unwrap_err().to_string();
    assert!(why.contains("a block device"), "{why}");
}

#[test]
fn a_file_of_an_overlay_filesystem_is_no_base_image() {
    if !is_root() {
        return;
    }
    // In a mount namespace that ends with its process, which ends with its input.
    let mount = "mount -t tmpfs none /mnt && cd /mnt && mkdir lower upper work merged &&
        truncate -s 1M lower/image &&
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged &&
        echo mounted && read -r end";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::null()).spawn() else {
        return skip("unshare is missing (apt-get install util-linux)");
    };
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let seen = |path: &str| File::open(format!("/proc/{}/root/mnt/{path}", child.id()));
    let files = (said == "mounted\n").then(|| (seen("merged/image"), seen("lower/image")));
    drop(child.stdin.take());
    let _ended = child.wait().unwrap();
    let Some((over, below)) = files else {
        return skip("an overlay filesystem cannot be mounted here");
    };
    let why = looked(over.unwrap()).unwrap_err();
    assert!(matches!(why, NotABaseImage::Filesystem(0x794c_7630)), "{why}");
    assert!(looked(below.unwrap()).is_ok());
}
