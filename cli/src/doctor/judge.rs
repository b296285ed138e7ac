//! What follows from what the command line sees: pure.

use banger_proto::{Check, CheckState, Need};

use super::facts::{Daemon, Facts, Folder};

const GROUP: &str = "banger";

/// This program's version, which bangerd must have too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All checks of the command line's own.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![user(facts), folder(facts), program(facts), daemon(facts), ssh(facts)]
}

fn user(facts: &Facts) -> Check {
    let name = (GROUP, "user");
    let why = "VMs are an ordinary user's; nothing of banger runs as root";
    if facts.root {
        return Check::new(name, why, CheckState::Failed, "this is root")
            .remedy(["# run it as the ordinary user whose VMs these are to be"]);
    }
    Check::new(name, why, CheckState::Ok, "an ordinary one")
}

fn folder(facts: &Facts) -> Check {
    let name = (GROUP, "folder");
    let why = "who can enter it could stand in for bangerd";
    let failed = |found: String| Check::new(name, why, CheckState::Failed, found);
    match &facts.folder {
        Folder::Unknown(reason) => {
            failed(reason.clone()).remedy(["export HOME=$(getent passwd $(id -u) | cut -d: -f6)"])
        }
        Folder::Absent { above: Some(trouble), .. } => failed(trouble.clone()).remedy([
            "unset XDG_RUNTIME_DIR",
            "# or set it to a folder of your own with mode 0700",
        ]),
        Folder::Absent { path, above: None } => {
            let found = format!("{}, made when it is needed", path.display());
            Check::new(name, why, CheckState::Ok, found)
        }
        Folder::Open(path) => {
            let path = path.display();
            failed(format!("{path} is not yours alone")).remedy([
                format!("chmod 0700 {path}"),
                "# and look who else wrote there".to_owned(),
            ])
        }
        Folder::Private { path, session: true } => {
            Check::new(name, why, CheckState::Ok, format!("{}, yours alone", path.display()))
        }
        Folder::Private { path, session: false } => {
            let found = format!("{}, as XDG_RUNTIME_DIR is not set", path.display());
            Check::new(name, why, CheckState::Ok, found)
        }
    }
}

fn program(facts: &Facts) -> Check {
    let name = (GROUP, "bangerd");
    let why = "it makes, starts and remembers VMs";
    let failed = |found: String| {
        Check::new(name, why, CheckState::Failed, found)
            .remedy(["# install bangerd beside banger, both of one version (make install does)"])
    };
    let path = match &facts.program {
        Ok(path) => path.display(),
        Err(_) => return failed("its program was not found".to_owned()),
    };
    match &facts.version {
        Err(reason) => failed(format!("{path} does not run: {reason}")),
        Ok(said) if said.strip_prefix("bangerd ") == Some(VERSION) => {
            Check::new(name, why, CheckState::Ok, format!("{VERSION} ({path})"))
        }
        Ok(said) => failed(format!("{path} is \"{said}\", and this is banger {VERSION}")),
    }
}

fn daemon(facts: &Facts) -> Check {
    let name = (GROUP, "daemon");
    let why = "the first command starts it; VMs run on when it ends";
    let check = |state, found: String| Check::new(name, why, state, found);
    match &facts.daemon {
        Daemon::NotAsked => check(CheckState::Skipped, "something else comes first".to_owned()),
        Daemon::Absent { .. } if facts.program.is_err() => {
            check(CheckState::Skipped, "there is no program to start".to_owned())
        }
        Daemon::Absent { socket: None } => {
            check(CheckState::Ok, "does not run; the next command starts it".to_owned())
        }
        Daemon::Absent { socket: Some(path) } => {
            let found = format!("nobody listens at {}; the next command starts it", path.display());
            check(CheckState::Ok, found)
        }
        Daemon::Answers { version, pid, .. } if version != VERSION => {
            let found = format!("{version} runs as process {pid}, and this is banger {VERSION}");
            check(CheckState::Warning, found).remedy(["banger daemon stop"])
        }
        Daemon::Answers { pid, fresh: true, .. } => {
            check(CheckState::Ok, format!("started, and answers (process {pid})"))
        }
        Daemon::Answers { pid, fresh: false, .. } => {
            check(CheckState::Ok, format!("runs and answers (process {pid})"))
        }
        Daemon::Hangs { pid } => {
            let step = match pid {
                Some(pid) => format!("kill -KILL {pid}"),
                None => "# find its process and kill it: pgrep -u $USER bangerd".to_owned(),
            };
            let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            check(CheckState::Failed, format!("runs and does not answer{who}"))
                .remedy([step, "# VMs run on, and the next command starts it anew".to_owned()])
        }
        Daemon::Trouble { what, because, hint } => {
            let found =
                std::iter::once(what).chain(because).cloned().collect::<Vec<_>>().join(": ");
            let hint = if hint.is_empty() { "run bangerd in a terminal to see more" } else { hint };
            check(CheckState::Failed, found).remedy([format!("# {hint}")])
        }
    }
}

