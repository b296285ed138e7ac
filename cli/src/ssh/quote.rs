//! Arguments for the guest's POSIX shell, so that each arrives exactly as given.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One word of the shell that means `argument` and nothing else. Every word is quoted:
/// what is left bare is a keyword, an assignment or a pattern sooner or later.
pub(crate) fn word(argument: &OsStr, line: &mut Vec<u8>) {
    line.push(b'\'');
    for &byte in argument.as_bytes() {
        if byte == b'\'' {
            line.extend_from_slice(br"'\''");
        } else {
            line.push(byte);
        }
    }
    line.push(b'\'');
}

/// The line for the guest's shell that runs `command` and ends as it did.
///
/// The shell stays beside the command, and outlives a `^C` meant for it: it alone turns a
/// death by signal into the exit code 128 + n. sshd itself would send ssh the name of the
/// signal, of which ssh makes a 255.
///
/// Without a command, the login shell takes the line's place.
pub(crate) fn command_line(prelude: &[u8], command: &[OsString]) -> OsString {
    let mut line = prelude.to_vec();
    if command.is_empty() {
        line.extend_from_slice(br#"exec "${SHELL:-/bin/sh}" -l"#);
        return OsString::from_vec(line);
    }
    line.extend_from_slice(b"trap : INT QUIT; ");
    for argument in command {
        word(argument, &mut line);
        line.push(b' ');
    }
    line.extend_from_slice(br#"; exit "$?""#);
    OsString::from_vec(line)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// What a program gets to see of `arguments` when a real shell reads the line.
    fn through_a_shell(arguments: &[OsString]) -> Vec<OsString> {
        // printf is the program: it writes each argument followed by a NUL.
        let mut command: Vec<OsString> = vec!["/usr/bin/printf".into(), "%s\\0".into()];
        command.extend_from_slice(arguments);
        let output = Command::new("sh")
            .arg("-c")
            .arg(command_line(b"", &command))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut parts: Vec<_> = output
            .stdout
            .split(|&byte| byte == 0)
            .map(|part| OsString::from_vec(part.to_vec()))
            .collect();
        assert_eq!(parts.pop(), Some(OsString::new()), "the last ends with a NUL");
        parts
    }

    #[test]
    fn what_a_shell_would_change_arrives_as_it_was() {
        let arguments: Vec<OsString> = [
            &b""[..],
            b" ",
            b"\n",
            b"a\nb\n",
            b"\t\r\x0b\x0c",
            b"'",
            b"''",
            b"it's",
            b"\"",
            b"\\",
            b"\\'",
            b"$HOME",
            b"$(touch /nowhere/x)",
            b"`id`",
            b"*",
            b"?[a-z]",
            b"~",
            b"~root",
            b"-n",
            b"--",
            b"-",
            b"a=b",
            b"if",
            b"{a,b}",
            b"#comment",
            b"!!",
            b"!1",
            b"&& false",
            b"; exit 3",
            b"| cat",
            b"> /nowhere/x",
            b"%s %d \\0",
            b"\xff\xfe\x80",
            b"\x01\x1b[31m\x7f",
            "ä€😀".as_bytes(),
        ]
        .iter()
        .map(|bytes| OsString::from_vec(bytes.to_vec()))
        .collect();
        for argument in &arguments {
            let alone = std::slice::from_ref(argument);
            assert_eq!(through_a_shell(alone), alone);
        }
        assert_eq!(through_a_shell(&arguments), arguments);
    }

    #[test]
    fn a_command_that_looks_like_something_else_is_run_as_a_command() {
        for name in ["if", "A=b", "!", "{", "-x", ""] {
            let status = Command::new("sh")
                .arg("-c")
                .arg(command_line(b"", &[name.into()]))
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(127), "{name:?} is not found, and nothing else");
        }
    }

    #[test]
    fn the_commands_end_is_the_shells() {
        for (script, code) in [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -KILL $$", 137),
            ("kill -TERM $$", 143),
            ("kill -INT $$", 130),
        ] {
            let line = command_line(b"", &["sh".into(), "-c".into(), script.into()]);
            for shell in ["sh", "bash"] {
                let status = Command::new(shell)
                    .arg("-c")
                    .arg(&line)
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
                assert_eq!(status.code(), Some(code), "{shell}: {script}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_arguments_arrive_as_given(
            arguments in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..40), 1..8)
        ) {
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from_vec).collect();
            prop_assert_eq!(through_a_shell(&arguments), arguments);
        }
    }
}
