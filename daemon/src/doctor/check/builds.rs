//! What `image build` needs, and nothing else.

use banger_proto::{Check, Need};

use super::super::facts::{Facts, Program};
use super::{ok, short, warning};

const NAME: (&str, &str) = ("builds", "image build");

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![build(facts)]
}

fn build(facts: &Facts) -> Check {
    let why = "for `banger image build` only; `import` takes any tar";
    let builds = &facts.builds;
    let install = |need| facts.system.distribution.install(need);
    let mut lacks = Vec::new();
    let mut steps = Vec::new();
    match &builds.mmdebstrap {
        Program::Works { .. } => {}
        Program::Missing => {
            lacks.push("no mmdebstrap".to_owned());
            steps.push(install(Need::Mmdebstrap));
        }
        Program::Broken { path, reason } => {
            lacks.push(format!("{} does not run: {reason}", path.display()));
            steps.extend(["# install it anew".to_owned(), install(Need::Mmdebstrap)]);
        }
    }
    if !builds.uidmap {
        lacks.push("no newuidmap".to_owned());
        steps.push(install(Need::Uidmap));
    }
    if !builds.ids {
        lacks.push("no subordinate ids for you in /etc/subuid and /etc/subgid".to_owned());
        let user = &builds.user;
        steps.push(format!(
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        ));
    }
    match (&builds.mmdebstrap, lacks.is_empty()) {
        (Program::Works { version, .. }, true) => {
            ok(NAME, why, format!("mmdebstrap {}, newuidmap, subordinate ids", short(version)))
        }
        _ => warning(NAME, why, lacks.join("; ")).remedy(steps),
    }
}
