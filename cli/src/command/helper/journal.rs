//! The system's journal, as far as this user may read it.

use std::fs::{File, read_dir};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{Code, Refusal};
use tokio::process::Command;

use super::Entry;

/// How long it may take: a journal of many gigabytes on a slow disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where it is kept, and where until there is a disk for it.
const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
/// What only journald itself writes: nobody else's entries are taken for the helper's.
const TRUSTED: [&str; 2] = ["_SYSTEMD_UNIT=banger-roothelper.service", "_UID=0"];
const FIELDS: &str = "BANGER_DECISION,BANGER_VERB,BANGER_VM,BANGER_PID,BANGER_ACTION,BANGER_REASON,\
                      BANGER_SAID,BANGER_DURATION_USEC,BANGER_SUPPRESSED";

/// The helper's last entries about this user, oldest first.
pub(super) async fn entries(uid: u32, lines: u32) -> Result<Vec<Entry>, Refusal> {
    let (of_user, lines) = (format!("BANGER_UID={uid}"), format!("--lines={lines}"));
    let asked = ask(&["--output=json", "--output-fields", FIELDS, &lines], &of_user).await;
    let entries = asked.map(|said| said.lines().filter_map(Entry::read).collect::<Vec<_>>());
    // Who may not read it is shown an empty one, or told in journald's words.
    let closed = match (&entries, is_readable(FOLDERS.map(Path::new))) {
        (_, Some(readable)) => !readable,
        (entries, None) => entries.is_ok(),
    };
    if closed && !entries.as_ref().is_ok_and(|entries| !entries.is_empty()) {
        let what = "the system's journal, where the root helper's log is, may not be read by you";
        return Err(Refusal::new(Code::FailedPrecondition, what).hint(format!(
            "sudo journalctl -u banger-roothelper {of_user}; or for good: \
             sudo usermod -aG systemd-journal \"$USER\", then log in anew"
        )));
    }
    entries
}

async fn ask(options: &[&str], of_user: &str) -> Result<String, Refusal> {
    let failed = |error: &dyn std::error::Error| Refusal {
        chain: vec![error.to_string()],
        ..Refusal::new(Code::FailedPrecondition, "the system's journal cannot be asked")
            .hint("journalctl --system says more; without systemd there is no root helper")
    };
    let child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--system"])
        .args(options)
        .args(TRUSTED)
        .arg(of_user)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    // Without a journal it fails, and says so.
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(&io::Error::other(said)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a system's journal in one of these folders can be opened; `None` where none is seen.
fn is_readable<const N: usize>(folders: [&Path; N]) -> Option<bool> {
    let machines = folders.into_iter().filter_map(|folder| read_dir(folder).ok()).flatten();
    let journals = machines.flatten().map(|machine| machine.path().join("system.journal"));
    let opened = journals.filter_map(|journal| match File::open(journal) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(false),
    });
    opened.reduce(|one, other| one || other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_can_be_opened_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        let ask = || is_readable([&nowhere, folder.path()]);
        assert_eq!(ask(), None);
        let machine = folder.path().join("0123456789abcdef");
        std::fs::create_dir(&machine).unwrap();
        std::fs::write(machine.join("user-1000.journal"), "").unwrap();
        assert_eq!(ask(), None, "a user's own is not the system's");
        // What cannot be opened, to root neither.
        let journal = machine.join("system.journal");
        std::os::unix::fs::symlink(&journal, &journal).unwrap();
        assert_eq!(ask(), Some(false));
        std::fs::remove_file(&journal).unwrap();
        std::fs::write(journal, "").unwrap();
        assert_eq!(ask(), Some(true));
    }
}
