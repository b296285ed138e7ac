//! What was measured, for people: tables, and a plot.

use std::fmt::Write;

use crate::goals::Judged;
use crate::measure::Measured;

fn ms(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A table a work, and one of the goals.
pub fn tables(measured: &[Measured], judged: &[Judged]) -> String {
    let mut text = String::new();
    for work in measured {
        let written = work.written.map_or(String::new(), |bytes| {
            format!("; banger writes {:.2} MiB", bytes as f64 / f64::from(1 << 20))
        });
        let _ = writeln!(text, "**{}** (`{}`{written})\n", work.title, work.work);
        text += "| side | median, ms | middle half | without the process, ms | peak memory, MiB |\n| --- | ---: | ---: | ---: | ---: |\n";
        for side in &work.sides {
            let net = side.net().map_or(String::new(), ms);
            let (low, high) = side.quartiles();
            let peak =
                side.peak_kib.map_or(String::new(), |kib| format!("{:.1}", kib as f64 / 1024.0));
            let (median, half) = (ms(side.median()), format!("{} to {}", ms(low), ms(high)));
            let _ = writeln!(text, "| {} | {median} | {half} | {net} | {peak} |", side.name);
        }
        text += "\n";
    }
    text += "| work | banger beside | ratio | at most | |\n| --- | --- | ---: | ---: | --- |\n";
    for goal in judged {
        let met = if goal.met() { "met" } else { "missed" };
        let Judged { work, other, what, most, ratio } = goal;
        let _ = writeln!(text, "| `{work}` | {other} ({what}) | {ratio:.3} | {most:.3} | {met} |");
    }
    text
}

const WIDTH: f64 = 860.0;
const LABELS: f64 = 260.0;
const BAR: f64 = 14.0;

/// Every side's median as a bar, on a scale on which each step to the right is ten times more.
pub fn plot(measured: &[Measured]) -> String {
    let medians = || measured.iter().flat_map(|work| &work.sides).map(|side| side.median());
    let (least, most) = (medians().fold(f64::MAX, f64::min), medians().fold(1.0, f64::max));
    let (first, last) = (least.log10().floor(), most.log10().ceil());
    let x =
        |value: f64| LABELS + (value.log10() - first) / (last - first) * (WIDTH - LABELS - 70.0);
    let mut body = String::new();
    let mut y = 24.0;
    for work in measured {
        let _ = writeln!(
            body,
            r#"<text x="4" y="{:.0}" font-weight="bold">{}</text>"#,
            y + 12.0,
            work.title
        );
        y += 20.0;
        for side in &work.sides {
            let end = x(side.median());
            let class = if side.name == "banger" { "ours" } else { "other" };
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect class="{class}" x="{LABELS}" y="{y:.0}" width="{:.1}" height="{:.0}"/><text x="{:.1}" y="{:.0}">{} ms</text>"#,
                LABELS - 6.0,
                y + 11.0,
                side.name,
                (end - LABELS).max(1.0),
                BAR - 2.0,
                end + 4.0,
                y + 11.0,
                ms(side.median()),
            );
            y += BAR + 2.0;
        }
        y += 8.0;
    }
    let mut grid = String::new();
    for power in first as i32..=last as i32 {
        let at = x(10_f64.powi(power));
        let _ = writeln!(
            grid,
            r#"<line x1="{at:.1}" y1="16" x2="{at:.1}" y2="{y:.0}"/><text x="{at:.1}" y="12" text-anchor="middle">{} ms</text>"#,
            10_f64.powi(power)
        );
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="11">
<style>line {{ stroke: #ccc }} text {{ fill: #444 }} .ours {{ fill: #d1495b }} .other {{ fill: #8fa3b0 }}</style>
<rect width="100%" height="100%" fill="#fff"/>
{grid}{body}</svg>
"##
    )
}
