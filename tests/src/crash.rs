//! Crashes, played through: every state that a device may be in when the machine stops,
//! and whether what is found then is one of the trees that may be found.
//!
//! A device has written what it was told before the last flush. Of what came later it
//! has written any sectors of 512 bytes, and not the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use banger_ext4::layout::features::{Incompat, RoCompat};
use banger_ext4::{Batch, Disk, Filesystem, Flush, MemoryDisk, Overlay};

use crate::recorder::{Random, Recorder, Write};
use crate::{engine, fsck, kernel};

/// Bytes that a device writes as a whole.
const SECTOR: usize = 512;
/// Epochs of so many sectors are cut in every way.
const SMALL: usize = 12;

/// What was written, and what may be found after a crash.
pub struct Scene {
    /// For people.
    pub name: String,
    /// The device before.
    pub before: Arc<dyn Disk>,
    /// What was written, flushes between.
    pub epochs: Vec<Vec<Write>>,
    /// Trees that may be found.
    pub allowed: Vec<Tree>,
    /// The process alone was stopped: the device has all that it was told.
    pub in_order: bool,
    /// The filesystem becomes larger.
    pub grows: bool,
}

/// What is found on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    lines: Vec<String>,
    /// Of the filesystem.
    blocks: u64,
    /// Some wait to be freed and stand in a file of orphans.
    orphan_file: bool,
}

impl Tree {
    /// The same names and contents, whatever waits to be freed.
    fn is(&self, other: &Self) -> bool {
        self.blocks == other.blocks && self.lines == other.lines
    }
}

/// How many states were judged, and by whom.
#[derive(Debug, Default)]
pub struct Tally {
    /// Different states of devices.
    pub points: u64,
    /// Of these, states in which a recovery was cut off, also one after another cut.
    pub in_recovery: u64,
    /// Recovered in place by the engine.
    pub recovered: u64,
    /// Repaired by `e2fsck -p` and looked at by `e2fsck -fn`.
    pub e2fsck: u64,
    /// Mounted by the kernel.
    pub kernel: u64,
    /// How often each allowed tree was found, of all scenes together: the old, the new,
    /// and one between.
    pub found: [u64; 3],
    /// What was wrong; the first few.
    pub violations: Vec<String>,
}

impl Tally {
    /// Adds another's numbers.
    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.in_recovery += other.in_recovery;
        self.recovered += other.recovered;
        self.e2fsck += other.e2fsck;
        self.kernel += other.kernel;
        for (sum, more) in self.found.iter_mut().zip(other.found) {
            *sum += more;
        }
        self.violations.extend(other.violations);
    }

    /// The line that tells the result.
    pub fn line(&self, what: &str) -> String {
        let [old, new, between] = self.found;
        format!(
            "{what}: {} cut points ({} inside recoveries), {} read and checked by the engine \
             ({old} old, {new} new, {between} at a boundary), {} recovered in place, {} by \
             e2fsck, {} by the kernel: {} violations",
            self.points,
            self.in_recovery,
            self.points,
            self.recovered,
            self.e2fsck,
            self.kernel,
            self.violations.len()
        )
    }
}

/// A share of all states: one in so many, none for 0.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Recovered in place, and the recovery cut.
    pub recovery: u64,
    /// Given to e2fsck.
    pub e2fsck: u64,
    /// Mounted.
    pub kernel: u64,
}

/// A sector that was written.
struct Sector {
    number: u64,
    bytes: Vec<u8>,
    /// Its part of the sum that tells states apart; 0 when its content is what was there
    /// at the very first.
    term: u64,
}

/// How a state came about.
#[derive(Clone)]
struct Place<'a> {
    /// The device at the very first.
    root: &'a Arc<dyn Disk>,
    /// Of every sector written since.
    terms: BTreeMap<u64, u64>,
    /// Recoveries that were cut.
    depth: u32,
}

/// Which sectors of the last epoch there are.
#[derive(Debug, Clone, Copy)]
enum Kept {
    First(usize),
    AllBut(usize),
    Some { seed: u64, percent: u64 },
}

impl Kept {
    fn has(self, n: usize) -> bool {
        match self {
            Self::First(count) => n < count,
            Self::AllBut(missing) => n != missing,
            Self::Some { seed, percent } => {
                let mut hasher = DefaultHasher::new();
                (seed, n).hash(&mut hasher);
                hasher.finish() % 100 < percent
            }
        }
    }
}

/// Plays scenes through and counts.
pub struct Judge<'a> {
    folder: &'a Path,
    random: Random,
    shares: Shares,
    /// What was found.
    pub tally: Tally,
    seen: HashSet<u64>,
}

