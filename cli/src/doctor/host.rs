//! Has bangerd's program look at the host: it knows what VMs need.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{Check, CheckState};
use tokio::process::Command;

use crate::bangerd;

/// How long the look may take: a busy host needs some seconds, a filesystem that hangs all
/// of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `bangerd doctor` found.
pub(super) async fn look(program: Result<&PathBuf, &Vec<PathBuf>>, quick: bool) -> Vec<Check> {
    let name = ("host", "checks");
    let why = "they tell whether this host has what VMs need";
    let Ok(program) = program else {
        return vec![Check::new(name, why, CheckState::Skipped, "bangerd makes them")];
    };
    if rustix::process::geteuid().is_root() {
        return vec![Check::new(name, why, CheckState::Skipped, "root owns no VMs")];
    }
    match ask(program, quick).await {
        Ok(checks) => checks,
        Err(reason) => {
            let step = format!("{} doctor", program.display());
            vec![Check::new(name, why, CheckState::Failed, reason).remedy([step])]
        }
    }
}

async fn ask(program: &PathBuf, quick: bool) -> Result<Vec<Check>, String> {
    let child = Command::new(program)
        .arg("doctor")
        .args(quick.then_some("--quick"))
        .env_clear()
        .envs(bangerd::environment())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("bangerd cannot be started: {error}"))?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| format!("bangerd looked for {} s without an end", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("bangerd could not look: {}: {last}", output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("bangerd answered something else: {error}"))
}
