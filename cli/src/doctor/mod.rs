//! `banger doctor`: what this program sees of bangerd and of its surroundings, and then
//! what `bangerd doctor` sees of the host. It needs no daemon that runs.

mod facts;
mod host;
mod judge;

use banger_proto::{Check, CheckState};

use crate::terminal::Terminal;

/// Looks at everything. With `quick` no guest is started, and no daemon.
pub(crate) async fn look(terminal: Terminal, quick: bool) -> Vec<Check> {
    let mut facts = facts::gather().await;
    let host = host::look(facts.program.as_ref(), quick).await;
    // Last: a daemon clears up when it starts, and what it clears up was to be seen.
    if !quick {
        facts.start(terminal).await;
    }
    let mut checks = judge::checks(&facts);
    checks.extend(host);
    checks
}

/// Whether VMs run: nothing failed.
pub(crate) fn is_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != CheckState::Failed)
}
