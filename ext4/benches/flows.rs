//! How long the flows take that people wait for: new images, and patches.
//!
//! `cargo bench -p banger-ext4`, with the figures in milliseconds: the median of
//! several runs in this process, on sparse files in the folder for temporary files.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints and may panic")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_ext4::{
    Attributes, Batch, FileDisk, Filesystem, Flush, FormatOptions, ImagePath, Ownership, TarStream,
    Timestamp, copy_subtree,
};

const RUNS: usize = 9;
const ROOT: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

fn disk(image: &Path) -> Arc<FileDisk> {
    Arc::new(FileDisk::new(File::options().read(true).write(true).open(image).unwrap()).unwrap())
}

fn options() -> FormatOptions {
    let mut options = FormatOptions::new([7; 16], [9; 16], Timestamp::now());
    options.zeroed = true;
    options
}

fn fresh(image: &Path, size: u64) {
    File::create(image).unwrap().set_len(size).unwrap();
}

/// Files of 0 to 12 KiB in folders of 50.
fn tar(files: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for n in 0..files {
        let content = vec![b'x'; n * 7919 % 12_000];
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        let name = format!("folder-{}/file-{n}", n / 50);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn median(mut run: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
    times.sort();
    times[RUNS / 2].as_secs_f64() * 1000.0
}

fn build(image: &Path, size: u64, tar: &[u8], flush: Flush) -> Duration {
    fresh(image, size);
    let started = Instant::now();
    let mut batch = Batch::create(disk(image), &options()).unwrap();
    batch.ingest(&ImagePath::root(), &mut TarStream::new(tar), Ownership::Keep).unwrap();
    batch.commit(flush).unwrap();
    started.elapsed()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("bench.img");
    for size in [8_u64 << 30, 1 << 40] {
        for files in [20, 200, 2000] {
            let tar = tar(files);
            let plain = median(|| build(&image, size, &tar, Flush::ProcessSafe));
            let safe = median(|| build(&image, size, &tar, Flush::PowerSafe));
            let gib = size >> 30;
            println!("new image of {gib} GiB, {files} files: {plain:.1}, with flushes {safe:.1}");
        }
    }
    let whole = tar(70_000);
    let started = build(&image, 4 << 30, &whole, Flush::ProcessSafe).as_secs_f64() * 1000.0;
    println!("new image of 4 GiB, 70,000 files: {started:.1}");
    for flush in [Flush::ProcessSafe, Flush::PowerSafe] {
        let mut round = 0;
        let time = median(|| {
            round += 1;
            let started = Instant::now();
            let mut batch = Batch::open(disk(&image)).unwrap();
            for n in 0..8 {
                let path = ImagePath::new(format!("/folder-{n}/patched-{round}")).unwrap();
                batch.write_file(&path, ROOT, b"nameserver 10.0.2.3\n").unwrap();
            }
            assert!(batch.commit(flush).unwrap().atomic);
            started.elapsed()
        });
        println!("8 files patched in it, {flush:?}: {time:.1}");
    }
    let second = folder.path().join("seed.img");
    let time = median(|| {
        fresh(&second, 1 << 30);
        let started = Instant::now();
        let from = Filesystem::open(disk(&image)).unwrap();
        let mut batch = Batch::create(disk(&second), &options()).unwrap();
        let mut source = copy_subtree(&from, &ImagePath::new("/folder-7").unwrap());
        batch.ingest(&ImagePath::root(), &mut source, Ownership::Root).unwrap();
        batch.fix_root().unwrap();
        batch.commit(Flush::PowerSafe).unwrap();
        started.elapsed()
    });
    println!("a work disk of 1 GiB from a folder of 50 files, with flushes: {time:.1}");
}
