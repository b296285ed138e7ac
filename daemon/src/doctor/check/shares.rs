//! What folders shared with guests need, and nothing else.

use banger_proto::{Check, CheckState, Need};

use super::super::facts::{Facts, Program};
use super::{ok, short, warning};

const NAME: (&str, &str) = ("shares", "shared folders");

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![folders(facts)]
}

fn folders(facts: &Facts) -> Check {
    let why = "for `banger run -v ./src:/src` only; `sync` copies a folder";
    let install = |need| facts.system.distribution.install(need);
    let (path, reason) = match &facts.shares.virtiofsd {
        Program::Works { path, version } => {
            return ok(NAME, why, format!("virtiofsd {} ({})", short(version), path.display()));
        }
        Program::Missing => {
            return warning(NAME, why, "no virtiofsd").remedy([install(Need::Virtiofsd)]);
        }
        Program::Broken { path, reason } => (path, reason),
    };
    if facts.no_walls.is_some() {
        let found = "nothing is shared where bubblewrap does not work";
        return Check::new(NAME, why, CheckState::Skipped, found);
    }
    let found = format!("{} does not run: {}", path.display(), reason.replace('\n', "; "));
    let builds = &facts.builds;
    let mut steps = Vec::new();
    if !builds.uidmap {
        steps.push(install(Need::Uidmap));
    }
    if !builds.ids {
        let user = &builds.user;
        steps.push(format!(
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        ));
    }
    if steps.is_empty() {
        steps.push("# it needs unshare and setpriv of util-linux 2.38 or later".to_owned());
        steps.push(install(Need::Virtiofsd));
    }
    warning(NAME, why, found).remedy(steps)
}
