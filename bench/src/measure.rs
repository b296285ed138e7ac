//! Running sides in turns, and what came of it.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;

/// One way of doing a work.
pub struct Side {
    pub name: &'static str,
    command: Vec<String>,
    /// At most so many rounds: some take minutes.
    most: usize,
    /// Whether it says of itself what the work took and the memory.
    tells: bool,
}

impl Side {
    /// A program of the host and its arguments.
    pub fn new<S: Into<String>>(name: &'static str, command: impl IntoIterator<Item = S>) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self { name, command, most: usize::MAX, tells: false }
    }

    /// This program, doing one thing.
    pub fn own(name: &'static str, arguments: &[&str]) -> Result<Self> {
        let own = std::env::current_exe()?.to_string_lossy().into_owned();
        let command = [own, "side".into()].into_iter();
        let command = command.chain(arguments.iter().map(ToString::to_string));
        Ok(Self { tells: true, ..Self::new(name, command) })
    }

    /// No more than `most` rounds.
    pub fn most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Runs it once: ms of the whole process, and what it says of itself.
    fn run(&self) -> Result<(f64, Option<Told>)> {
        let [program, arguments @ ..] = self.command.as_slice() else { return Err("empty".into()) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        let begun = Instant::now();
        let output = command.output()?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {} {said}", self.command.join(" "), output.status).into());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok((took, self.tells.then(|| Told::parse(&said)).transpose()?))
    }
}

/// What a process of ours says of itself.
struct Told {
    net: f64,
    peak_kib: u64,
}

impl Told {
    fn parse(text: &str) -> Result<Self> {
        let (net, peak) = text.trim().split_once(' ').ok_or("says nothing of itself")?;
        Ok(Self { net: net.parse()?, peak_kib: peak.parse()? })
    }
}

/// What one side took, in ms.
pub struct Times {
    pub name: &'static str,
    /// Whole processes, in order of size.
    whole: Vec<f64>,
    /// The work alone, the start and the end of the process left out, in order of size.
    net: Vec<f64>,
    pub peak_kib: Option<u64>,
}

fn at(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part).round() as usize).copied()
}

impl Times {
    pub fn median(&self) -> f64 {
        at(&self.whole, 0.5).unwrap_or(f64::NAN)
    }

    /// Without the start and the end of the process, where it says so.
    pub fn net(&self) -> Option<f64> {
        at(&self.net, 0.5)
    }

    /// The middle half.
    pub fn quartiles(&self) -> (f64, f64) {
        let part = |part| at(&self.whole, part).unwrap_or(f64::NAN);
        (part(0.25), part(0.75))
    }
}

/// A work, and every side's times.
pub struct Measured {
    pub work: &'static str,
    pub title: String,
    pub sides: Vec<Times>,
    /// Bytes that the engine writes.
    pub written: Option<u64>,
}

impl Measured {
    pub fn side(&self, name: &str) -> Option<&Times> {
        self.sides.iter().find(|side| side.name == name)
    }
}

/// What takes fewer ms than this is run so many times as often: chance weighs more in it.
const SHORT: f64 = 20.0;
const AS_OFTEN: usize = 4;

/// Runs every side `rounds` times, short ones [`AS_OFTEN`], one after another in each round, so that
/// whatever else the machine does hits all alike. `before` is called first, with the side's name;
/// it is not timed.
pub fn rounds(
    sides: &[Side],
    rounds: usize,
    mut before: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<Times>> {
    let empty =
        |side: &Side| Times { name: side.name, whole: Vec::new(), net: Vec::new(), peak_kib: None };
    let mut times: Vec<_> = sides.iter().map(empty).collect();
    let mut most: Vec<_> = sides.iter().map(|side| side.most).collect();
    // The first round fills caches and is not counted, but where there is only one.
    for round in 0..=rounds * AS_OFTEN {
        for ((side, times), most) in sides.iter().zip(&mut times).zip(&mut most) {
            let counts = round > 0 || side.most == 1;
            if times.whole.len() >= *most {
                continue;
            }
            before(side.name)?;
            let (took, told) = side.run()?;
            if round == 0 && took >= SHORT {
                *most = rounds.min(side.most);
            }
            if counts {
                times.whole.push(took);
                if let Some(Told { net, peak_kib }) = told {
                    times.net.push(net);
                    times.peak_kib = times.peak_kib.max(Some(peak_kib));
                }
            }
        }
    }
    for side in &mut times {
        side.whole.sort_by(f64::total_cmp);
        side.net.sort_by(f64::total_cmp);
    }
    Ok(times)
}
