//! Images of machines that were killed: a journal to replay, orphans to reap.

use std::path::{Path, PathBuf};

use banger_ext4::{Attributes, Batch, Flush};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::{engine, fsck, kernel, root};

use crate::needs_kernel;

/// Files held open while their names go, much metadata, no unmount: what is copied
/// is what a power cut leaves.
const KILLED: &str = r#"cd "$1"
    mkdir etc dirty tmp; for n in $(seq 20); do echo $n > etc/conf$n; done
    head -c 3000000 /dev/urandom > big; head -c 2000000 /dev/urandom > open; sync -f .
    exec 9<>big 8<>etc/conf7 7<>open; rm big etc/conf7 open
    for n in $(seq 400); do echo t > tmp/t$n-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done
    for n in $(seq 200); do echo "dirty $n" > dirty/f$n; done
    rm etc/conf3; mv etc/conf4 etc/conf4.renamed; rm -r tmp
    head -c 3000000 /dev/urandom > reuse; echo dirtyhost > etc/hostname
    python3 - <<'P'
import os
for p in ('dirty', 'etc', '.', 'reuse', 'etc/hostname'):
    fd = os.open(p, os.O_RDONLY); os.fsync(fd); os.close(fd)
P
    cp --sparse=always "$2" "$3"
    exec 9>&- 8>&- 7>&-"#;

pub(crate) fn killed(folder: &Path, arguments: &[&str]) -> PathBuf {
    let (live, dead) = (folder.join("live.img"), folder.join("dead.img"));
    fsck::mke2fs(&live, 32 << 20, arguments);
    kernel::mounted(&live, "rw,commit=300", |top| {
        root::script(KILLED, &[top.as_os_str(), live.as_os_str(), dead.as_os_str()]).unwrap();
    });
    dead
}

#[test]
fn a_killed_machines_disk_is_patched_and_right() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("defaults", &[][..]),
        ("4k", &["-b", "4096"]),
        ("orphan file", &["-O", "orphan_file"]),
        ("no checksums", &["-O", "^metadata_csum,^64bit"]),
        ("128-byte inodes", &["-I", "128"]),
        ("inline data", &["-O", "inline_data"]),
        ("inline data and an orphan file", &["-O", "inline_data,orphan_file"]),
        ("ext3", &["-O", "none,has_journal,filetype,large_file,dir_index,ext_attr"]),
    ] {
        let image = killed(folder.path(), arguments);
        let dumped = fsck::tool("dumpe2fs").arg("-h").arg(&image).output().unwrap();
        let said = String::from_utf8_lossy(&dumped.stdout).into_owned();
        assert!(said.contains("needs_recovery"), "{name}: {said}");
        let mut batch = Batch::open(disk(&image)).unwrap();
        let attributes = Attributes { mode: 0o600, uid: 0, gid: 0 };
        batch.write_file(&path("/etc/hostname"), attributes, b"patched\n").unwrap();
        batch.write_file(&path("/etc/conf7"), attributes, b"back\n").unwrap();
        batch.commit(Flush::PowerSafe).unwrap();
        // The orphans' blocks are free again: nothing but what has a name is in use.
        let lines = assert_right(&image);
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(has("/etc/hostname file 0600 0:0 size=8"), "{name}: {lines:#?}");
        assert!(has("/dirty/f200 file") && has("/etc/conf4.renamed file"), "{name}");
        assert!(!has("/big") && !has("/tmp") && !has("/etc/conf3 "), "{name}");
        assert_eq!(engine::tree(&image).iter().filter(|l| l.starts_with("/dirty/")).count(), 200);
    }
}
