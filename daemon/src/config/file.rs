//! One TOML file: pure, from its text to settings and to what is wrong in it.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{self, Given, KEYS, Key, Wrong};
use super::problem::Problem;
use super::settings::{Place, Settings};

/// Puts what the text of `path` says into `settings`, over what they hold.
pub(super) fn read(path: &Path, text: &str, settings: &mut Settings) -> Vec<Problem> {
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            // The parser's word may be of several lines; the first says what it is.
            let word = error.message().lines().next().unwrap_or("it is no TOML");
            return vec![Problem::line(path, line, format!("this is no TOML: {word}"))];
        }
    };
    let mut reading = Reading { path, text, settings, problems: Vec::new() };
    reading.top(&table);
    // The parser sorts by name; people read from the top.
    reading.problems.sort_by_key(|problem| problem.line);
    reading.problems
}

/// The number of the line that holds a byte, counted from 1.
fn line_of(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let ends = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(ends).unwrap_or(u32::MAX).saturating_add(1)
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    settings: &'a mut Settings,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn complain<T>(&mut self, at: &Spanned<T>, text: String) {
        let line = line_of(self.text, at.span().start);
        self.problems.push(Problem::line(self.path, line, text));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            match value.get_ref() {
                _ if !key::is_table(word) => {
                    let advice = advice("", word);
                    let what = if value.get_ref().is_table() { "table" } else { "key" };
                    self.complain(name, format!("unknown {what} `{}`: {advice}", shown(word)));
                }
                DeValue::Table(keys) => keys.iter().for_each(|(name, value)| {
                    self.key(word, name, value);
                }),
                _ => self.complain(name, format!("`{word}` must be a table: [{word}]")),
            }
        }
    }

    fn key(
        &mut self,
        table: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let word = name.get_ref().as_ref();
        let Some(key) = key::find(table, word) else {
            let advice = advice(table, word);
            self.complain(name, format!("unknown key `{}` in [{table}]: {advice}", shown(word)));
            return;
        };
        let given = match value.get_ref() {
            DeValue::String(text) => Given::Text(text),
            DeValue::Integer(number) if number.radix() == 10 => Given::Number(number.as_str()),
            _ => Given::Other,
        };
        let place =
            Place { path: self.path.to_owned(), line: line_of(self.text, name.span().start) };
        match (key.take)(self.settings, given, place) {
            Ok(()) => {}
            Err(Wrong::Kind) => {
                let kind = kind(value);
                self.complain(value, format!("{} must be {}, not a {kind}", key.path(), key.legal));
            }
            Err(Wrong::Rule(rule)) => {
                let value_shown = match given {
                    Given::Text(text) => format!("\"{}\"", shown(text)),
                    Given::Number(text) => shown(text),
                    Given::Other => String::new(),
                };
                self.complain(value, format!("{} = {value_shown}: {rule}", key.path()));
            }
        }
    }
}

/// What kind of thing a value is.
fn kind(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "number",
        DeValue::Float(_) => "number with a fraction",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "list",
        DeValue::Table(_) => "table",
    }
}

/// What somebody wrote, made fit for a line.
fn shown(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

/// What was meant, most likely, by a name that is none; else what there is.
fn advice(table: &str, word: &str) -> String {
    let likeness = |name: &str| strsim::damerau_levenshtein(&word.to_lowercase(), name);
    let near = |distance: usize| distance <= 1 + word.chars().count() / 4;
    // A key of this table is meant sooner than one of another.
    let cost = |key: &Key| {
        let own = key.name.0 == table;
        let (name, path) = (likeness(key.name.1), likeness(&key.path()));
        (name.min(path), !own)
    };
    let tables =
        KEYS.iter().map(|key| key.name.0).filter(|name| table.is_empty() && near(likeness(name)));
    if let Some(name) = tables.min_by_key(|name| likeness(name)) {
        return format!("did you mean [{name}]?");
    }
    match KEYS.iter().min_by_key(|key| cost(key)) {
        Some(key) if near(cost(key).0) && key.name.0 == table => {
            format!("did you mean `{}`?", key.name.1)
        }
        Some(key) if near(cost(key).0) => {
            format!("did you mean `{}` in [{}]?", key.name.1, key.name.0)
        }
        _ => {
            let here = |key: &&Key| table.is_empty() || key.name.0 == table;
            let known: Vec<_> = KEYS
                .iter()
                .filter(here)
                .map(|key| if table.is_empty() { key.path() } else { key.name.1.to_owned() })
                .collect();
            format!("there are {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let found = read(Path::new("/c.toml"), text, &mut Settings::default());
        found.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        let text = "\
[vm]
memroy = \"1G\"
cpus = \"2\"
disk = \"1.5G\"
image = 7

[timeouts]
boot = -1
stop = true
halt = 1
colour = \"always\"

[vmm]
cpus = 65
";
        insta::assert_snapshot!(problems(text));
    }

    #[test]
    fn a_key_outside_its_table_is_led_into_it() {
        insta::assert_snapshot!(problems("memory = \"1G\"\nvm = 3\n[timeouts]\ncpus = 1\n[x]\n"));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let said = problems("[vm]\ncpus = 2\nmemory = 1G\n");
        assert!(said.starts_with("/c.toml:3: this is no TOML: "), "{said}");
        assert!(problems("[vm]\ncpus = 2\ncpus = 3\n").starts_with("/c.toml:3: "));
        assert!(problems("[vm\n").starts_with("/c.toml:1: "));
    }

    #[test]
    fn every_number_is_checked() {
        for text in ["cpus = 0", "cpus = 65", "memory = 0", "memory = \"17T\"", "disk = \"1K\""] {
            let said = problems(&format!("[vm]\r\n{text}\r\n"));
            assert!(
                said.starts_with("/c.toml:2: vm.") && said.contains(": use "),
                "{text}: {said}"
            );
        }
        assert!(problems("timeouts.boot = \"0s\"").contains("use at least 1s"));
        assert!(problems("vm.ttl = 0").contains("vm.ttl = 0: use "));
        assert_eq!(problems("vm.ttl = \"never\""), "");
        assert_eq!(problems("timeouts.stop = 0"), "", "it kills at once");
        assert!(problems("[vm]\ncpus = 0x2\n").contains("must be a whole number"));
    }

    #[test]
    fn a_later_file_counts_more() {
        let mut settings = Settings::default();
        assert_eq!(read(Path::new("/a"), "[vm]\ncpus = 1\ndisk = \"1G\"", &mut settings), []);
        assert_eq!(read(Path::new("/b"), "vm.cpus = 3\n", &mut settings), []);
        assert_eq!(settings.cpus().get(), 3);
        assert_eq!(settings.disk().get(), 1024);
        assert_eq!(settings.cpus.unwrap().place, Place { path: "/b".into(), line: 1 });
    }

    #[test]
    fn text_that_would_steer_a_terminal_is_escaped() {
        let said = problems("[\"\\u001b[2J\"]\nx = 1\n");
        assert!(!said.contains('\u{1b}') && said.contains("\\u{1b}"), "{said}");
    }
}
