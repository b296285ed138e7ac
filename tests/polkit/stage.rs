//! A bus, a polkitd and processes that ask, all of them the test's own.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_proto::roothelper::{Interaction, OfVm};
use banger_proto::{Refusal, VmId};
use banger_roothelper::audit::{Audit, Decision, Entry, Kept};
use banger_roothelper::authority::{Patience, Polkit};
use banger_roothelper::call::DiscardOverlay;
use banger_roothelper::{Caller, Gate, OwnerUid, Permit};
use banger_tests::{repository, root, skip};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

const POLKITD: &str = "/usr/lib/polkit-1/polkitd";
/// How long anything may take to come up.
const UP: Duration = Duration::from_secs(20);

/// Users of the stage, none of the machine.
pub(crate) const MEMBER: u32 = 1_930_001;
pub(crate) const OUTSIDER: u32 = 1_930_002;
/// A member whom the administrator's own rule refuses.
pub(crate) const BARRED: u32 = 1_930_003;
/// Of no account at all.
pub(crate) const NOBODYS: u32 = 1_930_004;
/// The largest uid there can be, a member.
pub(crate) const LARGEST: u32 = 0x7fff_ffff;
/// The one before, no member.
pub(crate) const LARGE: u32 = 0x7fff_fffe;

/// Whoever is asked is told what this says, in this order, when the mounts are in place.
const PLAY: &str = r#"
set -euo pipefail
stage=$1; shift
mount --make-rprivate /
for pair in passwd:/etc/passwd group:/etc/group rules:/etc/polkit-1/rules.d \
    root/usr/share/polkit-1/actions:/usr/share/polkit-1/actions \
    root/usr/share/polkit-1/rules.d:/usr/share/polkit-1/rules.d; do
    mount --bind "$stage/${pair%%:*}" "${pair#*:}"
done
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$stage/bus
"$@" </dev/null >"$stage/log" 2>&1 &
echo $!
# Whoever plays ends with the test, whatever ends that.
read -r _ || true
kill -9 $!
"#;

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=STAGE/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="error"/><allow receive_type="signal"/>
    <allow own="org.freedesktop.PolicyKit1"/>
  </policy>
</busconfig>
"#;

