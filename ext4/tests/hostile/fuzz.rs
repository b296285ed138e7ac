//! Hostile images: no panic, no hang, bounded memory and reads, no write where none belongs.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::MEMORY;
use crate::allowed::Allowed;
use crate::attack::{self, TOUCHED};
use crate::disks::Guarded;
use crate::images::{Made, dirty, made, missing};
use crate::mutate::Image;
use crate::random::{Random, number};
use crate::survey::Survey;

/// The profiles: every way in which structures differ.
const PROFILES: &[&str] = &[
    "debian-12-small",
    "fedora-small",
    "no-checksums",
    "uninit_bg",
    "no-extents",
    "ext2-small",
    "2k-short-inodes",
    "inline_data-1k",
    "inline_data-no-checksums",
    "meta_bg",
    "no-flex_bg",
    "small-groups",
    "debian-13",
    "large_dir",
    "no-journal",
    "hash-tea",
];
/// Those of them that are also tried with a journal that was not replayed.
const DIRTY: &[&str] = &["no-checksums", "fedora-small"];

/// Memory that an operation may take, beside the disk: in multiples of the image, and bytes.
/// A batch holds what it changes; everything else holds less.
const MEMORY_OF_IMAGE: usize = 1;
const MEMORY_MORE: usize = 8 << 20;
/// Reads that an operation may make, for each KiB of the image.
const READS_A_KIB: u64 = 8;
const READS_MORE: u64 = 8_000;
/// How long one image may take, watched from outside: generous, since machines are shared.
const LONGEST: Duration = Duration::from_secs(120);

/// A thread that ends the process when no image is finished for too long: a loop that neither
/// reads nor ends cannot be stopped otherwise.
fn watch() -> Arc<AtomicU64> {
    let beat = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&beat);
    std::thread::spawn(move || {
        let mut last = (0, 0);
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = watched.load(Ordering::Relaxed);
            last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
            if last.1 >= LONGEST.as_secs() && now != u64::MAX {
                eprintln!("the image of seed {now} is not finished after {LONGEST:?}");
                std::process::abort();
            }
        }
    });
    beat
}

/// What one image led to.
#[derive(Default)]
struct Seen {
    violations: Vec<String>,
    most_memory: usize,
    written: u64,
    most_reads: u64,
    slowest: BTreeMap<&'static str, u64>,
    /// Everything is told as it happens: for looking into one image (`BANGER_TOLD=1`).
    told: bool,
}

struct Case<'a> {
    seed: u64,
    name: &'a str,
    done: &'a [String],
}

impl Seen {
    fn tell(&mut self, case: &Case<'_>, what: &str) {
        let text = format!("seed {}, {}, {}: {what}", case.seed, case.name, case.done.join("; "));
        println!("{text}");
        self.violations.push(text);
    }

