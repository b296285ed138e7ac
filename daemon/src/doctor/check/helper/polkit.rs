//! What polkit answers for this user, and by which rule, as far as that can be known.

use std::path::PathBuf;

use banger_proto::Check;
use banger_proto::roothelper::Answer;

use super::super::super::facts::{FileState, Helper, Membership, Polkit};
use super::super::ok;
use super::{GROUP, INSTALL, lacking};

const NAME: &str = "polkit";
/// Finds every rule that is about us, where only root can look.
const FIND: &str =
    "sudo grep -rlE 'dev\\.banger|\"banger\"' /etc/polkit-1/rules.d /usr/share/polkit-1/rules.d";

pub(super) fn check(helper: &Helper) -> Check {
    let why = "it decides each time, and there is nobody whom bangerd could ask for a password";
    let lacks = |found: String, steps: &[&str]| {
        lacking(helper, NAME, why, found).remedy(steps.iter().copied())
    };
    let Polkit { answers, .. } = &helper.polkit;
    if let Some((action, trouble)) =
        answers.iter().find_map(|(action, answer)| Some((action, answer.as_ref().err()?)))
    {
        if trouble.contains("is not registered") {
            return lacks(format!("it does not know {}", short(action)), &[INSTALL]);
        }
        return lacks(
            format!("it does not answer: {}", trouble.replace('\n', " ")),
            &[
                "systemctl status polkit.service dbus.socket",
                "sudo systemctl restart polkit.service",
            ],
        );
    }
    // The actions with another answer than yes, by answer.
    let with = |wanted: Answer| {
        let rows = answers.iter().filter(|(_, answer)| *answer == Ok(wanted));
        rows.map(|(action, _)| short(action)).collect::<Vec<_>>()
    };
    let (refused, asked) = (with(Answer::No), with(Answer::Challenge));
    if !refused.is_empty() {
        let whose = by(&helper.polkit);
        return lacks(format!("a rule says no to {}{whose}", all(&refused, answers)), &[FIND]);
    }
    if !asked.is_empty() {
        let found = format!("it asks for an administrator's password: {}", all(&asked, answers));
        let Membership { joined, here, .. } = helper.membership;
        if !(joined || here) {
            let found = format!("{found}; its rule answers for the group `banger` alone");
            return lacks(found, &["# join the group: see above"]);
        }
        return match own_rules(helper) {
            FileState::Missing | FileState::Off => {
                lacks(format!("{found}; banger's rule for the group is missing"), &[INSTALL])
            }
            _ => lacks(
                format!("{found}, though you are in the group{}", by(&helper.polkit)),
                &[FIND, INSTALL],
            ),
        };
    }
    ok((GROUP, NAME), why, format!("yes, without a password{}", rule(helper)))
}

fn short(action: &str) -> String {
    action.rsplit('.').next().unwrap_or(action).to_owned()
}

/// Some actions; none by name when it is all of them.
fn all<T>(some: &[String], answers: &[T]) -> String {
    if some.len() == answers.len() { "everything".to_owned() } else { some.join(", ") }
}

fn own_rules(helper: &Helper) -> FileState {
    let own = helper.files.iter().find(|file| file.path.ends_with("dev.banger.roothelper.rules"));
    own.map_or(FileState::Missing, |file| file.state)
}

/// Which rule says yes, as far as that can be seen.
fn rule(helper: &Helper) -> String {
    let Membership { joined, here, .. } = helper.membership;
    let own = matches!(own_rules(helper), FileState::Same | FileState::Differs | FileState::Unseen);
    let closed =
        if helper.polkit.closed.is_empty() { "" } else { ", or one that only root can read" };
    match helper.polkit.before.as_slice() {
        [] if own && (joined || here) => {
            format!(": by banger's rule for its group{closed}")
        }
        [] => match helper.polkit.behind.as_slice() {
            [] => format!(": not by banger's own rule{closed}"),
            behind => format!(": by {}{closed}", paths(behind)),
        },
        before => format!(": by {}, which is asked before banger's own{closed}", paths(before)),
    }
}

/// The rules of others that could have answered, as far as they can be seen.
fn by(polkit: &Polkit) -> String {
    match polkit.before.as_slice() {
        [] if polkit.closed.is_empty() => String::new(),
        [] => " (only root can read which)".to_owned(),
        before => format!(" ({})", paths(before)),
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
