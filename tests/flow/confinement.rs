//! What a VMM that a guest has taken over can reach: tried from inside the real walls, by a
//! program in QEMU's place, and from outside of them, so that each attempt can be seen to work.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use banger_tests::{has_landlock, skip};
use serde_json::json;

use crate::place::Place;
use crate::shares;

/// What became of each attempt.
type Tried = BTreeMap<String, String>;

/// A place with things worth stealing, and a probe in QEMU's place.
struct Bait {
    place: Place,
    /// Nobody answers behind passt, since there is no guest: a start does not end well.
    silent: bool,
    victim: Child,
    // Held open for the probe to find.
    _port: TcpListener,
    _abstract: UnixListener,
}

impl Drop for Bait {
    fn drop(&mut self) {
        let _gone = self.victim.kill();
        let _reaped = self.victim.wait();
    }
}

impl Bait {
    /// A place with an image and the VMs `web`, to be probed, and `other`; `real` are the
    /// programs that are not replaced by fakes that fail.
    fn new(real: &[&str]) -> Option<Self> {
        let place = Place::with_image()?;
        for program in real {
            if !banger_tests::root::has(program) {
                skip(&format!("{program} is not installed"));
                return None;
            }
            fs::remove_file(place.programs().join(program)).unwrap();
        }
        // The daemon found out what there is when it began.
        place.owner.ok(["daemon", "stop"]);
        place.owner.ok(["vm", "create", "--name", "other", "--disk", "64M"]);
        place.owner.ok(["vm", "create", "--name", "web", "--disk", "64M"]);
        let home = place.owner.home().to_owned();
        let planted = home.join(".ssh/id_ed25519");
        fs::create_dir(home.join(".ssh")).unwrap();
        place.owner.give(&home.join(".ssh"));
        place.owner.write(&planted, b"the owner's own key");

        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let marker = format!("banger-test-{}", home.file_name().unwrap().to_string_lossy());
        let name = SocketAddr::from_abstract_name(&marker).unwrap();
        let listener = UnixListener::bind_addr(&name).unwrap();
        let mut victim = place.owner.command("python3");
        victim.args(["-c", "import time; time.sleep(600)", &marker]).stdout(Stdio::null());
        let victim = victim.spawn().unwrap();

        let folder = |name: &str| PathBuf::from(place.vm(name)["directory"].as_str().unwrap());
        let (web, other) = (folder("web"), folder("other"));
        // A disk of the other VM's, as a start would have made it.
        place.owner.write(&other.join("rootfs.ext4"), b"the other's");
        let state = place.owner.state();
        let image = place.owner.images().join("tiny");
        let targets = json!({
            "read": {
                "the owner's ssh key": planted,
                "the VM's own key": web.join("id_ed25519"),
                "the VM's record": web.join("record.json"),
                "bangerd's log": state.join("bangerd.log"),
                "bangerd's configuration": home.join(".config/banger/programs"),
                "another VM's disk": other.join("rootfs.ext4"),
                "another VM's key": other.join("id_ed25519"),
                "the host's accounts": "/etc/passwd",
            },
            "change": {
                "another VM's disk": other.join("rootfs.ext4"),
                "the image's disk": image.join("rootfs.ext4"),
            },
            "kernel": image.join("vmlinuz"),
            "socket": state.join("run/bangerd.sock"),
            "abstract": marker,
            "port": port.local_addr().unwrap().port(),
            "pid": victim.id(),
            "marker": marker,
        });
        assert!(state.join("run/bangerd.sock").exists(), "the socket is where the test thinks");
        place.owner.write(&place.programs().join("targets"), targets.to_string().as_bytes());
        place.program("probe.py", include_str!("probe.py"));
        place.mode("probe");
        let silent = real.contains(&"passt");
        Some(Self { place, silent, victim, _port: port, _abstract: listener })
    }