/// A daemon of the stage.
pub(crate) struct Daemon {
    shell: Child,
    pid: Pid,
}

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Ends it and waits for that.
    pub(crate) fn end(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A folder with what the daemons see in place of the machine's.
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// `None`, with the skip noted, where there can be none.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("polkit answers about other users' processes to root alone");
            return None;
        }
        if !Path::new(POLKITD).exists() || !root::has("dbus-daemon") {
            skip("polkitd and dbus-daemon are not installed");
            return None;
        }
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        let path = stage.path();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        // What is installed, by what installs it; what was built makes no difference here.
        let built = path.join("built");
        fs::create_dir(&built).unwrap();
        for name in ["banger-roothelper", "libnss_banger.so"] {
            fs::copy("/bin/true", built.join(name)).unwrap();
        }
        let installed = Command::new(repository().join("packaging/helper.sh"))
            .arg("install")
            .args([&path.join("root"), &built])
            .output()
            .unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let mut users = fs::read_to_string("/etc/passwd").unwrap();
        for uid in [MEMBER, OUTSIDER, BARRED, LARGEST, LARGE] {
            users += &format!("u{uid}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n");
        }
        fs::write(path.join("passwd"), users).unwrap();
        let groups: String = fs::read_to_string("/etc/group")
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("banger:"))
            .map(|line| line.to_owned() + "\n")
            .collect();
        let members = [MEMBER, BARRED, LARGEST].map(|uid| format!("u{uid}")).join(",");
        fs::write(path.join("group"), format!("{groups}banger:x:1930000:{members}\n")).unwrap();
        // The administrator's own rule, under the name that the manual gives it.
        fs::create_dir(path.join("rules")).unwrap();
        let rule = format!(
            "polkit.addRule(function(action, subject) {{\n    \
             if (action.id.indexOf(\"dev.banger.\") == 0 && subject.user == \"u{BARRED}\") {{\n        \
             return polkit.Result.NO;\n    }}\n}});\n"
        );
        fs::write(path.join("rules/10-banger.rules"), rule).unwrap();
        fs::write(path.join("bus.conf"), BUS.replace("STAGE", path.to_str().unwrap())).unwrap();
        Some(stage)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn bus_path(&self) -> PathBuf {
        self.path().join("bus")
    }

    fn play(&self, program: &[&str]) -> Daemon {
        let mut shell = Command::new("unshare")
            .args(["--mount", "--", "bash", "-c", PLAY, "play"])
            .arg(self.path())
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("no stage for {program:?}"));
        Daemon { shell, pid: Pid::from_raw(pid).unwrap() }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Starts the bus.
    pub(crate) fn bus(&self) -> Daemon {
        drop(fs::remove_file(self.bus_path()));
        let configuration = format!("--config-file={}", self.path().join("bus.conf").display());
        let bus = self.play(&["dbus-daemon", &configuration, "--nofork", "--nopidfile"]);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.bus_path()).is_err() {
            assert!(begun.elapsed() < UP, "no bus: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        bus
    }

    /// Starts polkit, and waits until it is on the bus.
    pub(crate) async fn polkit(&self) -> Daemon {
        let polkit = self.play(&[POLKITD, "--no-debug"]);
        self.wait_for_polkit().await;
        polkit
    }

    /// Waits until somebody is polkit on the bus.
    pub(crate) async fn wait_for_polkit(&self) {
        let connection = self.connect().await;
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let name = zbus::names::BusName::try_from("org.freedesktop.PolicyKit1").unwrap();
        let begun = Instant::now();
        while !bus.name_has_owner(name.clone()).await.unwrap() {
            assert!(begun.elapsed() < UP, "no polkit: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn connect(&self) -> zbus::Connection {
        let address = format!("unix:path={}", self.bus_path().display());
        zbus::connection::Builder::address(&*address).build().await.unwrap()
    }

    /// The helper's gate in front of the polkit of this stage.
    pub(crate) fn gate(&self) -> Asking {
        self.impatient(Patience::default())
    }

    pub(crate) fn impatient(&self, patience: Patience) -> Asking {
        let kept = Kept::default();
        let polkit = Polkit::at(&self.bus_path(), patience);
        let gate = Gate::new(Box::new(polkit), Audit::new(Box::new(kept.clone())));
        Asking { gate, kept }
    }
}

/// A process of a user, that lives until it is ended.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn of(uid: u32) -> Self {
        let child = Command::new("setpriv")
            .args([format!("--reuid={uid}"), format!("--regid={uid}")])
            .args(["--clear-groups", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// As the socket tells of it.
    pub(crate) fn caller(&self, uid: u32) -> Caller {
        let pid = Pid::from_child(&self.0);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        Caller::new(OwnerUid::new(uid).unwrap(), pid, pidfd)
    }

    pub(crate) fn end(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A gate, and what it told.
pub(crate) struct Asking {
    gate: Gate,
    kept: Kept,
}

impl Asking {
    /// Asks for what every member may; there must be one entry, which says the same as the answer.
    pub(crate) async fn ask(
        &self,
        caller: &Caller,
        interaction: Interaction,
    ) -> Result<Permit<DiscardOverlay>, (Refusal, String)> {
        let before = self.kept.entries().len();
        let call = DiscardOverlay(OfVm { vm: VmId::random(), interaction });
        let answer = self.gate.permit(caller, call).await;
        let entries = self.kept.entries();
        let [entry] = &entries[before..] else { panic!("{entries:?}") };
        let Entry { subject, decision, reason, .. } = entry;
        assert_eq!(
            (subject.uid, subject.pid),
            (caller.uid().get(), Some(caller.pid().as_raw_pid()))
        );
        let expected = if answer.is_ok() { Decision::Allowed } else { Decision::Refused };
        assert_eq!(*decision, expected, "{entry:?}");
        answer.map_err(|refusal| (refusal, reason.clone()))
    }

    /// The reason of a refusal that there must be, in the log's word.
    pub(crate) async fn refused(
        &self,
        caller: &Caller,
        interaction: Interaction,
    ) -> (Refusal, String) {
        let (refusal, word) = match self.ask(caller, interaction).await {
            Ok(permit) => panic!("permitted: {permit:?}"),
            Err(refused) => refused,
        };
        drop(writeln!(
            std::io::stdout(),
            "{word}: {refusal}; {:?}; try {}",
            refusal.chain,
            refusal.hint
        ));
        (refusal, word)
    }

    pub(crate) async fn allowed(&self, caller: &Caller) {
        if let Err((refusal, word)) = self.ask(caller, Interaction::Never).await {
            panic!("{word}: {refusal} {:?}", refusal.chain);
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.kept.entries()
    }
}
