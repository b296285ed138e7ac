//! A tar of very many entries: taken in by a worker whose memory stays small.

use std::io::Write;
use std::process::Stdio;

use banger_tests::fsck;

use crate::place::{Place, Tar};

/// Largest memory that the worker may ever have had, in KiB, however many entries there are.
const BOUND: u64 = 256 << 10;

/// Entries: a sample, or all of a million where there is time for a soak.
fn entries() -> usize {
    if std::env::var_os("BANGER_SOAK").is_some() { 1_000_000 } else { 80_000 }
}

/// The header of a folder or of an empty file.
fn header(template: &mut tar::Header, name: &str, kind: tar::EntryType) -> [u8; 512] {
    let field = &mut template.as_old_mut().name;
    field.fill(0);
    field[..name.len()].copy_from_slice(name.as_bytes());
    template.set_entry_type(kind);
    template.set_cksum();
    *template.as_bytes()
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn very_many_entries_need_little_memory() {
    let Some(place) = Place::new() else { return };
    let entries = entries();
    // An inode for every 16 KiB.
    let size = if entries > 200_000 { "64G" } else { "4G" };
    let mut import = place
        .owner
        .banger(["image", "import", "many", "-", "--size", size])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = import.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let kernel = Tar::of(&[("boot/", b""), ("boot/vmlinuz-1", &Tar::kernel("1"))]).0;
        let mut piece = kernel[..kernel.len() - 1024].to_vec();
        let mut template = tar::Header::new_ustar();
        template.set_mode(0o755);
        template.set_uid(0);
        template.set_gid(0);
        template.set_mtime(0);
        template.set_size(0);
        // Each folder is a block of its own, and each file needs its folder again.
        for number in 0..entries / 2 {
            let folder = format!("p{}/d{number}", number / 1000);
            piece.extend(header(&mut template, &folder, tar::EntryType::Directory));
            let file = format!("p{}/d{}/f", number / 1000, number / 2);
            piece.extend(header(&mut template, &file, tar::EntryType::Regular));
            if piece.len() > 1 << 20 {
                stdin.write_all(&piece).unwrap();
                piece.clear();
            }
        }
        piece.resize(piece.len() + 1024, 0);
        stdin.write_all(&piece).unwrap();
    });
    let is_worker = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.ends_with(b"import-worker\0"))
    };
    let mut most = 0;
    let status = loop {
        let worker = place.owner.processes().into_iter().find(is_worker);
        most = most.max(worker.and_then(peak).unwrap_or(0));
        if let Some(status) = import.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    writer.join().unwrap();
    assert!(status.success());
    println!("{entries} entries, {most} KiB at most");
    assert!(most > 1 << 10, "the worker was seen");
    assert!(most < BOUND, "{most} KiB");
    fsck::assert_clean(&place.owner.images().join("many/rootfs.ext4"));
}
