//! A network of its own, guests on its bridge, and who listens there.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use banger_proto::VmId;
use banger_roothelper::kernel::network::{Guest, Rules, hardware};
use banger_roothelper::kernel::{Linux, Network};
use banger_roothelper::{Names, OwnerUid, Ownership, Pool};
use banger_tests::{root, skip};

use super::frame::{self, Frame};

/// Set where a test runs in a network of its own.
const ALONE: &str = "BANGER_ALONE";
/// How long anything may take that does come.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Users of no account.
pub(crate) const ANN: u32 = 1_940_001;
pub(crate) const BEN: u32 = 1_940_002;
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);

/// Whether this is root in a network of its own; where it is not, the test is run again so, or skipped.
pub(crate) fn is_alone() -> bool {
    if std::env::var_os(ALONE).is_some() {
        // On every system that runs udev whoever wants may open this.
        sh("ip link set lo up; mount -t tmpfs tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200");
        return true;
    }
    let alone = || {
        root::command("unshare").map(|mut unshare| {
            unshare.args(["--net", "--mount"]);
            unshare
        })
    };
    let (Some(mut probe), Some(mut again)) = (alone(), alone()) else {
        skip("networks are made by root");
        return false;
    };
    for program in ["ip", "nft", "perl"] {
        assert!(root::has(program), "{program} is not installed: use `make test`");
    }
    // In a container, say, or where the kernel leaves these out.
    let needs = "set -e; mount -t tmpfs tmpfs /dev/shm; mknod /dev/shm/tun c 10 200; : <>/dev/shm/tun; \
                 ip link add probe type bridge; nft add table bridge probe";
    let probed = probe.args(["sh", "-c", needs]).output().unwrap();
    if !probed.status.success() {
        let why =
            String::from_utf8_lossy(&probed.stderr).lines().next().unwrap_or_default().to_owned();
        skip(&format!(
            "no network of its own with a bridge, taps and rules can be made here: {why}"
        ));
        return false;
    }
    let test = std::thread::current();
    let name = test.name().unwrap().to_owned();
    let own = std::env::current_exe().unwrap();
    again.args(["env", &format!("{ALONE}=1")]).arg(own);
    let output = again.args(["--exact", &name, "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(reason) = said.lines().find_map(|line| line.strip_prefix("SKIPPED: ")) {
        skip(reason);
    }
    said.lines().filter(|line| line.starts_with("RESULT ")).for_each(|line| println!("{line}"));
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// What a line of shell prints; it must succeed.
pub(crate) fn sh(line: &str) -> String {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}\n{said}{errors}", output.status);
    said.trim_end().to_owned()
}

/// A VM of a user's.
pub(crate) fn vm_of(uid: u32) -> Ownership {
    Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() }
}

/// A guest with the pool's address of this last byte.
pub(crate) fn guest(uid: u32, last: u8) -> Guest {
    Guest { ownership: vm_of(uid), address: Ipv4Addr::new(172, 16, 0, last) }
}

pub(crate) fn name(guest: Guest) -> String {
    Names::of(guest.ownership).tap
}

pub(crate) fn rules(nat: bool, guests: &[Guest]) -> Rules {
    Rules { pool: Pool::DEFAULT, nat, guests: guests.to_vec() }
}

/// A bridge with these guests.
pub(crate) fn bridge(nat: bool, guests: &[Guest]) -> Linux {
    let linux = Linux::default();
    linux.make_bridge(Pool::DEFAULT).unwrap();
    linux.set_rules(&rules(nat, guests)).unwrap();
    for guest in guests {
        linux.make_tap(*guest).unwrap();
    }
    linux
}

/// The bridge's own address of hardware.
pub(crate) fn gateway() -> [u8; 6] {
    hardware(GATEWAY)
}

/// Somebody who sends and hears frames.
pub(crate) struct Card {
    child: Child,
    to: ChildStdin,
    heard: Receiver<Heard>,
    /// Frames that were heard while something else was waited for.
    frames: Vec<Frame>,
}

