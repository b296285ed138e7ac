//! The stages of a command with their times: the table of `--timings`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use banger_proto::Stage;
use serde::Serialize;

use super::{plain, screen, units};

/// What a command spent its time on.
#[derive(Debug)]
pub(crate) struct Timings {
    begun: Instant,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    stage: Stage,
    time: Duration,
    own: bool,
}

/// The stages of a command with their times, as `--timings=json` tells them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Json<'a> {
    /// In the order in which they ended.
    stages: Vec<JsonStage<'a>>,
    /// From the command's begin to its end.
    total_us: u64,
    /// All but the rootfs copy, the VMM's start and the guest's time.
    own_us: u64,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Stage"))]
struct JsonStage<'a> {
    name: &'a str,
    /// What it did this time; empty when its name says it all.
    detail: &'a str,
    duration_us: u64,
}

impl<'a> From<&'a Row> for JsonStage<'a> {
    fn from(row: &'a Row) -> Self {
        let Stage { name, detail } = &row.stage;
        Self { name, detail, duration_us: micros(row.time) }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Timings {
    /// Begins to count.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), rows: Vec::new() }
    }

    /// A stage of bangerd's has ended.
    pub(super) fn stage(&mut self, stage: Stage, time: Duration) {
        let own = stage.is_own_work();
        self.rows.push(Row { stage, time, own });
    }

    /// The guest has run what it was asked to since `begun`.
    pub(crate) fn guest_command(&mut self, begun: Instant) {
        let stage = Stage { name: "run_command".into(), detail: "in the guest, over ssh".into() };
        self.rows.push(Row { stage, time: begun.elapsed(), own: false });
    }

    /// What is known up to now, for scripts.
    pub(crate) fn json(&self) -> Json<'_> {
        let total = self.begun.elapsed();
        Json {
            stages: self.rows.iter().map(JsonStage::from).collect(),
            total_us: micros(total),
            own_us: micros(total.saturating_sub(self.others())),
        }
    }

    /// The table up to now, in a window of so many columns.
    pub(super) fn render(&self, window: Option<usize>, ellipsis: &str) -> String {
        self.table(self.begun.elapsed(), window, ellipsis)
    }

    /// The time that is not banger's own.
    fn others(&self) -> Duration {
        self.rows.iter().filter(|row| !row.own).map(|row| row.time).sum()
    }

    fn table(&self, total: Duration, window: Option<usize>, ellipsis: &str) -> String {
        let mut lines: Vec<(String, String, Duration)> = self
            .rows
            .iter()
            .map(|row| (plain::line(&row.stage.name), plain::line(&row.stage.detail), row.time))
            .collect();
        let staged: Duration = self.rows.iter().map(|row| row.time).sum();
        let others = self.others();
        let between = "requests, and starting bangerd when it did not run".to_owned();
        lines.push(("between_stages".into(), between, total.saturating_sub(staged)));
        let rule = ("-".to_owned(), String::new(), Duration::ZERO);
        lines.push(rule);
        lines.push(("total".into(), String::new(), total));
        let rest = "all but the rootfs copy, the VMM's start and the guest's time".to_owned();
        lines.push(("banger's own work".into(), rest, total.saturating_sub(others)));
        let name = lines.iter().map(|line| line.0.chars().count()).max().unwrap_or_default();
        let detail = lines.iter().map(|line| line.1.chars().count()).max().unwrap_or_default();
        // Beside the details stand names, times of 13 columns, and two gaps.
        let detail = window.map_or(detail, |window| detail.min(window.saturating_sub(name + 17)));
        let mut text = String::new();
        for (first, second, time) in lines {
            let time = if first == "-" { String::new() } else { milliseconds(time) };
            let first = if first == "-" { "-".repeat(name + detail + 17) } else { first };
            let second = screen::fit(&second, detail, ellipsis);
            let line = format!("{first:name$}  {second:detail$}  {time:>13}");
            // Writing to a String cannot fail.
            let _never_fails = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// One unit for all, so that a column can be added up.
fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A finished stage as one line.
pub(super) fn finished(stage: &Stage, time: Duration) -> String {
    let detail = plain::line(&stage.detail);
    let gap = if detail.is_empty() { "" } else { "  " };
    format!("{}{gap}{detail}  {}", plain::line(&stage.name), units::duration(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, detail: &str) -> Stage {
        Stage { name: name.into(), detail: detail.into() }
    }

    #[test]
    fn the_table_adds_up() {
        let mut timings = Timings::begin();
        let ms = Duration::from_millis;
        timings.stage(stage(Stage::ROOTFS_OVERLAY, "copy"), ms(1200));
        timings.stage(stage(Stage::WORK_DISK, "applying work seed"), Duration::from_micros(3_850));
        timings.stage(stage(Stage::BOOT, ""), ms(9000));
        insta::assert_snapshot!(timings.table(ms(10_250), None, "…"));
        let narrow = timings.table(ms(10_250), Some(60), "…");
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(
            narrow.contains("between_stages          requests, and starti…        46.1 ms"),
            "{narrow}"
        );
    }

    #[test]
    fn a_finished_stage_is_a_line() {
        let line =
            finished(&stage("prepare_work_disk", "applying work seed"), Duration::from_millis(4));
        assert_eq!(line, "prepare_work_disk  applying work seed  4.0 ms");
        assert_eq!(finished(&stage("x", ""), Duration::from_secs(2)), "x  2.0 s");
    }
}
