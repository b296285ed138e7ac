//! What polkit answers for this process, asked by itself: nobody is prompted, nothing is logged,
//! and no daemon of ours is started.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use banger_proto::roothelper::Answer;
use futures_util::future::join_all;

use super::super::super::facts::Polkit;
use super::super::programs;
use crate::spawn::{Finder, PKCHECK};

const ACTIONS: [&str; 4] = [
    "dev.banger.roothelper.manage-snapshots",
    "dev.banger.roothelper.edit-files",
    "dev.banger.roothelper.discard-overlays",
    "dev.banger.roothelper.manage-network",
];
/// Where polkit reads rules: of files of one name the first comes first.
const FOLDERS: [&str; 4] = [
    "/etc/polkit-1/rules.d",
    "/run/polkit-1/rules.d",
    "/usr/local/share/polkit-1/rules.d",
    "/usr/share/polkit-1/rules.d",
];
/// Our own rules.
const OWN: &str = "/usr/share/polkit-1/rules.d/dev.banger.roothelper.rules";
/// What a rule has in it that is about us.
const ABOUT_US: [&str; 2] = ["dev.banger", "\"banger\""];

/// An answer an action.
pub(super) async fn answers(finder: &Finder) -> Vec<(String, Result<Answer, String>)> {
    let me = std::process::id().to_string();
    join_all(ACTIONS.iter().map(|action| {
        let me = &me;
        async move {
            let question = ["--action-id", action, "--process", me];
            // polkit 122 now and then forgets a question, and knows when it is asked anew.
            let mut ended = programs::ended(finder, &PKCHECK, &question).await;
            if ended.is_err() {
                ended = programs::ended(finder, &PKCHECK, &question).await;
            }
            let answer = ended.and_then(|output| match output.status.code() {
                Some(0) => Ok(Answer::Yes),
                Some(1) => Ok(Answer::No),
                Some(2 | 3) => Ok(Answer::Challenge),
                _ => Err(programs::complaint(&output)),
            });
            ((*action).to_owned(), answer)
        }
    }))
    .await
}

/// The answers, with what this user can see of the rules that they come from.
pub(super) fn with_rules(answers: Vec<(String, Result<Answer, String>)>) -> Polkit {
    let mut polkit = Polkit { answers, ..Polkit::default() };
    let mut files: Vec<(OsString, usize, PathBuf)> = Vec::new();
    for (rank, folder) in FOLDERS.iter().enumerate() {
        match fs::read_dir(folder) {
            Ok(entries) => files.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.path().extension().is_some_and(|end| end == "rules"))
                    .map(|entry| (entry.file_name(), rank, entry.path())),
            ),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                polkit.closed.push(folder.into());
            }
            Err(_) => {}
        }
    }
    let own = PathBuf::from(OWN);
    let place = |path: &PathBuf, rank| (path.file_name().map(OsString::from), rank);
    files.sort();
    for (_, rank, path) in files {
        let about_us = fs::read_to_string(&path)
            .is_ok_and(|text| ABOUT_US.iter().any(|word| text.contains(word)));
        if path == own || !about_us {
            continue;
        }
        if place(&path, rank) < place(&own, FOLDERS.len() - 1) {
            polkit.before.push(path);
        } else {
            polkit.behind.push(path);
        }
    }
    polkit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polkit_is_asked_for_every_action_that_there_is() {
        let policy = include_str!("../../../../../packaging/polkit/dev.banger.roothelper.policy");
        let known: Vec<_> = policy
            .lines()
            .filter_map(|line| line.trim().strip_prefix("<action id=\"")?.strip_suffix("\">"))
            .collect();
        assert_eq!(known, ACTIONS);
    }
}