impl<'a> Judge<'a> {
    /// Images for other judges are put into `folder`.
    pub fn new(folder: &'a Path, seed: u64, shares: Shares) -> Self {
        let random = Random::new(seed);
        Self { folder, random, shares, tally: Tally::default(), seen: HashSet::new() }
    }

    /// Plays about `budget` states of a scene through.
    pub fn play(&mut self, scene: &Scene, budget: u64) {
        self.seen.clear();
        self.cut(scene, budget, &Place { root: &scene.before, terms: BTreeMap::new(), depth: 0 });
    }

    /// Does what `work` does without asking e2fsck and the kernel.
    pub fn without_others(&mut self, work: impl FnOnce(&mut Self)) {
        let shares = self.shares;
        self.shares = Shares { e2fsck: 0, kernel: 0, ..shares };
        work(self);
        self.shares = shares;
    }

    fn cut(&mut self, scene: &Scene, budget: u64, from: &Place<'_>) {
        let sectors = sectors(scene, from.root);
        let cuts = self.cuts(&sectors, budget, scene.in_order);
        let state = Overlay::new(Arc::clone(&scene.before), SECTOR as u32);
        let mut place = from.clone();
        for (epoch, sectors) in sectors.iter().enumerate() {
            for kept in cuts.get(&epoch).into_iter().flatten() {
                let here = state.snapshot();
                let mut there = place.clone();
                for (_, sector) in sectors.iter().enumerate().filter(|(n, _)| kept.has(*n)) {
                    write(&here, sector);
                    there.terms.insert(sector.number, sector.term);
                }
                // States that are the same are judged once.
                let key = there.terms.values().fold(0, |sum: u64, term| sum.wrapping_add(*term));
                if self.seen.insert(key) {
                    let at = format!("depth {}, epoch {epoch}, {kept:?}", from.depth);
                    self.judge(scene, Arc::new(here), &there, &at);
                }
            }
            for sector in sectors {
                write(&state, sector);
                place.terms.insert(sector.number, sector.term);
            }
        }
    }

    fn cuts(
        &mut self,
        epochs: &[Vec<Sector>],
        budget: u64,
        in_order: bool,
    ) -> HashMap<usize, Vec<Kept>> {
        let mut cuts: HashMap<usize, Vec<Kept>> = HashMap::new();
        let large = epochs.iter().filter(|epoch| epoch.len() > SMALL).count() as u64;
        for (number, epoch) in epochs.iter().enumerate() {
            let len = epoch.len();
            let list = cuts.entry(number).or_default();
            list.extend([Kept::First(0), Kept::First(len)]);
            let any = |random: &mut Random| {
                let (seed, percent) = (random.below(u64::MAX), 1 + random.below(99));
                Kept::Some { seed, percent }
            };
            if in_order {
                let count = budget.min(len as u64);
                list.extend((0..count).map(|n| Kept::First((n * len as u64 / count) as usize)));
            } else if len <= SMALL {
                list.extend((1..len).map(Kept::First));
                list.extend((0..len).map(Kept::AllBut));
                list.extend((2..len).map(|_| any(&mut self.random)));
            } else {
                for n in 0..budget / large.max(1) {
                    let at = self.random.below(len as u64) as usize;
                    list.push(match n % 3 {
                        0 => Kept::First(at),
                        1 => Kept::AllBut(at),
                        _ => any(&mut self.random),
                    });
                }
            }
        }
        cuts
    }

    fn chosen(&mut self, share: u64) -> bool {
        share > 0 && self.random.below(share) == 0
    }

