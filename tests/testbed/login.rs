//! Users log in: over ssh, and at a console, in whose sessions polkit sees somebody who sits there.

use std::fs;
use std::process::Command;

use banger_tests::testbed::inside;

use crate::sh;

/// Makes an ordinary user, where there is none of this name.
pub fn user(name: &str) {
    sh(&format!("id {name} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {name}"));
}

/// What a line of shell prints that a user types over ssh, errors too.
pub fn over_ssh(name: &str, line: &str) -> String {
    let key = format!("/run/key-{name}");
    if !fs::exists(&key).unwrap() {
        sh(&format!(
            "ssh-keygen -q -t ed25519 -N '' -f {key}; mkdir -m 700 ~{name}/.ssh; \
             cp {key}.pub ~{name}/.ssh/authorized_keys; chown -R {name}: ~{name}/.ssh"
        ));
    }
    let options = ["BatchMode=yes", "StrictHostKeyChecking=no", "LogLevel=ERROR"];
    let output = Command::new("ssh")
        .args(["-i", &key])
        .args(options.iter().flat_map(|option| ["-o", option]))
        .arg(format!("{name}@127.0.0.1"))
        .arg(format!("{{ {line}; }} 2>&1"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Whom the seat's screen and keyboard belong to: virtual terminal `number`, beyond the six on
/// which systemd asks who is there.
pub fn switch_to(number: u32) {
    // VT_ACTIVATE and VT_WAITACTIVE.
    sh(&format!(
        "perl -e 'open(my $tty, \"+<\", \"/dev/tty0\") or die $!; \
         ioctl($tty, $_, {number}) or die $! for 0x5606, 0x5607'"
    ));
}

/// The same as [`over_ssh`], on virtual terminal `number`.
pub fn at_console(name: &str, number: u32, line: &str) -> String {
    let said = format!("/run/said-{number}");
    let _old = fs::remove_file(&said);
    let run = Command::new("systemd-run")
        .args(["--quiet", "--wait", "--collect"])
        .args(["--property=PAMName=login", "--property=StandardInput=tty"])
        .arg(format!("--property=User={name}"))
        .arg(format!("--property=TTYPath=/dev/tty{number}"))
        .arg(format!("--property=StandardOutput=file:{said}"))
        .arg(format!("--property=StandardError=file:{said}"))
        // systemd would put its own variables in.
        .args(["bash", "-c", &line.replace('$', "$$")])
        .output()
        .unwrap();
    let said = fs::read_to_string(said).unwrap_or_default();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{line}: {}\n{said}{errors}", run.status);
    said.trim_end().to_owned()
}

const SESSION: &str =
    "loginctl show-session $XDG_SESSION_ID -p Active -p Remote -p Seat -p Service | sort";
/// Who sits at the machine may, everybody else is asked for a password.
const ASK: &str =
    "pkcheck --action-id org.freedesktop.login1.power-off --process $$ || echo status $?";

#[test]
fn a_user_over_ssh_is_remote() {
    inside(|| {
        user("ann");
        assert_eq!(over_ssh("ann", SESSION), "Active=yes\nRemote=yes\nSeat=\nService=sshd");
        let answer = over_ssh("ann", ASK);
        assert!(answer.ends_with("status 2"), "{answer}");
    });
}

#[test]
fn a_user_at_the_console_is_active_until_another_is() {
    inside(|| {
        user("ann");
        switch_to(8);
        let session = "Remote=no\nSeat=seat0\nService=login";
        assert_eq!(at_console("ann", 8, SESSION), format!("Active=yes\n{session}"));
        assert_eq!(at_console("ann", 8, ASK), "");
        switch_to(9);
        assert_eq!(at_console("ann", 8, SESSION), format!("Active=no\n{session}"));
        let answer = at_console("ann", 8, ASK);
        assert!(answer.ends_with("status 2"), "{answer}");
    });
}
