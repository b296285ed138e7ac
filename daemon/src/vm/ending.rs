//! What became of a VM whose VMM ended without having been asked to.

use crate::store::Phase;
use crate::vmm::{Files, console};

/// Lines of the console that are looked at.
const LINES: usize = 5;

/// The phase that follows, from what the guest and the VMM said last.
pub(crate) fn of(files: &Files, was_stopping: bool) -> Phase {
    phase(&console::tail(files, LINES), &console::tail_of(&files.vmm_log(), 2), was_stopping)
}

/// The guest wrote its console, so it decides no more than what is said of itself.
fn phase(console: &str, log: &str, was_stopping: bool) -> Phase {
    // What Linux says last, even when it is told to be quiet.
    let over = |words: &[&str]| words.iter().any(|word| console.contains(word));
    if over(&["Kernel panic"]) {
        Phase::Failed { reason: "the guest's kernel panicked".into() }
    } else if was_stopping || over(&["reboot: Power down", "reboot: System halted"]) {
        Phase::Stopped { reason: "the guest shut itself down".into() }
    } else if over(&["reboot: Restarting system"]) {
        Phase::Stopped { reason: "the guest restarted itself, which ends it".into() }
    } else if log.is_empty() {
        Phase::Failed { reason: "the VMM ended without a word: it was killed, perhaps".into() }
    } else {
        Phase::Failed { reason: format!("the VMM ended: {}", log.replace('\n', "; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_told_from_the_last_words() {
        let told = |console: &str, log: &str, was_stopping| {
            let phase = phase(console, log, was_stopping);
            format!("{}: {}", phase.state(), phase.reason())
        };
        let down = "[   12.3] reboot: Power down";
        assert_eq!(told(down, "", false), "stopped: the guest shut itself down");
        assert_eq!(told("login:", "", true), "stopped: the guest shut itself down");
        assert!(
            told("reboot: Restarting system", "", false).starts_with("stopped: the guest rest")
        );
        assert!(told("Kernel panic - not syncing", "", true).starts_with("failed: the guest's"));
        assert!(told("login:", "", false).contains("killed, perhaps"));
        assert_eq!(told("login:", "a\nb", false), "failed: the VMM ended: a; b");
    }
}
