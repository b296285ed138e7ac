//! `banger config ...`: what is configured, and who says so.

use std::path::PathBuf;

use banger_proto::{Origin, Setting};
use clap::Subcommand;
use serde::Serialize;

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, table};

/// What can be asked of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting with the value that counts
    Show(Show),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Files are read anew for every command that needs them. Fails with the file \
and the line when one has a mistake."
)]
pub(crate) struct Show {
    /// Also say where each value comes from: a file and its line, or the default
    #[arg(long)]
    origin: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Show(show) => show.run(terminal).await,
        }
    }
}

/// A setting as scripts see it; fields are added and never change their meaning.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Setting"))]
pub(crate) struct Json<'a> {
    /// As in `vm.memory`; a list has one setting an entry.
    key: &'a str,
    /// As it would be typed; `null` where it is decided anew each time.
    value: Option<&'a str>,
    /// How the value was found, for people; empty when there is nothing to say.
    note: &'a str,
    /// `file`, `default` or `computed`.
    origin: &'static str,
    file: Option<String>,
    line: Option<u32>,
}

impl<'a> From<&'a Setting> for Json<'a> {
    fn from(setting: &'a Setting) -> Self {
        let (origin, file, line) = match &setting.origin {
            Origin::File { path, line } => ("file", Some(path.display().to_string()), Some(*line)),
            Origin::Default => ("default", None, None),
            Origin::Computed => ("computed", None, None),
        };
        Self {
            key: &setting.key,
            value: setting.value.as_deref(),
            note: &setting.note,
            origin,
            file,
            line,
        }
    }
}

fn row(setting: &Setting, origin: bool) -> Vec<String> {
    let note = match (&setting.value, setting.note.as_str()) {
        (None, note) => note.to_owned(),
        (Some(_), "") => String::new(),
        (Some(_), note) => format!(": {note}"),
    };
    let (value, note) = match &setting.value {
        Some(value) => (value.clone(), note),
        None => (note, String::new()),
    };
    let mut row = vec![setting.key.clone(), value];
    if origin {
        row.push(match &setting.origin {
            Origin::File { path, line } => format!("{}:{line}", path.display()),
            Origin::Default => format!("default{note}"),
            Origin::Computed => format!("computed{note}"),
        });
    }
    row
}

fn text(settings: &[Setting], origin: bool) -> String {
    let heading: &[&str] = if origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] };
    table(heading, settings.iter().map(|setting| row(setting, origin)).collect())
}

impl Show {
    async fn run(self, terminal: Terminal) -> Outcome {
        let (settings, files) = bangerd::connect(terminal).await?.show_config().await?;
        if self.json {
            terminal.json(&settings.iter().map(Json::from).collect::<Vec<_>>())?;
            return Ok(0);
        }
        terminal.result(&text(&settings, self.origin))?;
        if self.origin {
            let shown = |file: &PathBuf| file.display().to_string();
            let files: Vec<_> = files.iter().map(shown).collect();
            terminal.note(&format!("read when there: {}", files.join(", ")));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<Setting> {
        let setting = |key: &str, value: Option<&str>, note: &str, origin| Setting {
            key: key.into(),
            value: value.map(str::to_owned),
            note: note.into(),
            origin,
        };
        let file = Origin::File { path: "/etc/banger/10.toml".into(), line: 3 };
        vec![
            setting("vm.image", None, "the only image there is", Origin::Default),
            setting("vm.cpus", Some("2"), "2 where the host has 2", Origin::Computed),
            setting("vm.memory", Some("2G"), "", file),
            setting("vm.disk", Some("8G"), "", Origin::Default),
        ]
    }

    #[test]
    fn values_and_where_they_come_from() {
        insta::assert_snapshot!(text(&settings(), false));
        insta::assert_snapshot!(text(&settings(), true));
    }

    #[test]
    fn scripts_get_the_same() {
        let settings = settings();
        let rows: Vec<_> = settings.iter().map(Json::from).collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows).unwrap());
    }
}
