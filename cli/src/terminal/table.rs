//! Tables without lines: for people on a terminal, and for `awk`.

use super::plain;

/// Rows under a heading. Cells are names, words and numbers: a character is a column wide.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let heading = heading.iter().map(ToString::to_string).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows)
        .map(|row| row.iter().map(|cell| plain::line(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or_default()
    };
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
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
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_lines_have_no_tail() {
        let rows = vec![
            vec!["web".into(), "running".into(), String::new()],
            vec!["a-long-name".into(), "stopped".into(), "x".into()],
        ];
        insta::assert_snapshot!(table(&["NAME", "STATE", "MORE"], rows), @r"
        NAME          STATE     MORE
        web           running
        a-long-name   stopped   x
        ");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let rows = [("name", "web".to_owned()), ("reason", String::new()), ("id", "1".to_owned())];
        assert_eq!(fields(&rows), "name    web\nid      1\n");
    }
}
