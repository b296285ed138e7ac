//! What a command finds in the guest: its environment and the folder that it begins in.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::quote::word;

/// The environment and the folder of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Variables beside those of a login, in their order; their names are identifiers.
    pub(crate) variables: Vec<(String, OsString)>,
    /// Where it begins; relative to root's home.
    pub(crate) folder: Option<OsString>,
}

/// Where variables wait for the command, and under which names.
const WAITING: &str = "/run/.banger-env-";

impl Setting {
    /// Whether it asks for anything.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The script that sets the variables. It travels beside the command line: that is for
    /// everybody on the host and in the guest to see as long as the command runs.
    pub(super) fn script(&self) -> Option<Vec<u8>> {
        let mut script = Vec::new();
        for (name, value) in &self.variables {
            script.extend_from_slice(format!("export {name}=").as_bytes());
            word(value, &mut script);
            script.extend_from_slice(b" || return 125\n");
        }
        (!script.is_empty()).then_some(script)
    }

    /// The shell's line before the command; the script is in `file` then.
    pub(super) fn prelude(&self, file: Option<&str>) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(file) = file {
            // Taken away first: its PATH may not lead to rm.
            let read = format!("exec 9<{file}; rm -f {file}; . /proc/self/fd/9 || exit 125; ");
            line.extend_from_slice(read.as_bytes());
            line.extend_from_slice(b"exec 9<&-; ");
        }
        if let Some(folder) = &self.folder {
            // Without CDPATH, and without - for the folder before.
            let path = if folder.as_bytes().starts_with(b"/") {
                folder.clone()
            } else {
                Path::new(".").join(folder).into_os_string()
            };
            line.extend_from_slice(b"cd -- ");
            word(&path, &mut line);
            line.extend_from_slice(b" || { echo 'error: the command was not run: the guest has no such folder to begin in' >&2; exit 125; }; ");
        }
        line
    }
}

/// A name for the file of one command's variables.
pub(super) fn file(id: banger_proto::VmId) -> String {
    format!("{WAITING}{id}")
}

/// The line that takes the script in, from standard input.
pub(super) fn receiver(file: &str) -> OsString {
    format!("umask 077; cat >{file}").into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::ffi::OsStringExt;
    use std::process::{Command, Output};

    use proptest::prelude::*;

    use super::super::quote::command_line;
    use super::*;

    /// Runs `command` in a shell as the guest does; its file is in `folder`.
    fn run(shell: &str, setting: &Setting, command: &[&str]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("waiting").into_os_string().into_string().unwrap();
        let script = setting.script();
        if let Some(script) = &script {
            std::fs::File::create(&file).unwrap().write_all(script).unwrap();
        }
        let prelude = setting.prelude(script.is_some().then_some(file.as_str()));
        let command: Vec<_> = command.iter().map(OsString::from).collect();
        let output = Command::new(shell)
            .arg("-c")
            .arg(command_line(&prelude, &command))
            .current_dir("/usr")
            .env("LC_ALL", "C")
            .env("SHELL", "/bin/echo")
            .output()
            .unwrap();
        assert!(!std::fs::exists(&file).unwrap(), "the file stays");
        output
    }

    fn variables(pairs: &[(&str, &str)]) -> Setting {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.into()));
        Setting { variables: variables.collect(), folder: None }
    }

    #[test]
    fn variables_that_shells_live_by_do_no_harm() {
        let setting = variables(&[
            ("PATH", "/nowhere"),
            ("IFS", "0123456789"),
            ("A", "it's $HOME `id` \\ \n \"x\""),
            ("A_", ""),
            ("A", "the last wins"),
        ]);
        for shell in ["sh", "bash"] {
            let output = run(shell, &setting, &["/usr/bin/env"]);
            let text = String::from_utf8(output.stdout).unwrap();
            for line in ["PATH=/nowhere", "IFS=0123456789", "A_=", "A=the last wins"] {
                assert!(text.lines().any(|told| told == line), "{shell}: {line} in {text}");
            }
            let output = run(shell, &setting, &["/bin/sh", "-c", "exit 17"]);
            assert_eq!(output.status.code(), Some(17), "{shell}");
        }
    }

    #[test]
    fn what_a_shell_refuses_to_change_is_told_before_the_command_runs() {
        let output = run("bash", &variables(&[("UID", "7")]), &["echo", "ran"]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
        assert!(String::from_utf8_lossy(&output.stderr).contains("UID"));
    }

    #[test]
    fn a_folder_is_entered_or_nothing_is_run() {
        for shell in ["sh", "bash"] {
            let folder = |path: &str| Setting { folder: Some(path.into()), ..Setting::default() };
            for (path, pwd) in [("/etc", "/etc\n"), ("bin", "/usr/bin\n"), ("..", "/\n")] {
                assert_eq!(run(shell, &folder(path), &["pwd"]).stdout, pwd.as_bytes(), "{path}");
            }
            for path in ["/no where", "-", "~", "-P"] {
                let output = run(shell, &folder(path), &["echo", "ran"]);
                assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(said.contains("no such folder"), "{said}");
            }
        }
    }

    #[test]
    fn without_a_command_there_is_a_login_shell() {
        let setting = Setting { folder: Some("/".into()), ..Setting::default() };
        assert_eq!(run("sh", &setting, &[]).stdout, b"-l\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_value_arrives_as_given(value in prop::collection::vec(1_u8..=255, 0..60)) {
            let value = OsString::from_vec(value);
            let setting = Setting { variables: vec![("X".into(), value.clone())], folder: None };
            let output = run("sh", &setting, &["/usr/bin/env", "-0"]);
            let wanted = [b"X=", value.as_bytes()].concat();
            prop_assert!(output.stdout.split(|&byte| byte == 0).any(|entry| entry == wanted));
        }
    }
}