    /// Starts `web`, and gives what its VMM had tried before its guest would boot.
    fn inside(&self) -> Tried {
        let mut start = self.place.owner.banger(["vm", "start", "web"]);
        let mut start = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let directory = PathBuf::from(self.place.vm("web")["directory"].as_str().unwrap());
        let begun = Instant::now();
        let told = loop {
            let console = fs::read_to_string(directory.join("console.log")).unwrap_or_default();
            let found = console.lines().find_map(|line| line.strip_prefix("tried: "));
            if let (Some(told), true) = (found, console.ends_with('\n')) {
                break told.to_owned();
            }
            let log = || fs::read_to_string(directory.join("vmm.log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "{console}\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        };
        if self.silent {
            self.place.owner.ok(["vm", "stop", "--timeout", "0", "web"]);
        }
        start.wait().unwrap();
        serde_json::from_str(&told).unwrap()
    }

    /// The same attempts by an ordinary program of the owner's.
    fn outside(&self) -> Tried {
        let programs = self.place.programs();
        let script = "exec 9</etc/passwd; exec python3 \"$0\" \"$1\"";
        let mut probe = self.place.owner.command("sh");
        probe.args(["-c", script]).arg(programs.join("probe.py")).arg(programs.join("targets"));
        let output = probe.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The attempts that succeeded.
/// What is seen of the read-only mount that bubblewrap makes. Landlock makes none, and lets
/// /usr be read alone.
const OF_A_MOUNT: &str = "change /usr";

fn holes(tried: &Tried) -> Vec<&str> {
    let holes = tried.iter().filter(|(_, said)| !said.starts_with("refused"));
    holes.map(|(what, _)| what.as_str()).collect()
}

/// The walls that `inspect` lists, and those that it says are missing.
fn inspected(bait: &Bait) -> (String, String) {
    let running = &bait.place.vm("web")["running"];
    let lines = |field: &str| {
        let lines = running[field].as_array().unwrap().iter();
        lines.map(|line| format!("{}\n", line.as_str().unwrap())).collect::<String>()
    };
    (lines("confinement"), lines("missing_walls"))
}

/// Which attempts fail for an ordinary program of the owner's too, on this host.
fn never(what: &str) -> bool {
    let says = |file: &str, no: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == no);
    let yama = !says("/proc/sys/kernel/yama/ptrace_scope", "0")
        && std::path::Path::new("/proc/sys/kernel/yama/ptrace_scope").exists();
    match what {
        // Only root may: that the mount is read-only is what is looked at.
        "change /usr" => false,
        "trace a process" | "read a process's memory" => yama,
        _ => false,
    }
}

#[test]
fn nothing_of_the_owners_is_reached_from_inside_bubblewrap() {
    let Some(bait) = Bait::new(&["bwrap", "passt"]) else { return };
    let inside = bait.inside();
    assert!(inside.len() > 20, "{inside:#?}");
    assert_eq!(holes(&inside), [""; 0], "{inside:#?}");
    // The same attempts work where there are no walls: the test can fail.
    let outside = bait.outside();
    assert!(inside.keys().eq(outside.keys()));
    for (what, said) in &outside {
        assert!(said.starts_with("succeeded") || never(what), "{what}: {said}");
    }
}

/// What stands in for virtiofsd: it tries everything, and then waits as the real one does.
const FILE_SERVER: &str = r#"#!/usr/bin/python3
import json, os, socket, sys, probe
if "--version" in sys.argv:
    sys.exit(print("virtiofsd version 0 (fake)"))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "targets")) as targets:
    tried = probe.attempts(json.load(targets))
for what, path in {"the folder": "/share/new", "what is beside it": "/share/../beside/file"}.items():
    tried["write to " + what] = probe.refused(lambda: open(path, "a").close())
tried["take another user's id"] = probe.refused(lambda: os.setuid(1))
print("tried: " + json.dumps(tried), flush=True)
socket.socket(fileno=3).accept()[0].recv(1)
"#;

/// Shares `shared` as `how`, and gives what its file server had tried.
fn inside_a_file_server(bait: &Bait, how: &str) -> Tried {
    let (place, name) = (&bait.place, format!("shares{}", how.len()));
    let home = place.owner.home();
    for folder in ["shared", "beside"].map(|name| home.join(name)) {
        fs::create_dir_all(&folder).unwrap();
        place.owner.give(&folder);
        place.owner.write(&folder.join("file"), b"the owner's");
    }
    let volume = format!("{}:{how}", home.join("shared").display());
    place.owner.ok(["create", "--name", &name, "--image", "sharing", "-v", &volume]);
    place.owner.ok(["start", &name]);
    let log = PathBuf::from(place.vm(&name)["directory"].as_str().unwrap()).join("share-0.log");
    let mut said = String::new();
    shares::until("the file server has tried", || {
        said = fs::read_to_string(&log).unwrap();
        said.ends_with('\n')
    });
    place.owner.ok(["rm", "--force", &name]);
    let told = said.lines().find_map(|line| line.strip_prefix("tried: "));
    serde_json::from_str(told.unwrap_or_else(|| panic!("{said}"))).unwrap()
}

#[test]
fn a_file_server_reaches_its_folder_and_nothing_else() {
    let Some(bait) = Bait::new(&["bwrap"]) else { return };
    if !shares::can_serve(&bait.place.owner) {
        skip("folders cannot be shared here");
        return;
    }
    shares::sharing(&bait.place);
    bait.place.program("virtiofsd", FILE_SERVER);
    bait.place.mode("");
    let inside = inside_a_file_server(&bait, "/src:ro");
    assert!(inside.len() > 20, "{inside:#?}");
    assert_eq!(holes(&inside), [""; 0], "{inside:#?}");
    let inside = inside_a_file_server(&bait, "/src");
    assert_eq!(holes(&inside), ["write to the folder"], "{inside:#?}");
    let made = bait.place.owner.home().join("shared/new");
    let owner = std::os::unix::fs::MetadataExt::uid(&made.metadata().unwrap());
    assert_eq!(owner, bait.place.owner.account().uid);
}

#[test]
fn a_vmm_with_a_network_of_its_own_reaches_the_loopback_and_that_is_said() {
    let Some(bait) = Bait::new(&["bwrap"]) else { return };
    let inside = bait.inside();
    let expected = ["reach an abstract socket", "reach the host's loopback"];
    assert_eq!(holes(&inside), expected, "{inside:#?}");
    bait.place.wait_for("web", "running");
    let (walls, missing) = inspected(&bait);
    assert!(walls.contains("own user, mount, pid"), "{walls}");
    assert!(walls.contains("no further user namespaces"), "{walls}");
    assert!(missing.contains("loopback") && missing.contains("abstract sockets"), "{missing}");
    // The probe is no QEMU, and has no filter of its own: that is seen.
    assert!(missing.contains("seccomp"), "{missing}");
    assert!(bait.place.owner.ok(["vm", "inspect", "web"]).contains("no wall"));
}

#[test]
fn landlock_stands_in_for_bubblewrap() {
    let Some(bait) = Bait::new(&[]) else { return };
    let inside = bait.inside();
    bait.place.wait_for("web", "running");
    let (walls, missing) = inspected(&bait);
    assert!(missing.contains("namespaces of its own: bubblewrap does not work"), "{missing}");
    if !has_landlock() {
        assert!(!walls.contains("landlock"), "{walls}");
        assert!(missing.contains("may open whatever you may"), "{missing}");
        skip("this kernel has no Landlock");
        return;
    }
    assert!(walls.contains("landlock: no files but"), "{walls}\n{missing}");
    let mut expected = vec![OF_A_MOUNT, "make a user namespace", "reach bangerd"];
    expected.push("reach the host's loopback");
    for (said, hole) in
        [("abstract sockets", "reach an abstract socket"), ("signals reach", "signal a process")]
    {
        expected.extend(missing.contains(said).then_some(hole));
    }
    if !missing.contains("bangerd's among them") {
        expected.retain(|hole| *hole != "reach bangerd");
    }
    expected.sort_unstable();
    assert_eq!(holes(&inside), expected, "{inside:#?}\n{missing}");
}

#[test]
fn landlock_and_passt_leave_no_way_to_the_loopback() {
    let Some(bait) = Bait::new(&["passt"]) else { return };
    let inside = bait.inside();
    if !has_landlock() {
        skip("this kernel has no Landlock");
        return;
    }
    println!("{inside:#?}");
    let open = [OF_A_MOUNT, "make a user namespace", "reach bangerd"];
    // Landlock of Linux 6.12 and later; before that there is less of it.
    let older = ["reach an abstract socket", "signal a process", "reach the host's loopback"];
    let holes = holes(&inside);
    assert!(holes.iter().all(|hole| open.contains(hole) || older.contains(hole)), "{inside:#?}");
    if inside["reach an abstract socket"].starts_with("refused") {
        assert!(holes.iter().all(|hole| open.contains(hole)), "{inside:#?}");
    }
}
