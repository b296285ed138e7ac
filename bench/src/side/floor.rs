//! The floor: the bytes that the engine writes, in as few calls as can be, with its flushes,
//! by a program that knows nothing of filesystems.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use banger_ext4::Disk;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Most bytes of one call.
const CALL: u64 = 1 << 20;

/// What is written between flushes, as (offset, length), in ascending order and disjoint.
#[derive(Serialize, Deserialize, Default, Clone)]
pub struct Plan {
    pub epochs: Vec<Vec<(u64, u64)>>,
}

impl Plan {
    /// What `work` writes to a disk.
    pub fn of(disk: Arc<dyn Disk>, work: impl FnOnce(Arc<dyn Disk>) -> Result<()>) -> Result<Self> {
        let recorder = Arc::new(Recorder { disk, plan: Mutex::new(Self { epochs: vec![vec![]] }) });
        work(Arc::clone(&recorder) as Arc<dyn Disk>)?;
        let mut plan = recorder.plan.lock().map_err(|_| "a writer died")?.clone();
        // What follows the last flush is written, and not flushed.
        for epoch in &mut plan.epochs {
            *epoch = merged(std::mem::take(epoch));
        }
        Ok(plan)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.epochs.iter().flatten().map(|run| run.1).sum()
    }
}

/// Runs in order, those that touch made one.
fn merged(mut runs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    runs.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (offset, length) in runs {
        match merged.last_mut() {
            Some(last) if offset <= last.0 + last.1 => {
                last.1 = last.1.max(offset + length - last.0);
            }
            _ => merged.push((offset, length)),
        }
    }
    merged
}

struct Recorder {
    disk: Arc<dyn Disk>,
    plan: Mutex<Plan>,
}

impl Disk for Recorder {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> banger_ext4::Result<()> {
        self.disk.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> banger_ext4::Result<()> {
        if let Ok(mut plan) = self.plan.lock() {
            let run = (offset, data.len() as u64);
            plan.epochs.last_mut().into_iter().for_each(|epoch| epoch.push(run));
        }
        self.disk.write_at(offset, data)
    }

    fn flush(&self) -> banger_ext4::Result<()> {
        if let Ok(mut plan) = self.plan.lock() {
            plan.epochs.push(Vec::new());
        }
        self.disk.flush()
    }

    fn len(&self) -> u64 {
        self.disk.len()
    }
}

/// Carries a plan out. All epochs but the last end with a flush.
pub fn run(plan: &Path, content: &Path, out: &Path, size: u64) -> Result<()> {
    let plan: Plan = serde_json::from_reader(BufReader::new(File::open(plan)?))?;
    let mut buffer = vec![0; CALL as usize];
    read(content, &mut buffer)?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(out)?;
    file.set_len(size)?;
    let last = plan.epochs.len() - 1;
    for (n, epoch) in plan.epochs.iter().enumerate() {
        for &(offset, length) in epoch {
            let mut done = 0;
            while done < length {
                let part = CALL.min(length - done);
                file.write_all_at(&buffer[..part as usize], offset + done)?;
                done += part;
            }
        }
        if n < last {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Reads a file, or the files of a folder, as the other sides are given them.
fn read(content: &Path, buffer: &mut [u8]) -> Result<()> {
    let mut whole = |path: &Path| -> Result<()> {
        let mut file = File::open(path)?;
        while file.read(buffer)? > 0 {}
        Ok(())
    };
    if !content.is_dir() {
        return whole(content);
    }
    fs::read_dir(content)?.try_for_each(|entry| whole(&entry?.path()))
}

/// One stream of the same bytes.
pub fn stream(from: &Path, to: &Path) -> Result<()> {
    let (mut from, to) = (File::open(from)?, File::create_new(to)?);
    let mut buffer = vec![0; CALL as usize];
    let mut at = 0;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all_at(&buffer[..length], at)?;
        at += length as u64;
    }
}

#[test]
fn the_floor_is_what_was_written_in_order_and_once() {
    let disk: Arc<dyn Disk> = Arc::new(banger_ext4::MemoryDisk::new(100));
    let plan = Plan::of(disk, |disk| {
        disk.write_at(20, &[1; 10])?;
        disk.write_at(0, &[1; 10])?;
        disk.write_at(8, &[1; 12])?;
        disk.flush()?;
        Ok(disk.write_at(50, &[1; 5])?)
    })
    .unwrap();
    assert_eq!(plan.epochs, [vec![(0, 30)], vec![(50, 5)]]);
    assert_eq!(plan.bytes(), 35);
}
