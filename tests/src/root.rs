//! Root for the oracles: ours, or sudo's when it asks no question.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// How a program is started as root here.
#[derive(Debug, Clone, Copy)]
enum Way {
    AlreadyRoot,
    Sudo,
}

fn way() -> Option<Way> {
    static WAY: OnceLock<Option<Way>> = OnceLock::new();
    *WAY.get_or_init(|| {
        if rustix::process::geteuid().is_root() {
            return Some(Way::AlreadyRoot);
        }
        let answer = Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        answer.is_ok_and(|status| status.success()).then_some(Way::Sudo)
    })
}

/// A command that will run `program` as root; `None` where root is not to be had.
pub fn command(program: &str) -> Option<Command> {
    Some(match way()? {
        Way::AlreadyRoot => Command::new(program),
        Way::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["-n", program]);
            command
        }
    })
}

/// Runs a script as root with `$1`, `$2`, ... set, and gives back what it
/// printed. Panics when the script fails; `None` where root is not to be had.
pub fn script(text: &str, arguments: &[&std::ffi::OsStr]) -> Option<String> {
    let mut command = command("bash")?;
    let output = command
        .args(["-euo", "pipefail", "-c", text, "script"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started");
    assert!(
        output.status.success(),
        "the script failed ({}):\n{text}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// True when `program` can be found, the folders of root's tools included.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).exists())
}
