//! What counts, key by key, with its origin.

use banger_proto::{Origin, Setting};

use super::key::KEYS;
use super::settings::{Place, Settings};

/// All settings in the order of the documentation; each folder of programs is one.
#[must_use]
pub fn show(settings: &Settings) -> Vec<Setting> {
    let file = |place: &Place| Origin::File { path: place.path.clone(), line: place.line };
    let mut shown: Vec<_> = KEYS
        .iter()
        .map(|key| {
            let (value, note, origin) = match (key.look)(settings) {
                Some((value, place)) => (Some(value), String::new(), file(place)),
                None => (key.otherwise)(),
            };
            Setting { key: key.path(), value, note, origin }
        })
        .collect();
    let programs = |value, note: &str, origin| Setting {
        key: "programs".to_owned(),
        value,
        note: note.to_owned(),
        origin,
    };
    if settings.programs.is_empty() {
        shown.push(programs(None, "the system's own folders", Origin::Default));
    }
    shown.extend(
        settings
            .programs
            .iter()
            .map(|set| programs(Some(set.value.display().to_string()), "", file(&set.place))),
    );
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{file, list};

    /// What people read: all keys, their defaults, an example of each.
    const PAGE: &str = include_str!("../../../docs/configuration.md");

    fn example() -> Settings {
        let (_, rest) = PAGE.split_once("```toml\n").expect("the page has an example");
        let (text, _) = rest.split_once("```").expect("the example ends");
        let mut settings = Settings::default();
        assert_eq!(file::read(Path::new("example"), text, &mut settings), []);
        settings
    }

    #[test]
    fn the_example_of_the_page_holds_every_key() {
        for setting in show(&example()).iter().filter(|setting| setting.key != "programs") {
            let said = matches!(setting.origin, Origin::File { .. });
            assert!(said, "{} is not in the example of docs/configuration.md", setting.key);
        }
    }

    #[test]
    fn every_key_has_a_row_on_the_page_with_its_default() {
        for setting in show(&Settings::default()) {
            let head = format!("| `{}` |", setting.key);
            let row = PAGE.lines().find(|line| line.starts_with(&head));
            let row = row.unwrap_or_else(|| panic!("no row for {}", setting.key));
            // What is computed is told in words, which are those of the note.
            let default = match setting.origin {
                Origin::Computed => setting.note,
                _ => setting.value.unwrap_or(setting.note),
            };
            assert!(row.contains(&default), "{row} does not say {default}");
        }
    }

    #[test]
    fn each_value_has_its_origin() {
        let mut settings = Settings::default();
        let text = "[timeouts]\nstop = 5\n[vm]\nmemory = 2048\nimage = \"debian\"";
        assert_eq!(file::read(Path::new("/c.toml"), text, &mut settings), []);
        settings.programs = list::programs(Path::new("/programs"), "#\n/opt/a\n/opt/b\n").0;
        let text: String = show(&settings)
            .iter()
            .filter(|setting| setting.origin != Origin::Computed)
            .map(|s| format!("{} {:?} {:?} {:?}\n", s.key, s.value, s.note, s.origin))
            .collect();
        insta::assert_snapshot!(text);
    }
}