    /// Does something to a disk, watched.
    fn watched<T>(
        &mut self,
        case: &Case<'_>,
        disk: &Arc<Guarded>,
        len: usize,
        work: impl FnOnce(&mut dyn FnMut(&'static str)) -> T,
    ) -> Option<T> {
        let budget = READS_A_KIB * len as u64 / 1024 + READS_MORE;
        let mut over = Vec::new();
        let mut most = 0;
        disk.allow(budget);
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let (told, slowest) = (self.told, &mut self.slowest);
        let result = catch_unwind(AssertUnwindSafe(|| {
            work(&mut |name| {
                let (reads, exceeded) = disk.spent();
                if told {
                    println!("{name}: {reads} reads");
                }
                if exceeded {
                    over.push(name);
                }
                let slowest = slowest.entry(name).or_default();
                *slowest = (*slowest).max(reads);
                most = most.max(reads);
                disk.allow(budget);
            })
        }));
        let memory = MEMORY.peak_usage().saturating_sub(before);
        self.most_memory = self.most_memory.max(memory);
        self.most_reads = self.most_reads.max(most);
        for name in over {
            self.tell(case, &format!("{name}: more than {budget} reads"));
        }
        if memory > MEMORY_OF_IMAGE * len + MEMORY_MORE {
            self.tell(case, &format!("{memory} bytes of memory"));
        }
        if result.is_err() {
            self.tell(case, "a panic");
        }
        result.ok()
    }
}

struct Subject {
    made: Made,
    survey: Arc<Survey>,
    log: bool,
}

fn subjects(folder: &std::path::Path, only: usize) -> Vec<Subject> {
    let mut found = Vec::new();
    let first = number("BANGER_SEED", 1) as usize;
    for (n, name) in PROFILES.iter().enumerate() {
        if (n + first) % PROFILES.len() >= only {
            continue;
        }
        let clean = made(name, folder);
        if DIRTY.contains(name) {
            for made in [dirty(&clean, false), dirty(&clean, true)] {
                let survey = Arc::new(Survey::new(&made.bytes));
                found.push(Subject { made, survey, log: true });
            }
        }
        let survey = Arc::new(Survey::new(&clean.bytes));
        found.push(Subject { made: clean, survey, log: false });
    }
    found
}

/// `BANGER_HOSTILE` images from `BANGER_SEED` on.
#[test]
fn hostile_images_do_no_harm() {
    let _alone = crate::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if missing() {
        return;
    }
    let asked = std::env::var_os("BANGER_HOSTILE").is_some();
    let count = number("BANGER_HOSTILE", 150);
    let first = number("BANGER_SEED", 1);
    // What is extracted is many small files: in memory where there is some.
    let shared = std::path::Path::new("/dev/shm");
    let folder = tempfile::tempdir_in(if shared.is_dir() { shared } else { "/tmp".as_ref() });
    let folder = folder.unwrap();
    let subjects = subjects(folder.path(), if asked { usize::MAX } else { 4 });
    // A panic is told with its place; what is around it is known from the seed.
    let beat = watch();
    let told = number("BANGER_TOLD", 0) > 0;
    let mut seen = Seen { told, ..Seen::default() };
    for seed in first..first + count {
        beat.store(seed, Ordering::Relaxed);
        one(seed, &subjects, folder.path(), &mut seen);
    }
    beat.store(u64::MAX, Ordering::Relaxed);
    println!(
        "RESULT hostile images: {count} images, {} violations; {} batches written and each write \
         judged; at most {} KiB of memory and {} reads an operation",
        seen.violations.len(),
        seen.written,
        seen.most_memory >> 10,
        seen.most_reads,
    );
    println!("most reads: {:?}", seen.slowest);
    assert!(seen.violations.is_empty(), "{:#?}", seen.violations);
}

fn one(seed: u64, subjects: &[Subject], folder: &std::path::Path, seen: &mut Seen) {
    let mut random = Random::new(seed);
    let subject = &subjects[random.index(subjects.len())];
    let mut image = Image::new((*subject.made.bytes).clone(), Arc::clone(&subject.survey));
    image.damage(&mut random, subject.log);
    let Image { mut bytes, done, .. } = image;
    let case = Case { seed, name: &subject.made.name, done: &done };
    if seen.told {
        println!("{}: {done:?}", subject.made.name);
    }
    let len = bytes.len();
    // One in four shows other bytes at every look: as it was before, and damaged otherwise.
    let mut others = Vec::new();
    if random.one_in(4) {
        others.push(Arc::clone(&subject.made.bytes));
        let mut other = Image::new((*subject.made.bytes).clone(), Arc::clone(&subject.survey));
        other.damage(&mut random, subject.log);
        others.push(Arc::new(other.bytes));
    }
    // A few are cut short.
    if random.one_in(100) {
        bytes.truncate(random.index(len));
    }
    let bytes = Arc::new(bytes);
    let long = bytes.len() as u64;
    let disk = Arc::new(Guarded::new(Arc::clone(&bytes), long, others.clone(), seed));
    seen.watched(&case, &disk, len, |each| attack::read(&disk, each));
    if random.one_in(25) {
        let into = folder.join("extracted");
        std::fs::create_dir(&into).unwrap();
        let disk = Arc::new(Guarded::new(Arc::clone(&bytes), long, others.clone(), seed));
        seen.watched(&case, &disk, len, |each| {
            let _ = attack::extract(&disk, &into);
            each("extract");
        });
        let _ = std::fs::remove_dir_all(&into);
    }
    if !disk.written().0.is_empty() {
        seen.tell(&case, "reading wrote");
    }
    change(&case, &bytes, others, &mut random, seen);
}

/// A batch on the image, or its growth; and where that wrote.
fn change(
    case: &Case<'_>,
    bytes: &Arc<Vec<u8>>,
    others: Vec<Arc<Vec<u8>>>,
    random: &mut Random,
    seen: &mut Seen,
) {
    let grows = random.one_in(8);
    let full = if grows { bytes.len() + (9 << 20) } else { bytes.len() };
    let steady = others.is_empty();
    let disk = Arc::new(Guarded::new(Arc::clone(bytes), full as u64, others, case.seed));
    let replayed = seen.watched(case, &disk, full, |each| {
        let replayed = attack::replay(&disk);
        each("replay");
        replayed
    });
    let (written, outside) = disk.written();
    if outside {
        seen.tell(case, "replay wrote outside the device");
    }
    if matches!(replayed, Some(Ok(done)) if !done.needed) && !written.is_empty() {
        seen.tell(case, "a replay that was not asked for wrote");
    }
    // What a replay wrote stands before the batch.
    let before = if written.is_empty() { Arc::clone(bytes) } else { Arc::new(disk.bytes()) };
    let which = random.below(1 << 16);
    seen.watched(case, &disk, full, |each| {
        let _ = if grows { attack::enlarge(&disk) } else { attack::change(&disk, which, each) };
        each("end");
    });
    let (written, outside) = disk.written();
    if outside {
        seen.tell(case, "a write outside the device");
    }
    // What another look would have shown is not known: then only the device's end counts.
    if !steady || grows || written.is_empty() {
        return;
    }
    seen.written += 1;
    match Allowed::new((*before).clone(), TOUCHED) {
        None => seen.tell(case, "a batch on what cannot be opened wrote"),
        Some(allowed) => {
            if let Some(piece) = allowed.first_forbidden(&written) {
                seen.tell(case, &format!("a write to KiB {piece}, which is not the batch's"));
            }
        }
    }
}
