//! Tables without lines: cut to the window on a terminal, whole for `awk`.

use std::io;

use super::{plain, screen};

/// Columns between two columns, and where the window is narrow.
const GAPS: [usize; 2] = [3, 2];

/// Rows under a heading, the most important column first: on a terminal that is too narrow
/// the last ones are cut, or left out, before the first.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let unicode = screen::is_unicode(|name| std::env::var(name).ok());
    let ellipsis = if unicode { "…" } else { "..." };
    render(heading, rows, screen::columns(&io::stdout()), ellipsis)
}

fn render(
    heading: &[&str],
    rows: Vec<Vec<String>>,
    window: Option<usize>,
    ellipsis: &str,
) -> String {
    let heading = heading.iter().map(ToString::to_string).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows)
        .map(|row| row.iter().map(|cell| plain::line(cell)).collect())
        .collect();
    let columns = columns(&lines);
    let (widths, gap) = match window {
        Some(window) => fit(&columns, window),
        None => (columns.iter().map(|column| column.natural).collect(), GAPS[0]),
    };
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .filter(|(_, width)| **width > 0)
            .map(|(cell, &width)| {
                let cell = screen::fit(cell, width, ellipsis);
                let padding = width.saturating_sub(screen::width(&cell));
                format!("{cell}{:padding$}", "")
            })
            .collect();
        text.push_str(cells.join(&" ".repeat(gap)).trim_end());
        text.push('\n');
    }
    text
}

/// What a column would like.
struct Column {
    /// Width of its widest cell.
    natural: usize,
    /// Width below which it is left out and not cut: half a number is a wrong one.
    least: usize,
}

fn columns(lines: &[Vec<String>]) -> Vec<Column> {
    let count = lines.iter().map(Vec::len).max().unwrap_or_default();
    let column = |place: usize| {
        let cells = || lines.iter().filter_map(move |line| line.get(place));
        let natural = cells().map(|cell| screen::width(cell)).max().unwrap_or_default();
        let numbers = cells()
            .skip(1)
            .all(|cell| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit()));
        let heading = cells().next().map_or(0, |cell| screen::width(cell));
        Column { natural, least: if numbers { natural } else { heading.max(6).min(natural) } }
    };
    (0..count).map(column).collect()
}

/// The width of each column in a window, 0 for one that is left out; and the gap.
fn fit(columns: &[Column], window: usize) -> (Vec<usize>, usize) {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.natural).collect();
    let excess = |widths: &[usize], gap: usize| {
        let shown = widths.iter().filter(|width| **width > 0).count();
        let all = widths.iter().sum::<usize>() + gap * shown.saturating_sub(1);
        all.saturating_sub(window)
    };
    if excess(&widths, GAPS[0]) == 0 {
        return (widths, GAPS[0]);
    }
    let gap = GAPS[1];
    // From the last column on: cut what can be cut, then leave out.
    for place in (0..columns.len()).rev() {
        let (Some(column), too_much) = (columns.get(place), excess(&widths, gap)) else { break };
        if too_much == 0 {
            break;
        }
        let cut = column.natural.saturating_sub(too_much);
        if let Some(width) = widths.get_mut(place) {
            *width = match place {
                0 => cut.max(1),
                _ if cut >= column.least => cut,
                _ => 0,
            };
        }
    }
    (widths, gap)
}

/// One thing's fields, a line each.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    rows.iter()
        .filter(|row| !row.1.is_empty())
        .map(|(name, value)| format!("{name:width$}  {}\n", plain::line(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn columns_stand_under_each_other_and_lines_have_no_tail() {
        let rows = rows(&[&["web", "running", ""], &["a-long-name", "stopped", "x"]]);
        insta::assert_snapshot!(render(&["NAME", "STATE", "MORE"], rows, None, "…"), @r"
        NAME          STATE     MORE
        web           running
        a-long-name   stopped   x
        ");
    }

    #[test]
    fn a_narrow_window_takes_from_the_least_important() {
        let all = rows(&[
            &["web", "running 3 hours", "debian-with-tools", "2", "1 GiB", "300 MiB"],
            &["a-name-that-is-rather-long", "stopped", "debian", "4", "512 MiB", "1.2 GiB"],
        ]);
        let heading = ["NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "ON HOST"];
        let shown: Vec<_> = [100, 92, 80, 60, 40, 12]
            .map(|window| render(&heading, all.clone(), Some(window), "…"))
            .into();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = rows(&[&["日本", "x"], &["e\u{301}", "y"]]);
        assert_eq!(render(&["N", "S"], rows, None, "…"), "N      S\n日本   x\ne\u{301}      y\n");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let rows = [("name", "web".to_owned()), ("reason", String::new()), ("id", "1".to_owned())];
        assert_eq!(fields(&rows), "name    web\nid      1\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_window(
            cells in prop::collection::vec(prop::collection::vec("[a-z0-9日]{0,20}", 4), 1..5),
            window in 8_usize..100,
        ) {
            let text = render(&["NAME", "STATE", "IMAGE", "SIZE"], cells, Some(window), "…");
            for line in text.lines() {
                prop_assert!(screen::width(line) <= window, "{line:?} in {window}");
            }
        }
    }
}
