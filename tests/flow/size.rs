//! What bangerd takes with many VMs, and how long a list of them takes.
//!
//! `make bench` names a file in `BANGER_FIGURES` and gets a line of the table for each figure.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::place::Place;

const STOPPED: usize = 100;
const RUNNING: usize = 5;
/// Memory that bangerd may take, in KiB: what is promised is 25 MB.
const MOST_KIB: u64 = 25_000_000 / 1024;
/// How often a list is made.
const LISTS: usize = 25;

/// The memory that is bangerd's alone, in KiB.
fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

/// Copies of a stopped VM, each with its own id and name.
fn multiply(place: &Place, folder: &Path, count: usize) {
    let record = fs::read_to_string(folder.join("record.json")).unwrap();
    let id = folder.file_name().unwrap().to_str().unwrap();
    for index in 0..count {
        let other = format!("{index:08x}{}", &id[8..]);
        let copy = folder.with_file_name(&other);
        fs::create_dir(&copy).unwrap();
        place.owner.give(&copy);
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let to = copy.join(entry.file_name());
            match entry.file_name() == "record.json" {
                true => {
                    let text = record.replace(id, &other);
                    let name = format!("\"copy-{index}\"");
                    fs::write(&to, text.replace("\"first\"", &name)).unwrap();
                }
                // One file under many names is read as many.
                false => fs::hard_link(entry.path(), &to).unwrap(),
            }
            place.owner.give(&to);
        }
    }
}

#[test]
fn many_vms_take_little_memory() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "first", "--disk", "64M"]);
    place.owner.ok(["start", "first"]);
    place.owner.ok(["stop", "first"]);
    let folder = PathBuf::from(place.vm("first")["directory"].as_str().unwrap());
    place.owner.ok(["daemon", "stop"]);
    multiply(&place, &folder, STOPPED - 1);
    for index in 0..RUNNING {
        let name = format!("runs-{index}");
        place.owner.ok(["create", "--name", &name, "--disk", "64M"]);
        place.owner.ok(["start", &name]);
    }
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let begun = Instant::now();
        let listed = place.owner.ok(["ls", "-q"]);
        times.push(begun.elapsed());
        assert_eq!(listed.lines().count(), STOPPED + RUNNING);
    }
    times.sort();
    let kib = anonymous_kib(place.daemon().unwrap());
    println!("{kib} KiB; ls {:?}", times[LISTS / 2]);
    if let Some(file) = std::env::var_os("BANGER_FIGURES") {
        let milliseconds = times[LISTS / 2].as_secs_f64() * 1e3;
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "| bangerd's RssAnon, MB | {:.1} | 25 |", kib as f64 * 1.024e-3).unwrap();
        writeln!(file, "| `banger ls`, ms | {milliseconds:.1} | 30 |").unwrap();
    }
    assert!(kib < MOST_KIB, "bangerd takes {kib} KiB");
}
