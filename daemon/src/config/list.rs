//! Plain list files, and the one there is: `programs`.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::settings::{Place, Set};

/// The entries of a list with their lines: an entry a line, trimmed; `#` begins a comment
/// anywhere in a line, blank lines count for nothing.
fn entries(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.split('#').next().unwrap_or(line).trim()))
        .filter(|(_, entry)| !entry.is_empty())
}

/// The folders that are searched for programs before the usual ones, from the text of the
/// file `programs`.
pub(super) fn programs(path: &Path, text: &str) -> (Vec<Set<PathBuf>>, Vec<Problem>) {
    let mut folders = Vec::new();
    let mut problems = Vec::new();
    for (line, entry) in entries(text) {
        let folder = PathBuf::from(entry);
        if folder.is_absolute() {
            folders.push(Set { value: folder, place: Place { path: path.to_owned(), line } });
        } else {
            let entry = entry.escape_debug();
            problems.push(Problem::line(
                path,
                line,
                format!("{entry} is no absolute path: name a folder from / on"),
            ));
        }
    }
    if folders.is_empty() && problems.is_empty() {
        problems.push(Problem::file(path, "it has no entries: add a folder, or remove the file"));
    }
    (folders, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_people_write_it() {
        let text = "# all\r\n /opt/a \r\n\r\n/opt/b # the second\n\t\n#/opt/c\n/opt/d";
        let expected = [(2, "/opt/a"), (4, "/opt/b"), (7, "/opt/d")];
        assert_eq!(entries(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn folders_are_absolute_and_a_list_is_not_empty() {
        let with = |text: &str| {
            let (folders, problems) = programs(Path::new("/p"), text);
            let folders: Vec<_> = folders.into_iter().map(|set| set.value).collect();
            (folders, problems.iter().map(ToString::to_string).collect::<String>())
        };
        assert_eq!(with("/a\n/b\n"), (vec!["/a".into(), "/b".into()], String::new()));
        assert!(with("# nothing\n").1.contains("/p: it has no entries"));
        assert!(with("/a\nbin\n").1.contains("/p:2: bin is no absolute path"));
    }
}