enum Heard {
    Frame(Frame),
    Word(String),
}

impl Card {
    /// A guest's, as its owner's VMM has it: by an ordinary user without any capability.
    pub(crate) fn of(guest: Guest) -> Self {
        let uid = guest.ownership.uid.get();
        Self::opened_by(uid, &name(guest)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same by whoever it is; what is said when it cannot be opened.
    pub(crate) fn opened_by(uid: u32, tap: &str) -> Result<Self, String> {
        let mut command = Command::new("setpriv");
        let id = [format!("--reuid={uid}"), format!("--regid={uid}")];
        command.args(id).args(["--clear-groups", "--bounding-set=-all", "--no-new-privs"]);
        let card = Self::start(command, ["tap", tap])?;
        // The bridge hears a little later that somebody has it open.
        sh(&format!(
            "for i in $(seq 500); do ip -details link show {tap} | grep -q 'state forwarding' && exit; \
             sleep 0.02; done; exit 1"
        ));
        Ok(card)
    }

    /// What passes an interface of the host's.
    pub(crate) fn listen(interface: &str) -> Self {
        Self::start(Command::new("env"), ["packet", interface]).unwrap()
    }

    /// Somebody whom this command starts in a place of its own.
    pub(crate) fn start(mut command: Command, what: [&str; 2]) -> Result<Self, String> {
        command.args(["perl", "-e", include_str!("frames.pl")]).args(what);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let bytes = frame::from_hex(&line);
                let told = bytes.map_or(Heard::Word(line), |bytes| Heard::Frame(Frame(bytes)));
                if tell.send(told).is_err() {
                    break;
                }
            }
        });
        let mut card = Self { child, to, heard, frames: Vec::new() };
        if card.word().as_deref() == Some("open") {
            return Ok(card);
        }
        let mut said = String::new();
        let mut errors = card.child.stderr.take().unwrap();
        drop(std::io::Read::read_to_string(&mut errors, &mut said));
        Err(said)
    }

    /// The next line that is no frame; `None` at the end.
    fn word(&mut self) -> Option<String> {
        loop {
            match self.heard.recv_timeout(SOON) {
                Ok(Heard::Word(word)) => return Some(word),
                Ok(Heard::Frame(frame)) => self.frames.push(frame),
                Err(_) => return None,
            }
        }
    }

    fn order(&mut self, line: &str) {
        writeln!(self.to, "{line}").unwrap();
        assert_eq!(self.word().as_deref(), Some("done"), "{line}");
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.order(&frame.hex());
    }

    /// Gives the tap itself, and not its guest's card, another address.
    pub(crate) fn set_own_address(&mut self, hardware: [u8; 6]) {
        self.order(&format!("mac {}", Frame(hardware.to_vec()).hex()));
    }

    /// The first frame like this that is heard, or was; `None` when none comes.
    pub(crate) fn find(
        &mut self,
        patience: Duration,
        like: impl Fn(&Frame) -> bool,
    ) -> Option<Frame> {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.frames.iter().position(&like) {
                return Some(self.frames.remove(at));
            }
            let left = patience.checked_sub(begun.elapsed())?;
            if let Ok(Heard::Frame(frame)) = self.heard.recv_timeout(left) {
                self.frames.push(frame);
            }
        }
    }

    /// Waits for a frame like this.
    pub(crate) fn expect(&mut self, what: &str, like: impl Fn(&Frame) -> bool) -> Frame {
        let found = self.find(SOON, like);
        found.unwrap_or_else(|| panic!("{what} did not come; what did: {:#?}", self.frames))
    }

    /// What was heard and not taken.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        while let Ok(Heard::Frame(frame)) = self.heard.try_recv() {
            self.frames.push(frame);
        }
        std::mem::take(&mut self.frames)
    }

    /// Closes it and waits for that.
    pub(crate) fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.end();
    }
}
