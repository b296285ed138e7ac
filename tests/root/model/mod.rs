//! Random sequences of changes against a model in memory, on every kind of filesystem.
//!
//! `BANGER_MODEL_SEQUENCES` says how many, `BANGER_SEED` where they begin: a sequence that
//! fails names its own. The seed decides everything but times.

mod content;
mod judge;
mod limits;
mod shape;
mod step;
mod tree;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use banger_ext4::{Attributes, Batch, Error, Flush};
use banger_tests::image::disk;
use banger_tests::profile::{Profile, Writing};
use banger_tests::recorder::Random;
use banger_tests::{kernel, root, skip};

use content::Content;
use shape::Shape;
use step::{Dice, Outcome};
use tree::{Entry, Kind, Tree};

/// What was done in all.
#[derive(Debug, Default)]
struct Counts {
    steps: u64,
    refused: u64,
    batches: u64,
    full: u64,
    dropped: u64,
    viewed: u64,
}

/// From here on sequences may have directories of 30,000 names, which take seconds.
const CROWDS_FROM: u64 = 100;

struct Sequence<'a> {
    image: &'a Path,
    profile: &'static Profile,
    shape: Shape,
    random: Random,
    tree: Tree,
    kernel: bool,
    /// Times before 1970 are among those that are set.
    old_times: bool,
}

impl<'a> Sequence<'a> {
    fn begin(seed: u64, image: &'a Path, kernel: bool) -> Self {
        let profiles: Vec<_> = Profile::written().collect();
        let profile = profiles[seed as usize % profiles.len()];
        let mut random = Random::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        // Seeds that follow each other begin alike.
        for _ in 0..20 {
            random.below(2);
        }
        let shape = Shape::choose(&mut random, seed >= CROWDS_FROM);
        let tree = shape.make(image, profile, &mut random);
        let old_times = random.below(4) == 0;
        Self { image, profile, shape, random, tree, kernel, old_times }
    }

    fn run(mut self, counts: &mut Counts) {
        let rounds = 2 + self.random.below(4);
        for round in 0..rounds {
            self.batch(counts);
            judge::ours(self.image, &self.tree);
            let has_room = matches!(self.shape, Shape::Roomy | Shape::Crowded);
            if self.kernel && has_room && self.random.below(6) == 0 {
                self.kernel_works(round);
                judge::ours(self.image, &self.tree);
            }
        }
        let viewed = judge::all(self.image, &self.tree, self.kernel, self.old_times);
        counts.viewed += u64::from(viewed);
    }

    /// One batch of random changes, committed or not.
    fn batch(&mut self, counts: &mut Counts) {
        let before = self.tree.clone();
        let direct = self.random.below(4) == 0;
        let open = if direct { Batch::open_direct } else { Batch::open };
        let mut batch = open(disk(self.image)).unwrap();
        counts.batches += 1;
        let mut dice =
            Dice { random: &mut self.random, crowd: self.shape.crowd(), old_times: self.old_times };
        let steps = 5 + dice.random.below(60);
        for _ in 0..steps {
            counts.steps += 1;
            match step::step(&mut dice, &mut self.tree, &mut batch) {
                Outcome::Done => {}
                Outcome::Refused => counts.refused += 1,
                Outcome::Full => {
                    counts.full += 1;
                    self.tree = before;
                    return;
                }
            }
            if dice.random.below(20) == 0 {
                step::ask(&mut dice, &self.tree, &mut batch);
            }
        }
        if self.random.below(8) == 0 {
            counts.dropped += 1;
            self.tree = before;
            return;
        }
        match batch.commit(Flush::ProcessSafe) {
            Ok(done) => {
                assert_eq!(done.atomic, self.profile.writing == Writing::Atomic);
            }
            // More than the journal of a small disk takes: nothing of it is there.
            Err(Error::TooLarge { .. }) => {
                counts.full += 1;
                self.tree = before;
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The kernel goes on in what we made: it makes, removes and moves.
    fn kernel_works(&mut self, round: u64) {
        let top = self.tree.names(0).unwrap();
        let own = |name: &&Vec<u8>| *name != b"lost+found" && !name.starts_with(b"kernel");
        let names: Vec<Vec<u8>> = top.keys().filter(own).cloned().collect();
        let mut choose = || match names.len() {
            0 => Vec::new(),
            len => names[self.random.below(len as u64) as usize].clone(),
        };
        let (gone, moved) = (choose(), choose());
        let folder = format!("kernel-{round}");
        let worked = kernel::mounted(self.image, "rw", |top| {
            // Names at the top alone: no link of the image leads out to the host.
            let script = r#"cd "$1" && umask 022 && mkdir "$2" || exit
                for n in $(seq 30); do printf "$n" > "$2/$n" || exit; done
                [ -z "$3" ] || rm -rf -- "./$3"
                [ -z "$4" ] || ! [ -e "./$4" -o -L "./$4" ] || mv -- "./$4" "./$2/""#;
            let arguments = [
                top.as_os_str(),
                folder.as_ref(),
                OsStr::from_bytes(&gone),
                OsStr::from_bytes(&moved),
            ];
            root::script(script, &arguments).is_some()
        });
        assert!(worked, "the kernel did its part");
        let plain = Attributes { mode: 0o755, uid: 0, gid: 0 };
        let inside = |name: &[u8]| [b"/", folder.as_bytes(), b"/", name].concat();
        self.tree.make_directory(format!("/{folder}").as_bytes(), plain).unwrap();
        for n in 1..=30 {
            let text = Content::Text(n.to_string().into_bytes());
            let entry = Entry::new(Kind::File(text), Attributes { mode: 0o644, ..plain });
            self.tree.put(&inside(n.to_string().as_bytes()), entry).unwrap();
        }
        let at_top = |name: &[u8]| [b"/", name].concat();
        if !gone.is_empty() {
            self.tree.remove(&at_top(&gone), true).unwrap();
        }
        if !moved.is_empty() && moved != gone {
            self.tree.rename(&at_top(&moved), &inside(&moved)).unwrap();
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_changes_leave_what_a_model_says() {
    if !root::has("mke2fs") || !root::has("e2fsck") {
        skip("e2fsprogs is not installed");
        return;
    }
    let kernel = kernel::missing();
    if let Some(reason) = kernel {
        skip(reason);
    }
    let (first, sequences) = (number("BANGER_SEED", 1), number("BANGER_MODEL_SEQUENCES", 14));
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("model.img");
    let started = Instant::now();
    let mut counts = Counts::default();
    let mut violations = Vec::new();
    for seed in first..first + sequences {
        let work = std::panic::AssertUnwindSafe(|| {
            let sequence = Sequence::begin(seed, &image, kernel.is_none());
            let (profile, shape) = (sequence.profile.name, sequence.shape);
            if sequences < 30 {
                println!("seed {seed}: {profile}, {shape:?}");
            }
            sequence.run(&mut counts);
        });
        if std::panic::catch_unwind(work).is_err() {
            println!("BANGER_SEED={seed} BANGER_MODEL_SEQUENCES=1 brings it back");
            violations.push(seed);
        }
    }
    let Counts { steps, refused, batches, full, dropped, viewed } = counts;
    println!(
        "RESULT model: {sequences} sequences from seed {first}, {batches} batches, {steps} changes \
         ({refused} refused by both), {dropped} batches dropped, {full} refused by a full disk or \
         journal; our reader, e2fsck{}, another reader for {viewed}: {} violations, {} s",
        if kernel.is_none() { " and the kernel" } else { "" },
        violations.len(),
        started.elapsed().as_secs()
    );
    assert!(violations.is_empty(), "seeds {violations:?}");
}
