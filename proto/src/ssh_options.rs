//! The command line of the system's `ssh`: nothing from the user's own configuration, one
//! key, one host key, no way back into the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::SshTarget;

/// What is asked of the guest's sshd.
#[derive(Debug, Clone, Copy)]
pub struct SshSession<'a> {
    /// The line for the guest's shell; none: the login shell.
    pub line: Option<&'a OsStr>,
    /// Whether a person types, for whom `~.` ends a session that hangs.
    pub escapes: bool,
    /// Whether the guest's side gets a terminal.
    pub terminal: bool,
}

/// Options with a fixed value, each with its reason.
const FIXED: &[&str] = &[
    // A key that the file does not hold is another listener on the port.
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "CheckHostIP=no",
    "UpdateHostKeys=no",
    // The VM's key and no other, without a question.
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "BatchMode=yes",
    // The guest gets no way back to the host.
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "Tunnel=no",
    // One connection, one process: its end is the session's.
    "ControlMaster=no",
    "ControlPath=none",
    "ConnectTimeout=15",
    // Errors only, but for the line that tells how the session ended.
    "LogLevel=ERROR",
    "IgnoreUnknown=LogVerbose",
    "LogVerbose=*:client_loop():*",
];

/// A path as the value of an option.
fn path_option(name: &str, path: &Path) -> OsString {
    OsString::from_vec([name.as_bytes(), b"=", &ssh_path_value(path)].concat())
}

/// A path as ssh reads it: it splits values at spaces and replaces `%x`.
#[must_use]
pub fn ssh_path_value(path: &Path) -> Vec<u8> {
    let mut value = b"\"".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' => value.extend_from_slice(b"%%"),
            b'"' | b'\\' => value.extend_from_slice(&[b'\\', byte]),
            other => value.push(other),
        }
    }
    value.push(b'"');
    value
}

/// The arguments of `ssh`; `log` is where it writes its own messages.
#[must_use]
pub fn ssh_arguments(target: &SshTarget, session: SshSession<'_>, log: &OsStr) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["-F".into(), "none".into(), "-E".into(), log.to_owned()];
    let mut option = |value: OsString| line.extend(["-o".into(), value]);
    for fixed in FIXED {
        option(fixed.into());
    }
    option(path_option("UserKnownHostsFile", &target.known_hosts_file));
    option(path_option("IdentityFile", &target.identity_file));
    option(format!("HostKeyAlias={}", target.host_key_alias).into());
    option(format!("User={}", target.user).into());
    if !session.escapes {
        // `~.` at the begin of a line is the command's business.
        option("EscapeChar=none".into());
    }
    // Twice: also when ssh's own idea of its input differs from ours.
    line.push(if session.terminal { "-tt".into() } else { "-T".into() });
    line.extend(["-p".into(), target.port.to_string().into(), "--".into()]);
    line.push(target.host.clone().into());
    line.extend(session.line.map(OsStr::to_owned));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SshTarget {
        SshTarget {
            host: "127.0.0.1".into(),
            port: 40_022,
            user: "root".into(),
            identity_file: "/home/ann/.local/state/banger/vms/x/id".into(),
            known_hosts_file: "/home/ann/a b/100%/known \"hosts\"".into(),
            host_key_alias: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap(),
        }
    }

    fn shown(session: SshSession<'_>) -> String {
        let arguments = ssh_arguments(&target(), session, OsStr::new("/dev/null"));
        arguments.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_whole_line_for_a_command_without_a_terminal() {
        let line = OsStr::new(r#"trap : INT QUIT; 'echo' 'it'\''s' '' ; exit "$?""#);
        let session = SshSession { line: Some(line), escapes: false, terminal: false };
        insta::assert_snapshot!(shown(session));
    }

    #[test]
    fn a_shell_gets_a_terminal_and_keeps_the_escape_character() {
        let line = shown(SshSession { line: None, escapes: true, terminal: true });
        assert!(line.contains("\n-tt\n"), "{line}");
        assert!(!line.contains("EscapeChar"), "{line}");
        assert!(line.ends_with("--\n127.0.0.1"), "{line}");
    }

    /// ssh itself is asked what it understood; it connects to nothing with -G.
    #[test]
    fn ssh_understands_every_option_and_every_path() {
        let line = Some(OsStr::new("true"));
        let session = SshSession { line, escapes: false, terminal: false };
        let output = std::process::Command::new("ssh")
            .arg("-G")
            .args(ssh_arguments(&target(), session, OsStr::new("/dev/null")))
            .output()
            .expect("ssh is installed");
        let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "hostname 127.0.0.1",
            "port 40022",
            "user root",
            "stricthostkeychecking true",
            "identitiesonly yes",
            "identityagent none",
            "forwardagent no",
            "clearallforwardings yes",
            "batchmode yes",
            "hostkeyalias 67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        let hosts = "userknownhostsfile /home/ann/a b/100%/known \"hosts\"";
        assert!(text.lines().any(|l| l == hosts), "{text}");
    }
}
