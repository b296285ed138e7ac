//! `banger helper log`: what root decided and did for this user.

use super::Entry;
use super::journal::entries;
use crate::failure::Outcome;
use crate::terminal::{Terminal, moment, table};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every call to the root helper has an entry in the system's journal, whichever way it was decided;
a batch of files has a second one that says how it ended. Reading that journal takes membership of
the group systemd-journal (or adm, or root): without it this says which command shows the log.")]
pub(crate) struct Arguments {
    /// How many entries, the last ones
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lines: u32,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, terminal: Terminal) -> Outcome {
        let uid = rustix::process::getuid().as_raw();
        let entries = entries(uid, self.lines).await?;
        if self.json {
            terminal.json(&entries)?;
        } else if entries.is_empty() {
            terminal.note("the root helper was not asked anything by you");
        } else {
            terminal.result(&text(&entries))?;
        }
        Ok(0)
    }
}

fn text(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        vec![
            moment(entry.logged_at),
            entry.decision.clone(),
            entry.call.clone().unwrap_or_else(|| "connection".into()),
            entry.note(),
            entry.vm_id.clone().unwrap_or_default(),
            entry.took(),
        ]
    };
    table(&["WHEN", "DECISION", "CALL", "WHY", "VM", "TOOK"], entries.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_for_people() {
        let allowed = Entry {
            logged_at: 1_763_731_512,
            decision: "allowed".into(),
            call: Some("WriteExt4Files".into()),
            vm_id: Some("67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
            pid: Some(7),
            action: Some("dev.banger.roothelper.edit-files".into()),
            reason: None,
            said: None,
            duration_us: Some(2_345),
            left_out: 0,
        };
        let refused = Entry {
            decision: "refused".into(),
            call: None,
            vm_id: None,
            // Never so in the helper's log; and all the same it must not reach a terminal.
            reason: Some("too many \u{1b}[2J\nconnections".into()),
            duration_us: None,
            ..allowed.clone()
        };
        let applied = Entry { decision: "applied".into(), ..allowed.clone() };
        insta::assert_snapshot!(text(&[allowed, applied, refused]));
    }
}
