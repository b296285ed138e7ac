//! From the beginning to the JSON.

use std::process::ExitCode;

use banger_proto::Check;
use banger_proto::paths::Paths;

use super::{check, gather, proof};
use crate::command;

/// The program's argument that asks for a look.
pub(crate) const ARGUMENT: &str = "doctor";

/// Looks at everything and prints the checks. With `quick` nothing is started that takes
/// long. Fails only when it cannot look at all.
pub(crate) fn run(quick: bool) -> ExitCode {
    let checks = match look(quick) {
        Ok(checks) => checks,
        Err(words) => return command::failed(&words),
    };
    let text = serde_json::to_string(&checks).unwrap_or_default();
    command::say(&format!("{text}\n"))
}

fn look(quick: bool) -> Result<Vec<Check>, String> {
    if rustix::process::geteuid().is_root() {
        return Err("root owns no VMs: ask as the ordinary user whose VMs these are".to_owned());
    }
    let paths = Paths::of_this_process().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let checks = runtime.block_on(async {
        let (facts, host) = gather::all(&paths, quick).await;
        let mut checks = check::all(&facts);
        checks.push(check::proof(&proof::run(host, &paths.state, quick).await, &facts));
        checks
    });
    // A read that hangs, on a filesystem of the network, is not waited for.
    runtime.shutdown_background();
    Ok(checks)
}
