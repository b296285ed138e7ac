//! What banger itself keeps: configuration, records, images, leftovers.

use banger_proto::Check;

use super::super::facts::Facts;
use super::{failed, ok, warning};
use crate::figure;

const GROUP: &str = "state";

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    let mut checks = configuration(facts);
    checks.extend(records(facts));
    checks.extend(images(facts));
    checks.push(leftovers(facts));
    checks
}

fn configuration(facts: &Facts) -> Vec<Check> {
    let name = (GROUP, "config");
    let why = "with a mistake in it nothing is created or started";
    let config = &facts.config;
    if config.problems.is_empty() {
        let found = match config.files.as_slice() {
            [] => "none: the defaults count".to_owned(),
            files => files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        return vec![ok(name, why, found)];
    }
    let told = config.problems.iter().map(|problem| {
        let line = problem.line.map_or(String::new(), |line| format!("+{line} "));
        let own = problem.path.starts_with("/etc");
        let sudo = if own { "sudo " } else { "" };
        failed(name, why, problem.to_string())
            .remedy([format!("{sudo}${{EDITOR:-vi}} {line}{}", problem.path.display())])
    });
    told.collect()
}

fn records(facts: &Facts) -> Vec<Check> {
    let name = (GROUP, "records");
    let why = "a VM whose record cannot be read cannot be used";
    let mut checks: Vec<_> = facts
        .records
        .broken
        .iter()
        .map(|broken| {
            failed(name, why, broken.clone()).remedy([
                "# written by a newer banger: use that one again",
                "# else put the record back from a backup, or remove the VM's folder",
            ])
        })
        .collect();
    if checks.is_empty() {
        let found = match facts.records.whole {
            0 => "there are no VMs yet".to_owned(),
            1 => "of 1 VM, readable".to_owned(),
            count => format!("of {count} VMs, all readable"),
        };
        checks.push(ok(name, why, found));
    }
    checks
}

fn images(facts: &Facts) -> Vec<Check> {
    let name = (GROUP, "images");
    let why = "VMs are made from images, and boot their kernels";
    if facts.images.is_empty() {
        return vec![
            warning(name, why, "there are none yet")
                .remedy(["banger image build debian --debian bookworm"]),
        ];
    }
    let mut checks: Vec<_> = facts
        .images
        .iter()
        .filter(|image| !image.missing.is_empty())
        .map(|image| {
            let missing = image.missing.join(", ");
            failed(name, why, format!("{} is not whole: {missing}", image.name)).remedy([
                format!("banger image rm {}", image.name),
                "# then build or import it again".to_owned(),
            ])
        })
        .collect();
    if checks.is_empty() {
        let names: Vec<_> = facts.images.iter().map(|image| image.name.as_str()).collect();
        checks.push(ok(name, why, format!("whole: {}", names.join(", "))));
    }
    checks
}

fn leftovers(facts: &Facts) -> Check {
    let name = (GROUP, "leftovers");
    let why = "what has no owner takes room and memory for nothing";
    let leftovers = &facts.leftovers;
    // What `gc` would remove is told sooner than what it leaves to its owner.
    let first = leftovers.iter().find(|left| left.removable).or(leftovers.first());
    let Some(first) = first else { return ok(name, why, "none") };
    let bytes: u64 = leftovers.iter().map(|left| left.bytes).sum();
    let found = match leftovers.len() {
        1 => first.words.clone(),
        count => format!("{count}, of {}; {}", figure::bytes(bytes), first.words),
    };
    let steps: &[&str] = if first.removable {
        &["banger gc --dry-run", "banger gc"]
    } else {
        &["banger gc --dry-run", "# it tells what to do about each"]
    };
    warning(name, why, found).remedy(steps.iter().copied())
}
