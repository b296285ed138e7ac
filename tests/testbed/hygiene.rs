//! What a call must not leave behind: devices, loops, taps, mounts, files, processes and descriptors of the helper's, and
//! what it must: one entry of the log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sh;

/// The unit's processes.
const PROCESSES: &str = "/sys/fs/cgroup/system.slice/banger-roothelper.service/cgroup.procs";

/// All that there is, each kind a few lines. Read without starting a program: this is asked often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There(BTreeMap<&'static str, Vec<String>>);

impl There {
    /// What there is now.
    pub fn now() -> Self {
        let sorted = |mut lines: Vec<String>| {
            lines.sort_unstable();
            lines
        };
        Self(BTreeMap::from([
            ("block devices", sorted(block_devices())),
            ("interfaces", sorted(names("/sys/class/net"))),
            ("mounts", sorted(lines("/proc/mounts"))),
            (
                "mounts of the helper's",
                sorted(helper().map_or(Vec::new(), |pid| lines(&format!("/proc/{pid}/mounts")))),
            ),
            ("files of the helper's", sorted(files(Path::new("/var/lib/banger")))),
            ("processes", sorted(lines(PROCESSES))),
            ("descriptors", sorted(descriptors())),
        ]))
    }

    /// Waits until there is again what there was. A closed connection's descriptors go after its client has heard so.
    #[track_caller]
    pub fn is_all(&self, after: &str) {
        let begun = Instant::now();
        loop {
            let now = Self::now();
            if now == *self {
                return;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                let differ = self.0.iter().filter(|(kind, lines)| now.0[**kind] != **lines);
                let told: Vec<_> =
                    differ.map(|(kind, lines)| (kind, lines, &now.0[*kind])).collect();
                panic!("after {after} there is something else: {told:#?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Names with what they are: a mapped device's, a loop's file.
fn block_devices() -> Vec<String> {
    let told = |name: String| {
        let read = |what: &str| fs::read_to_string(format!("/sys/block/{name}/{what}"));
        format!(
            "{name} {} {}",
            read("dm/name").unwrap_or_default().trim_end(),
            read("loop/backing_file").unwrap_or_default().trim_end()
        )
    };
    names("/sys/block").into_iter().map(told).collect()
}

/// Names and lengths of what is below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        if metadata.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(format!("{} {}", path.display(), metadata.len()));
        }
    }
    found
}

/// The helper's process.
pub fn helper() -> Option<u32> {
    lines(PROCESSES).iter().filter_map(|pid| pid.parse().ok()).min()
}

/// What each of the helper's descriptors is, without the numbers that the kernel makes up.
fn descriptors() -> Vec<String> {
    let Some(pid) = helper() else { return Vec::new() };
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let what = |name| fs::read_link(folder.join(name)).ok();
    let without_number = |path: PathBuf| {
        let text = path.to_string_lossy();
        text.split_once(":[").map_or(&*text, |(kind, _)| kind).to_owned()
    };
    names(&folder).into_iter().filter_map(what).map(without_number).collect()
}

/// Entries of the helper's log from here on.
#[derive(Debug)]
pub struct Log {
    /// So many were there before. (`--after-cursor` would leave the first one out where the cursor is at another
    /// unit's entry.)
    before: usize,
}

impl Log {
    pub fn from_here() -> Self {
        Self { before: Self { before: 0 }.entries().len() }
    }

    /// Uid, verb, decision and reason of each.
    pub fn entries(&self) -> Vec<String> {
        let fields = ["BANGER_UID", "BANGER_VERB", "BANGER_DECISION", "BANGER_REASON"];
        let said = sh(&format!(
            "journalctl --sync; journalctl --quiet --output=json --output-fields={} \
             _SYSTEMD_UNIT=banger-roothelper.service",
            fields.join(",")
        ));
        let told = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            let words = fields.map(|field| entry[field].as_str().unwrap_or("-").to_owned());
            (words[2] != "-").then(|| words.join(" "))
        };
        said.lines().filter_map(told).skip(self.before).collect()
    }

    /// That there is one entry for each of these, and no other. Each is uid, verb and decision.
    #[track_caller]
    pub fn is(&self, expected: &[String]) {
        let count = |lines: &[String]| {
            let mut counts = BTreeMap::new();
            for line in lines {
                let short = line.splitn(4, ' ').take(3).collect::<Vec<_>>().join(" ");
                *counts.entry(short).or_insert(0) += 1;
            }
            counts
        };
        let begun = Instant::now();
        loop {
            let entries = self.entries();
            let (there, expected) = (count(&entries), count(expected));
            if there == expected {
                return;
            }
            let patience = begun.elapsed() < Duration::from_secs(10);
            std::thread::sleep(Duration::from_millis(200));
            assert!(patience, "expected {expected:#?}, and there are {there:#?}: {entries:#?}");
        }
    }
}