    fn judge(&mut self, scene: &Scene, state: Arc<Overlay>, place: &Place<'_>, at: &str) {
        self.tally.points += 1;
        self.tally.in_recovery += u64::from(place.depth > 0);
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let ours = tree(Arc::clone(&state) as Arc<dyn Disk>);
            let found = scene.allowed.iter().position(|tree| tree.is(&ours));
            let found = found.expect("neither the tree before nor the one after");
            let which = match found {
                0 => 0,
                n if n + 1 == scene.allowed.len() => 1,
                _ => 2,
            };
            self.tally.found[which] += 1;
            if self.chosen(self.shares.recovery) {
                self.recover(scene, &state, &ours, place);
            }
            // e2fsck 1.47.0 does not come to terms with an orphan file that is in use.
            if !ours.orphan_file && self.chosen(self.shares.e2fsck) {
                self.by_e2fsck(&state, &ours);
            }
            if self.chosen(self.shares.kernel) {
                self.by_kernel(&state, &ours, scene.grows);
            }
        }));
        if let Err(panic) = judged {
            let said = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let said = said.unwrap_or_default();
            self.tally.violations.push(format!("{}, {at}: {said}", scene.name));
        }
    }

    /// Recovery in place, and cuts of it.
    fn recover(&mut self, scene: &Scene, state: &Arc<Overlay>, ours: &Tree, at: &Place<'_>) {
        let recorder = Arc::new(Recorder::over(Arc::new(state.snapshot())));
        let batch = Batch::open(Arc::clone(&recorder) as Arc<dyn Disk>).expect("it opens");
        batch.commit(Flush::PowerSafe).expect("it is recovered");
        let after = tree(Arc::clone(&recorder) as Arc<dyn Disk>);
        assert!(
            after.is(ours) && !after.orphan_file,
            "recovery in place leaves what was read before"
        );
        self.tally.recovered += 1;
        if at.depth < 2 {
            let again = Scene {
                name: format!("{}, recovered", scene.name),
                before: Arc::clone(state) as Arc<dyn Disk>,
                epochs: recorder.epochs(),
                allowed: vec![ours.clone()],
                in_order: false,
                grows: false,
            };
            self.cut(&again, 6, &Place { depth: at.depth + 1, ..at.clone() });
        }
    }

    fn by_e2fsck(&mut self, state: &Overlay, ours: &Tree) {
        let image = self.image(state);
        let output = fsck::tool("e2fsck").arg("-p").arg(&image).output().expect("e2fsck runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let trouble = ["FIXED", "WRONG", "INCONSISTENCY"];
        assert!(
            output.status.code().is_some_and(|code| code <= 1)
                && !trouble.iter().any(|word| said.contains(word)),
            "e2fsck -p: {} {said}",
            output.status
        );
        fsck::assert_clean(&image);
        assert!(engine::tree(&image) == ours.lines, "e2fsck leaves the same tree");
        self.tally.e2fsck += 1;
    }

    fn by_kernel(&mut self, state: &Overlay, ours: &Tree, grows: bool) {
        let image = self.image(state);
        let theirs = kernel::mounted(&image, "rw", kernel::list);
        assert!(theirs == ours.lines, "the kernel finds the same tree");
        if grows {
            // What lies between the old end and the new is none of the kernel's business.
            let status = fsck::tool("e2fsck").arg("-fp").arg(&image).output().expect("it runs");
            assert!(status.status.code().is_some_and(|code| code <= 1), "{status:?}");
        }
        fsck::assert_clean(&image);
        assert!(engine::tree(&image) == ours.lines, "the kernel leaves the same tree");
        self.tally.kernel += 1;
    }

    fn image(&self, state: &Overlay) -> std::path::PathBuf {
        let image = self.folder.join("state.img");
        let mut content = vec![0; state.len() as usize];
        state.read_at(0, &mut content).expect("memory can be read");
        std::fs::write(&image, content).expect("an image can be written");
        image
    }
}

fn sectors(scene: &Scene, root: &Arc<dyn Disk>) -> Vec<Vec<Sector>> {
    let sector = |number: u64, bytes: &[u8]| {
        let mut before = vec![0; bytes.len()];
        root.read_at(number * SECTOR as u64, &mut before).expect("memory can be read");
        let mut hasher = DefaultHasher::new();
        (number, bytes).hash(&mut hasher);
        let term = if before == bytes { 0 } else { hasher.finish() | 1 };
        Sector { number, bytes: bytes.to_vec(), term }
    };
    let of = |(offset, bytes): &Write| {
        assert!(offset % SECTOR as u64 == 0 && bytes.len() % SECTOR == 0, "whole sectors");
        let first = offset / SECTOR as u64;
        (first..).zip(bytes.chunks(SECTOR)).map(|(n, bytes)| sector(n, bytes)).collect::<Vec<_>>()
    };
    scene.epochs.iter().map(|epoch| epoch.iter().flat_map(of).collect()).collect()
}

fn write(state: &Overlay, sector: &Sector) {
    let offset = sector.number * SECTOR as u64;
    state.write_at(offset, &sector.bytes).expect("memory can be written");
}

/// What a device holds, its journal replayed in memory, everything checked.
fn tree(disk: Arc<dyn Disk>) -> Tree {
    let fs = Filesystem::open(disk).expect("it opens");
    let found = banger_ext4::check(&fs).expect("it can be checked");
    assert!(found.is_clean(), "our check: {:#?}", found.problems);
    let features = fs.superblock().features();
    assert!(!features.incompat.has(Incompat::RECOVER), "the journal is replayed");
    Tree {
        lines: engine::tree_of(&fs),
        blocks: fs.geometry().blocks_count,
        orphan_file: features.ro_compat.has(RoCompat::ORPHAN_PRESENT),
    }
}

/// What a device holds.
pub fn tree_on(disk: &Arc<dyn Disk>) -> Tree {
    tree(Arc::clone(disk))
}

/// A device of these bytes.
pub fn device(content: &[u8]) -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::from(content.to_vec()))
}
