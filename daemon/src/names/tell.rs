//! Tells a guest that runs of the others, over ssh.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{SshSession, SshTarget, ssh_arguments};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Names;

/// The end of each line of a guest's hosts file that is banger's beside its first two.
const MARK: &str = " # banger";
/// The guest's file.
const HOSTS: &str = "/etc/hosts";
/// What puts the lines there.
const SCRIPT: &str = include_str!("tell.sh");
/// How long it may take. A guest under emulation needs seconds for the keys alone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most of what ssh and the guest say that is read, in bytes.
const WORDS: u64 = 2000;

/// Why a guest was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    /// There is no ssh, or it cannot be started.
    #[error("cannot run ssh")]
    Ssh(#[from] io::Error),
    /// It does not answer in time.
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// It answers, and cannot do it.
    #[error("{0}")]
    Failed(String),
}

/// The lines of a guest's hosts file for these, each with its end of line.
pub(crate) fn lines(names: &Names) -> String {
    names.iter().fold(String::new(), |mut lines, (name, address)| {
        // Writing to a text does not fail.
        let _done = writeln!(lines, "{address} {name}{MARK}");
        lines
    })
}

/// What the guest's shell reads. Names and addresses have nothing in them that means something
/// to a shell.
fn script(hosts: &str, names: &Names) -> String {
    format!("hosts='{hosts}'\nnames='{}'\n{SCRIPT}", lines(names).trim_end())
}

/// Writes the names into the guest's hosts file.
///
/// # Errors
/// [`TellError`]: its file is as it was, or as it is to be.
pub(super) async fn tell(ssh: &Path, target: &SshTarget, names: &Names) -> Result<(), TellError> {
    // Whichever login shell root has there.
    let line = Some(OsStr::new("exec /bin/sh"));
    let session = SshSession { line, escapes: false, terminal: false };
    let mut child = Command::new(ssh)
        .args(ssh_arguments(target, session, OsStr::new("/dev/stderr")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let talk = async {
        if let Some(mut stdin) = stdin {
            // Where it ends before it has read all, its own words say why.
            let _cut = stdin.write_all(script(HOSTS, names).as_bytes()).await;
        }
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            // A guest that says more than is read has nobody listening then.
            stderr.take(WORDS).read_to_end(&mut said).await?;
        }
        Ok::<_, io::Error>((child.wait().await?, said))
    };
    let answer = tokio::time::timeout(PATIENCE, talk).await.map_err(|_| TellError::Silent)?;
    let (status, said) = answer?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let said: String = said.trim().chars().filter(|c| !c.is_control()).collect();
    Err(TellError::Failed(if said.is_empty() { status.to_string() } else { said }))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(of: &[(&str, u8)]) -> Names {
        let name =
            |(name, last): &(&str, u8)| (name.parse().unwrap(), Ipv4Addr::new(172, 16, 0, *last));
        of.iter().map(name).collect()
    }

    /// What the script makes of a file in a shell that reads it as a guest's does.
    fn run(hosts: &Path, names: &Names) {
        use std::io::Write;
        for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            let mut child = std::process::Command::new(shell[0])
                .args(&shell[1..])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{shell:?}: {error}"));
            let script = script(hosts.to_str().unwrap(), names);
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{shell:?}");
        }
    }

    #[test]
    fn only_the_lines_of_other_vms_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        let text = || std::fs::read_to_string(&hosts).unwrap();
        std::fs::write(&hosts, "127.0.0.1 localhost\n127.0.1.1 web\n172.16.0.9 old # banger\n")
            .unwrap();
        run(&hosts, &names(&[("db", 7), ("mail", 8)]));
        let ours = "172.16.0.7 db # banger\n172.16.0.8 mail # banger\n";
        assert_eq!(text(), format!("127.0.0.1 localhost\n127.0.1.1 web\n{ours}"));
        assert_eq!(hosts.metadata().unwrap().permissions().mode() & 0o777, 0o644);

        // What somebody added stays, also without an end of line and with a backslash.
        std::fs::write(&hosts, format!("{ours}10.0.0.1  a\\tb # mine")).unwrap();
        run(&hosts, &names(&[("db", 7)]));
        assert_eq!(text(), "10.0.0.1  a\\tb # mine\n172.16.0.7 db # banger\n");
        run(&hosts, &Names::new());
        assert_eq!(text(), "10.0.0.1  a\\tb # mine\n");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_link_stays_a_link_and_a_file_that_is_not_there_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let (hosts, real) = (folder.path().join("hosts"), folder.path().join("real"));
        symlink("real", &hosts).unwrap();
        run(&hosts, &names(&[("db", 7)]));
        assert!(hosts.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(real).unwrap(), "172.16.0.7 db # banger\n");
    }

    fn nowhere() -> SshTarget {
        SshTarget {
            host: "127.0.0.1".into(),
            port: 1,
            user: "root".into(),
            identity_file: "/nowhere".into(),
            known_hosts_file: "/nowhere".into(),
            host_key_alias: banger_proto::VmId::random(),
        }
    }

    #[tokio::test]
    async fn what_ssh_says_is_told() {
        let error = tell(Path::new("ssh"), &nowhere(), &Names::new()).await.unwrap_err();
        assert!(error.to_string().contains("Connection refused"), "{error}");
        let error = tell(Path::new("/nowhere/ssh"), &nowhere(), &Names::new()).await.unwrap_err();
        assert!(matches!(error, TellError::Ssh(_)), "{error}");
    }

    #[tokio::test]
    async fn a_guest_that_never_stops_talking_is_not_listened_to() {
        let folder = tempfile::tempdir().unwrap();
        let talks = folder.path().join("ssh");
        std::fs::write(&talks, "#!/bin/sh\nexec yes >&2\n").unwrap();
        std::fs::set_permissions(&talks, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = tell(&talks, &nowhere(), &Names::new()).await.unwrap_err();
        let TellError::Failed(said) = error else { panic!("{error}") };
        assert!(said.starts_with("yyy") && said.len() < 2000, "{said}");
    }
}
