//! `banger vm run`: arguments, streams and exit codes pass through; `--rm` leaves nothing.

use std::io::Write;
use std::process::Stdio;

use crate::image::{self, Image};

#[test]
fn run_passes_arguments_streams_and_the_exit_code_and_cleans_up() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    let awkward = [
        "",
        "a b",
        "it's",
        "\"q\"",
        "$HOME `id` $(id)",
        "back\\slash",
        "new\nline",
        "-n",
        "*",
        "ü",
        "~",
    ];
    let script =
        "cat; for argument in \"$@\"; do printf '<%s>' \"$argument\"; done; echo oops >&2; exit 7";
    let mut child = owner
        .banger(["-q", "vm", "run", "--rm", "--", "sh", "-c", script, "sh"])
        .args(awkward)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"input\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let expected: String = awkward.iter().map(|argument| format!("<{argument}>")).collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("input\n{expected}"), "{stderr}");
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("oops"), "{stderr}");

    // Nothing is left but the daemon and the image.
    assert_eq!(owner.ok(["vm", "ls", "--json"]).trim(), "[]");
    assert_eq!(std::fs::read_dir(owner.state().join("vms")).unwrap().count(), 0);
    assert_eq!(owner.processes().len(), 1, "bangerd alone is left");
}

#[test]
fn a_command_line_that_is_killed_leaves_nothing_of_run_rm() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    let mut child = owner
        .banger(["vm", "run", "--rm", "--name", "held", "--", "sleep", "600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    image::wait_for("the guest to run its command", || {
        owner.run(["vm", "exec", "held", "--", "pgrep", "-x", "sleep"]).status.success()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    image::wait_for("the VM to be removed", || owner.ok(["vm", "ls", "--json"]).trim() == "[]");
    image::wait_for("the VMM to be gone", || {
        // The killed command line's own ssh may take a moment to notice.
        owner.processes().len() == 1
    });
}
