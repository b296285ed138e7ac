//! The scope that VMs have their cgroups in, and how bangerd comes into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::Variant;

/// Where cgroups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Where bangerd is in its scope.
const DAEMON: &str = "daemon";
/// How long systemd may take, in tries and their distance.
const TRIES: u32 = 100;
const STEP: Duration = Duration::from_millis(20);

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Cgroups are of version 2, and of nothing else.
    unified: bool,
    /// Where this process is, from the root.
    own: String,
    uid: u32,
    pid: u32,
    /// The user's systemd outlives the last session.
    lingers: bool,
    /// There is a bus to ask it by.
    has_bus: bool,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// It is there already.
    There,
    /// The user's systemd is asked to make it.
    Ask,
    /// There is none, and why.
    None(&'static str),
}

fn way(seen: &Seen) -> Way {
    let Seen { unified, own, uid, pid, lingers, has_bus } = seen;
    if !unified {
        return Way::None("this host has no cgroups of version 2");
    }
    if own.ends_with(&format!("/banger-{pid}.scope/{DAEMON}")) {
        return Way::There;
    }
    if !lingers && !own.contains(&format!("/user@{uid}.service/")) {
        return Way::None(
            "your systemd, which gives them, would end VMs when you log out: loginctl enable-linger",
        );
    }
    if !has_bus {
        return Way::None("your systemd, which gives them, has no bus: install dbus-user-session");
    }
    Way::Ask
}

/// Where a process is, from the root.
pub(super) fn of_process(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned())
}

/// The folder of a cgroup.
pub(super) fn folder(cgroup: &str) -> PathBuf {
    Path::new(ROOT).join(cgroup.trim_start_matches('/'))
}

/// A user's name, which is what systemd knows who lingers by.
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let uid = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

fn see(uid: u32, pid: u32) -> Seen {
    let user = name_of(uid, &fs::read_to_string("/etc/passwd").unwrap_or_default());
    Seen {
        unified: Path::new(ROOT).join("cgroup.controllers").exists(),
        own: of_process("self").unwrap_or_default(),
        uid,
        pid,
        lingers: user.is_some_and(|name| Path::new("/var/lib/systemd/linger").join(name).exists()),
        has_bus: Path::new(&bus(uid)).exists(),
    }
}

/// Goes into the scope, which is made if need be: its folder.
pub(super) async fn enter() -> Result<PathBuf, String> {
    let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
    let seen = see(uid, pid);
    match way(&seen) {
        Way::None(why) => return Err(why.to_owned()),
        Way::There => {}
        Way::Ask => {
            let scope = format!("banger-{pid}.scope");
            let asked = tokio::time::timeout(STEP * TRIES, ask(uid, pid, &scope)).await;
            match asked {
                Err(_) => return Err("your systemd does not answer".to_owned()),
                Ok(Err(error)) => return Err(format!("your systemd gives none: {error}")),
                Ok(Ok(())) => arrive(&scope).await?,
            }
            settle(pid).map_err(|error| format!("the scope {scope} cannot be used: {error}"))?;
        }
    }
    let own = folder(&of_process("self").unwrap_or_default());
    own.parent().map(Path::to_owned).ok_or_else(|| "bangerd is in no scope".to_owned())
}

/// The user's bus.
fn bus(uid: u32) -> String {
    format!("/run/user/{uid}/bus")
}

/// Has the user's systemd make a scope around this process, below which everything is ours.
async fn ask(uid: u32, pid: u32, scope: &str) -> zbus::Result<()> {
    // systemd's own socket knows no names of senders, as zbus wants them.
    let address = format!("unix:path={}", bus(uid));
    let bus = zbus::connection::Builder::address(&*address).build().await?;
    let properties: Vec<(&str, Variant<'_>)> = vec![
        ("PIDs", vec![pid].into()),
        ("Delegate", true.into()),
        ("Description", "banger's VMs".into()),
        ("CollectMode", "inactive-or-failed".into()),
    ];
    let others: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let (systemd, path) = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1");
    let (manager, call) = ("org.freedesktop.systemd1.Manager", "StartTransientUnit");
    let wanted = (scope, "fail", properties, others);
    bus.call_method(Some(systemd), path, Some(manager), call, &wanted).await?;
    Ok(())
}

/// Waits until this process is there.
async fn arrive(scope: &str) -> Result<(), String> {
    for _ in 0..TRIES {
        if of_process("self").is_some_and(|own| own.ends_with(&format!("/{scope}"))) {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    Err(format!("your systemd did not make the scope {scope}"))
}

/// Makes way for cgroups of VMs: where they are, no process may be.
fn settle(pid: u32) -> std::io::Result<()> {
    let scope = folder(&of_process("self").unwrap_or_default());
    let daemon = scope.join(DAEMON);
    match fs::create_dir(&daemon) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(daemon.join("cgroup.procs"), pid.to_string())?;
    let given = fs::read_to_string(scope.join("cgroup.controllers"))?;
    for controller in given.split_whitespace() {
        // What is not to be had is missed later, where it is told.
        let _not_to_be_had =
            fs::write(scope.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_vms_live_as_long_as_without_it_systemd_is_asked() {
        let seen = Seen {
            unified: true,
            own: "/user.slice/user-1000.slice/session-3.scope".into(),
            uid: 1000,
            pid: 7,
            lingers: false,
            has_bus: true,
        };
        let at = |own: &str| Seen { own: own.into(), ..seen.clone() };
        assert!(matches!(way(&seen), Way::None(why) if why.contains("enable-linger")));
        assert_eq!(way(&Seen { lingers: true, ..seen.clone() }), Way::Ask);
        let silent = Seen { lingers: true, has_bus: false, ..seen.clone() };
        assert!(matches!(way(&silent), Way::None(why) if why.contains("dbus-user-session")));
        let cared = "/user.slice/user-1000.slice/user@1000.service/app.slice";
        assert_eq!(way(&at(&format!("{cared}/app-terminal.scope"))), Way::Ask);
        assert_eq!(way(&at(&format!("{cared}/banger-7.scope/daemon"))), Way::There);
        // An earlier bangerd's.
        assert_eq!(way(&at(&format!("{cared}/banger-6.scope/daemon"))), Way::Ask);
        // Another user's.
        let other = at("/user.slice/user-1001.slice/user@1001.service/app.slice");
        assert!(matches!(way(&other), Way::None(_)));
        assert_eq!(name_of(7, "x:y:77::/:\nann:x:7:7:A,B:/home/ann:/bin/sh\n"), Some("ann".into()));
        assert_eq!(name_of(8, "ann:x:7:8::/:/bin/sh"), None);
        let old = Seen { unified: false, lingers: true, ..seen };
        assert!(matches!(way(&old), Way::None(why) if why.contains("version 2")));
    }
}
