//! The root helper's program, as systemd would start it, and a client in another language.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use banger_tests::owner::Owner;
use banger_tests::{repository, skip};
use rustix::process::{Pid, Signal, kill_process};

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let program = built.join("banger-roothelper");
    assert!(program.exists(), "banger-roothelper is not built: use `make test`");
    program
}

/// What systemd does, and a careless starter: a listening socket as descriptor 3, its word in
/// the environment, and things that are none of the helper's business.
const STARTER: &str = "
import os, socket, sys
helper, path = sys.argv[1:3]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
os.chmod(path, 0o777)
s.listen(256)
fd = s.fileno()
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
secret = os.open('/etc/hostname', os.O_RDONLY)
os.dup2(secret, 77, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LD_BIND_NOW='1', NOTIFY_SOCKET=sys.argv[3])
os.execv(helper, [helper])
";

struct Helper {
    child: Child,
    notified: UnixDatagram,
    socket: PathBuf,
}

impl Helper {
    fn start(owner: &Owner) -> Self {
        let socket = owner.home().join("helper.sock");
        let notify = owner.home().join("notify.sock");
        let notified = UnixDatagram::bind(&notify).unwrap();
        notified.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let child = Command::new("python3")
            .args(["-c", STARTER])
            .arg(program())
            .arg(&socket)
            .arg(&notify)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let helper = Self { child, notified, socket };
        assert_eq!(helper.told(), "READY=1");
        helper
    }

    fn told(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.notified.recv(&mut buffer).expect("the helper tells its state");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }

    /// A line of its status, in KiB.
    fn kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).expect("the line is there");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[test]
fn started_by_hand_it_says_who_starts_it() {
    let run =
        |arguments: &[&str]| Command::new(program()).args(arguments).env_clear().output().unwrap();
    let by_hand = run(&[]);
    let said = String::from_utf8_lossy(&by_hand.stderr).into_owned();
    assert_eq!(by_hand.status.code(), Some(1));
    assert!(said.contains("systemd") && said.contains("banger-roothelper.socket"), "{said}");
    assert_eq!(run(&["attach", "/etc/shadow"]).status.code(), Some(2));
    assert!(run(&["--help"]).status.success());
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert_eq!(version, format!("banger-roothelper {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn another_language_asks_a_helper_that_is_clean_and_small() {
    if !Command::new("/usr/bin/python3")
        .args(["-c", "import grpc, google.protobuf"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip("python3-grpcio is not installed");
    }
    let Some(owner) = Owner::new() else { return };
    let mut helper = Helper::start(&owner);
    let descriptors = owner.home().join("descriptors.bin");
    owner.write(&descriptors, banger_proto::wire::FILE_DESCRIPTOR_SET);
    let client = owner.home().join("client.py");
    owner.write(&client, &fs::read(repository().join("tests/flow/helper-client.py")).unwrap());
    let output = owner
        .command("/usr/bin/python3")
        .arg(client)
        .arg(&helper.socket)
        .arg(descriptors)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for line in said.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["Describe", ended, minimum] => assert_eq!((ended, minimum), ("OK", "6.5")),
            // It asks nobody; root alone may look everywhere.
            ["ListObjects", ended] => {
                let root = rustix::process::geteuid().is_root();
                assert!(ended == "OK" || !root && ended == "INTERNAL", "{line}");
            }
            // polkit is asked, which is not there, does not know the action, or says yes.
            [_, ended] => assert!(
                ["INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION"].contains(&ended),
                "{line}"
            ),
            _ => panic!("{line}"),
        }
    }
    assert_eq!(said.lines().count(), 11, "{said}");
    assert!(said.contains("AttachSnapshot INVALID_ARGUMENT"), "no descriptor came: {said}");

    // What its starter had open or set is not there.
    for entry in fs::read_dir(helper.proc("fd")).unwrap() {
        let leads = fs::read_link(entry.unwrap().path()).unwrap_or_default();
        assert_ne!(leads.to_str(), Some("/etc/hostname"));
    }
    assert_eq!(fs::read_link(helper.proc("cwd")).unwrap().to_str(), Some("/"));
    // A build with debug assertions is larger in its own memory than the one that is shipped.
    assert!(helper.kib("RssAnon:") <= 4096, "RssAnon: {} KiB", helper.kib("RssAnon:"));

    kill_process(Pid::from_child(&helper.child), Signal::TERM).unwrap();
    assert!(helper.child.wait().unwrap().success());
    assert_eq!(helper.told(), "STOPPING=1");
    // The log of a machine without a journal: one line a call, and no content.
    let log = BufReader::new(helper.child.stderr.take().unwrap());
    let lines: Vec<_> = log.lines().map(Result::unwrap).collect();
    assert!(lines.is_empty() || lines.len() == 11, "{lines:#?}");
}
