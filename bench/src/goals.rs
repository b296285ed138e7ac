//! What the engine is held to, and whether it holds.

use crate::measure::Measured;

/// What of two sides is compared.
#[derive(Clone, Copy)]
enum What {
    /// Whole processes.
    Whole,
    /// Without the start and the end of the process.
    Net,
    /// As `Net`, in parts of what the floors of both sides' bytes take of each other: the work
    /// itself is not of one size for the two.
    Grown { floor: &'static str, floor_of_other: &'static str },
}

/// What a larger directory has to write in more blocks than a small one is no fault of the engine.
const GROWN: What = What::Grown { floor: "floor", floor_of_other: "floor into 1,000" };

/// `ours` takes at most `most` times what `other` takes.
struct Goal {
    work: &'static str,
    other: &'static str,
    what: What,
    most: f64,
}

const fn goal(work: &'static str, other: &'static str, what: What, most: f64) -> Goal {
    Goal { work, other, what, most }
}

const GOALS: &[Goal] = &[
    goal("disk-8g-20", "floor", What::Net, 1.3),
    goal("disk-8g-20", "mkext4", What::Whole, 1.0),
    goal("disk-8g-20", "arcbox-ext4", What::Whole, 1.0),
    goal("disk-8g-20", "mke2fs -d", What::Whole, 1.0 / 3.0),
    goal("disk-8g-200", "floor", What::Net, 1.3),
    goal("disk-8g-200", "mkext4", What::Whole, 1.0),
    goal("disk-8g-200", "arcbox-ext4", What::Whole, 1.0),
    goal("disk-8g-200", "mke2fs -d", What::Whole, 1.0 / 3.0),
    goal("disk-8g-200", "mkfs + e2cp and debugfs a file", What::Whole, 1.0 / 150.0),
    goal("disk-8g-2000", "floor", What::Net, 2.0),
    goal("disk-8g-2000", "mkext4", What::Whole, 1.0),
    goal("disk-8g-2000", "arcbox-ext4", What::Whole, 1.0),
    goal("disk-8g-2000", "mke2fs -d", What::Whole, 1.0 / 3.0),
    goal("disk-64g-200", "floor", What::Net, 1.5),
    goal("disk-64g-200", "mkext4", What::Whole, 1.0),
    goal("disk-64g-200", "mke2fs -d", What::Whole, 1.0),
    goal("disk-1t-200", "floor", What::Net, 1.5),
    goal("disk-1t-200", "mkext4", What::Whole, 1.0),
    goal("disk-1t-200", "mke2fs -d", What::Whole, 1.0),
    goal("patch-8", "floor", What::Net, 1.3),
    goal("patch-8", "one debugfs batch, not atomic", What::Whole, 1.0),
    goal("patch-8", "rust-fs-ext4", What::Whole, 1.0),
    goal("put-200", "one debugfs batch, not atomic", What::Whole, 1.0),
    goal("put-200", "rust-fs-ext4", What::Whole, 1.0),
    goal("import-70000", "one stream", What::Net, 1.3),
    goal("import-70000", "arcbox-ext4", What::Whole, 1.0),
    goal("import-70000", "mke2fs -d", What::Whole, 1.0),
    goal("insert-1", "into 1,000", What::Net, 1.5),
    goal("insert-100", "into 1,000", GROWN, 1.5),
    goal("grow-64g", "resize2fs", What::Whole, 1.0),
];

/// A goal and what was measured.
pub struct Judged {
    pub work: &'static str,
    pub other: &'static str,
    /// `whole`, `net`, or `net, of the floor's`.
    pub what: &'static str,
    pub most: f64,
    /// Times that the engine takes of what the other takes.
    pub ratio: f64,
}

impl Judged {
    pub fn met(&self) -> bool {
        self.ratio <= self.most
    }
}

/// Every goal of the works that were measured.
pub fn judge(measured: &[Measured]) -> Vec<Judged> {
    let judged = GOALS.iter().filter_map(|goal| {
        let work = measured.iter().find(|work| work.work == goal.work)?;
        let (ours, other) = (work.side("banger")?, work.side(goal.other)?);
        let (what, ratio) = match goal.what {
            What::Whole => ("whole", ours.median() / other.median()),
            What::Net => ("net", ours.net()? / other.net()?),
            What::Grown { floor, floor_of_other } => {
                let floors = work.side(floor)?.net()? / work.side(floor_of_other)?.net()?;
                ("net, of the floor's", ours.net()? / other.net()? / floors)
            }
        };
        Some(Judged { work: goal.work, other: goal.other, what, most: goal.most, ratio })
    });
    judged.collect()
}