fn ssh(facts: &Facts) -> Check {
    let name = (GROUP, "ssh");
    let why = "run, exec and ssh reach the guest with it";
    match &facts.ssh {
        // What comes behind the comma is its library's.
        Some(version) => {
            let own = version.split(',').next().unwrap_or(version);
            Check::new(name, why, CheckState::Ok, own)
        }
        None => Check::new(name, why, CheckState::Failed, "not found, or it does not run")
            .remedy([facts.distribution.install(Need::Ssh)]),
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::Distribution;

    use super::*;

    fn healthy() -> Facts {
        Facts {
            root: false,
            distribution: Distribution::of("ID=fedora"),
            folder: Folder::Private { path: "/run/user/1000/banger".into(), session: true },
            program: Ok("/usr/bin/bangerd".into()),
            version: Ok(format!("bangerd {VERSION}")),
            daemon: Daemon::Answers { version: VERSION.into(), pid: 7, fresh: false },
            ssh: Some("OpenSSH_9.2p1".into()),
        }
    }

    type Spoil = fn(&mut Facts);

    #[test]
    fn everything_that_can_be_wrong_is_told_with_its_remedy() {
        let hosts: &[(&str, Spoil)] = &[
            ("healthy", |_| {}),
            ("root", |f| {
                f.root = true;
                f.daemon = Daemon::NotAsked;
            }),
            ("no home", |f| f.folder = Folder::Unknown("HOME is not set".into())),
            ("nowhere to write", |f| {
                let above = Some("/run cannot be written to: EACCES".into());
                f.folder = Folder::Absent { path: "/run/banger".into(), above };
            }),
            ("first use", |f| {
                f.folder = Folder::Absent { path: "/run/banger".into(), above: None };
                f.daemon = Daemon::Absent { socket: None };
            }),
            ("open folder", |f| f.folder = Folder::Open("/tmp/banger".into())),
            ("no program", |f| {
                f.program = Err(vec!["/usr/bin".into()]);
                f.version = Err(String::new());
                f.daemon = Daemon::Absent { socket: None };
            }),
            ("another version", |f| f.version = Ok("bangerd 0.0.1".into())),
            ("a program that does not run", |f| f.version = Err("exit status: 1: x".into())),
            ("another daemon", |f| {
                f.daemon = Daemon::Answers { version: "0.0.1".into(), pid: 7, fresh: false };
            }),
            ("dead socket", |f| {
                f.daemon = Daemon::Absent { socket: Some("/run/b.sock".into()) };
            }),
            ("hung", |f| f.daemon = Daemon::Hangs { pid: Some(7) }),
            ("hung, nobody knows who", |f| f.daemon = Daemon::Hangs { pid: None }),
            ("does not start", |f| {
                f.daemon = Daemon::Trouble {
                    what: "bangerd did not start: exit status: 1".into(),
                    because: vec!["cannot lock /s/bangerd.lock".into()],
                    hint: String::new(),
                };
            }),
            ("no ssh", |f| f.ssh = None),
        ];
        let mut text = String::new();
        for (name, spoil) in hosts {
            let mut facts = healthy();
            spoil(&mut facts);
            text.push_str(&format!("== {name}\n"));
            for Check { name, state, found, remedy, .. } in checks(&facts) {
                let wrong = matches!(state, CheckState::Warning | CheckState::Failed);
                assert_eq!(wrong, !remedy.is_empty(), "{name}: {found}");
                if wrong || facts.daemon != healthy().daemon || facts.folder != healthy().folder {
                    text.push_str(&format!("{state:?} {name}: {found}\n"));
                    remedy.iter().for_each(|step| text.push_str(&format!("    {step}\n")));
                }
            }
        }
        insta::assert_snapshot!(text);
    }
}
