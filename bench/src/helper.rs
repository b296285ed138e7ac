//! The root helper's work beside what a person types for the same: what tests in the testbed said of
//! each round, as tables and goals.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Result;
use crate::goals::Judged;

/// How a line begins that says what one round took.
const SAID: &str = "RESULT times ";
const OURS: &str = "banger";
const THEIRS: &str = "by hand";

/// What is measured, and the part of the other side's time that banger is to take at most.
struct Work {
    name: &'static str,
    title: &'static str,
    most: f64,
}

const WORKS: [Work; 2] = [
    Work {
        name: "snapshot-8",
        title: "A snapshot of 32 MiB attached, 8 files in it replaced, and detached",
        most: 1.0 / 5.0,
    },
    Work {
        name: "start",
        title: "From the request to start a VM to its VMM, whose own start is not counted",
        most: 1.0 / 10.0,
    },
];

/// Times of one side in ms, by stage, in the order in which they come.
#[derive(Default)]
struct Side {
    stages: Vec<(String, Vec<f64>)>,
    totals: Vec<f64>,
}

impl Side {
    fn add(&mut self, said: &str) -> Result<()> {
        let mut total = 0.0;
        for stage in said.split(", ") {
            let (name, ms) = stage.rsplit_once(' ').ok_or_else(|| format!("no time: {said}"))?;
            let ms: f64 = ms.parse()?;
            total += ms;
            match self.stages.iter_mut().find(|(stage, _)| stage == name) {
                Some((_, times)) => times.push(ms),
                None => self.stages.push((name.to_owned(), vec![ms])),
            }
        }
        self.totals.push(total);
        Ok(())
    }
}

/// The median, and the middle half.
fn spread(times: &[f64]) -> (f64, f64, f64) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    };
    (at(0.5), at(0.25), at(0.75))
}

/// Tables of what the tests said, and how banger's whole time stands to the other's.
pub fn read(said: &str) -> Result<(String, Vec<Judged>)> {
    let mut sides: BTreeMap<(&str, &str), Side> = BTreeMap::new();
    for line in said.lines().filter_map(|line| line.strip_prefix(SAID)) {
        let (of, stages) = line.split_once(": ").ok_or_else(|| format!("no times: {line}"))?;
        let (work, side) = of.split_once(' ').ok_or_else(|| format!("no side: {line}"))?;
        sides.entry((work, side)).or_default().add(stages)?;
    }
    let (mut text, mut judged) = (String::new(), Vec::new());
    for Work { name, title, most } in WORKS {
        let side =
            |side| sides.get(&(name, side)).ok_or(format!("{name}: {side} was not measured"));
        let (ours, theirs) = (side(OURS)?, side(THEIRS)?);
        writeln!(text, "**{title}** (`{name}`, {} rounds)\n", ours.totals.len())?;
        text += "| side | stage | median, ms | middle half |\n| --- | --- | ---: | ---: |\n";
        for (side, times) in [(OURS, ours), (THEIRS, theirs)] {
            let whole = ("all".to_owned(), times.totals.clone());
            for (stage, times) in times.stages.iter().chain([&whole]) {
                let (median, low, high) = spread(times);
                writeln!(text, "| {side} | {stage} | {median:.1} | {low:.1} to {high:.1} |")?;
            }
        }
        text += "\n";
        let ratio = spread(&ours.totals).0 / spread(&theirs.totals).0;
        judged.push(Judged { work: name, other: THEIRS, what: "whole", most, ratio });
    }
    text += "| work | banger beside | ratio | at most | |\n| --- | --- | ---: | ---: | --- |\n";
    for goal in &judged {
        let met = if goal.met() { "met" } else { "missed" };
        let Judged { work, other, ratio, most, .. } = goal;
        writeln!(text, "| `{work}` | {other} | {ratio:.3} | {most:.3} | {met} |")?;
    }
    Ok((text, judged))
}

#[test]
fn stages_are_added_up_and_the_medians_of_all_rounds_compared() {
    let mut said = String::from("anything else\n");
    for (ours, theirs) in [(1, 10), (3, 30), (2, 40)] {
        for work in ["snapshot-8", "start"] {
            writeln!(said, "RESULT times {work} banger: attach {ours}.5, patch 0.5").unwrap();
            writeln!(said, "RESULT times {work} by hand: attach {theirs}.000").unwrap();
        }
    }
    let (text, judged) = read(&said).unwrap();
    assert!(text.contains("| banger | attach | 2.5 | 2.5 to 3.5 |"), "{text}");
    assert!(text.contains("| banger | all | 3.0 | 3.0 to 4.0 |"), "{text}");
    assert_eq!(judged.iter().map(|goal| goal.ratio).collect::<Vec<_>>(), [0.1, 0.1]);
    assert_eq!(judged.iter().map(Judged::met).collect::<Vec<_>>(), [true, true]);
    let one_sided = read("RESULT times start banger: attach 1.0\n");
    assert!(one_sided.is_err());
}
