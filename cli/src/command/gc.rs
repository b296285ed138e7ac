//! `banger gc`: what has no owner any more.

use std::fmt::Write;

use banger_proto::{Garbage, GarbageFate, GarbagePlace};
use serde::Serialize;

use super::FAILED;
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, age, bytes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What a daemon that was killed left half made, folders of VMs without a record, processes that run
for VMs that are gone. What is not surely nobody's is told and left alone.")]
pub(crate) struct Arguments {
    /// Only say what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also what guests wrote whose VMs are not known here, where the root helper keeps it
    #[arg(long)]
    overlays: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Garbage as JSON. Names and units are a promise to scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Garbage"))]
pub(crate) struct Json<'a> {
    /// What it is, in a few words.
    kind: &'a str,
    /// `null` for a process, and for what the root helper made.
    path: Option<String>,
    /// `null` for what is no process.
    pid: Option<u32>,
    /// Name of what the root helper made; `null` for all else.
    object: Option<&'a str>,
    bytes: u64,
    /// Seconds since the epoch: when it was last changed, or began to run.
    changed_at: i64,
    reason: &'a str,
    /// `removable`, `removed`, `stays` or `left alone`.
    fate: &'static str,
    /// Why it stays, where its removal failed.
    failure: Option<&'a str>,
}

impl<'a> From<&'a Garbage> for Json<'a> {
    fn from(garbage: &'a Garbage) -> Self {
        let (path, pid, object) = match &garbage.place {
            GarbagePlace::Path(path) => (Some(path.to_string_lossy().into_owned()), None, None),
            GarbagePlace::Process(pid) => (None, Some(*pid), None),
            GarbagePlace::Object(name) => (None, None, Some(name.as_str())),
        };
        let failure = match &garbage.fate {
            GarbageFate::Stays(why) => Some(why.as_str()),
            _ => None,
        };
        Self {
            kind: &garbage.kind,
            path,
            pid,
            object,
            bytes: garbage.bytes,
            changed_at: garbage.since,
            reason: &garbage.reason,
            fate: garbage.fate.as_str(),
            failure,
        }
    }
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let garbage =
            bangerd::connect(terminal).await?.collect_garbage(self.dry_run, self.overlays).await?;
        if self.json {
            terminal.json(&garbage.iter().map(Json::from).collect::<Vec<_>>())?;
        } else if !garbage.is_empty() {
            terminal.result(&list(&garbage))?;
        }
        terminal.note(&summary(&garbage, self.dry_run));
        let failed = garbage.iter().any(|found| matches!(found.fate, GarbageFate::Stays(_)));
        Ok(if failed { FAILED } else { 0 })
    }
}

/// Three lines each: what it is, where, and why.
fn list(garbage: &[Garbage]) -> String {
    let mut text = String::new();
    for found in garbage {
        let place = match &found.place {
            GarbagePlace::Path(path) => path.display().to_string(),
            GarbagePlace::Process(pid) => format!("process {pid}"),
            GarbagePlace::Object(name) => name.clone(),
        };
        let size = match found.bytes {
            0 => String::new(),
            count => format!(", {}", bytes(count)),
        };
        let reason = match &found.fate {
            GarbageFate::Stays(why) => format!("{}; it stays: {why}", found.reason),
            _ => found.reason.clone(),
        };
        // Writing to a String cannot fail.
        let _never_fails = writeln!(
            text,
            "{}: {}{size}, {} old\n  {}\n  {}",
            found.fate.as_str(),
            one_line(&found.kind),
            age(found.since),
            one_line(&place),
            one_line(&reason)
        );
    }
    text
}

/// Names of files are anybody's.
fn one_line(text: &str) -> String {
    crate::terminal::plain_line(text)
}

fn summary(garbage: &[Garbage], dry_run: bool) -> String {
    let wanted = if dry_run { GarbageFate::Removable } else { GarbageFate::Removed };
    let gone: Vec<_> = garbage.iter().filter(|found| found.fate == wanted).collect();
    let size = bytes(gone.iter().map(|found| found.bytes).sum());
    let things = match gone.len() {
        1 => "1 thing".to_owned(),
        count => format!("{count} things"),
    };
    match (gone.is_empty(), dry_run) {
        (true, _) => "there is nothing to remove".to_owned(),
        (false, true) => format!("{things} to remove, {size}: banger gc"),
        (false, false) => format!("removed {things}, {size} are free again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn garbage() -> Vec<Garbage> {
        let found = |kind: &str, place, bytes, reason: &str, fate| Garbage {
            kind: kind.into(),
            place,
            bytes,
            since: i64::MAX,
            reason: reason.into(),
            fate,
        };
        let path = |path: &str| GarbagePlace::Path(path.into());
        vec![
            found(
                "half-made image",
                path("/home/ann/.local/share/banger/images/.new-1"),
                3 << 20,
                "who was making it has ended",
                GarbageFate::Removable,
            ),
            found(
                "process passt",
                GarbagePlace::Process(7),
                0,
                "it runs for a VM that is gone",
                GarbageFate::Removed,
            ),
            found(
                "unknown",
                path("/home/ann/.local/state/banger/vms/a\n\u{1b}[2Jb"),
                1,
                "banger makes no such thing",
                GarbageFate::LeftAlone,
            ),
            found(
                "device of a root filesystem",
                GarbagePlace::Object("banger-u1000-67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
                0,
                "its VM is gone",
                GarbageFate::LeftAlone,
            ),
            found("removed", path("/x"), 2, "it was removed", GarbageFate::Stays("busy".into())),
        ]
    }

    #[test]
    fn garbage_for_people() {
        insta::assert_snapshot!(list(&garbage()));
    }

    #[test]
    fn garbage_for_scripts() {
        let garbage = garbage();
        let json: Vec<_> = garbage.iter().map(Json::from).collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    }

    #[test]
    fn what_was_freed_is_summed_up() {
        let all = garbage();
        assert_eq!(summary(&all, true), "1 thing to remove, 3.0 MiB: banger gc");
        assert_eq!(summary(&all, false), "removed 1 thing, 0 B are free again");
        assert_eq!(summary(&[], false), "there is nothing to remove");
    }
}
