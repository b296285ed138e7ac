//! What a snapshot and the start of a VM take, beside what a person would type for the same: `make bench`
//! records it, and every run of the suites carries both sides out a few times.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use banger_proto::VmId;
use banger_tests::testbed::inside_with_helper;

use crate::asking::{left, members};
use crate::files::filesystem;
use crate::owning::by;
use crate::vm::inside;
use crate::{number, sh};

/// What a person types, one stage after another, each said with the time at which it ends. Its
/// device is `hand`, and its overlay a file that is not there before.
const BY_HAND: &str = r#"
set -e
base=$1
at() { echo "$1 $EPOCHREALTIME"; }
at begin
truncate --size=$(($(stat --format=%s "$base") + (8 << 20))) /var/tmp/hand.cow
origin=$(losetup --find --show --read-only "$base")
cow=$(losetup --find --show /var/tmp/hand.cow)
dmsetup create hand --table "0 $(blockdev --getsz "$base") snapshot $origin $cow P 8"
at attach
debugfs -w -f /run/hand/batch /dev/mapper/hand >/dev/null 2>&1
at patch
. /run/hand/rest
dmsetup remove --retry hand
losetup --detach "$cow"
losetup --detach "$origin"
at detach
rm /var/tmp/hand.cow
"#;

/// Files that the batch of debugfs puts into `/etc`: what was there goes first.
fn files_by_hand(names: &[String]) {
    println!(
        "\nRESULT kernel: {} on {}",
        sh("uname -r"),
        sh("grep -m 1 'model name' /proc/cpuinfo")
    );
    sh("mkdir -p /run/hand");
    let mut batch = String::new();
    for name in names {
        std::fs::write(format!("/run/hand/{name}"), format!("new {name}\n")).unwrap();
        batch += &format!("rm /etc/{name}\nwrite /run/hand/{name} /etc/{name}\n");
        for field in ["mode 0100644", "uid 0", "gid 0"] {
            batch += &format!("sif /etc/{name} {field}\n");
        }
    }
    std::fs::write("/run/hand/batch", batch).unwrap();
    std::fs::write("/run/hand/script", BY_HAND).unwrap();
}

/// Stages with the ms that each took.
type Stages = Vec<(String, f64)>;

/// Types it all; `rest` is done with the device before it goes.
fn by_hand(base: &str, rest: &str) -> Stages {
    std::fs::write("/run/hand/rest", rest).unwrap();
    let said = sh(&format!("bash /run/hand/script {base}"));
    let mut marks = said.lines().map(|line| {
        let (stage, time) = line.split_once(' ').unwrap_or_else(|| panic!("{said}"));
        (stage.to_owned(), time.parse::<f64>().unwrap() * 1e3)
    });
    let (_, mut before) = marks.next().unwrap();
    let stages = marks.map(|(stage, at)| (stage, at - std::mem::replace(&mut before, at)));
    stages.collect()
}

/// One line a round and side, which the bench makes tables of: every stage with its ms.
fn tell(work: &str, side: &str, stages: &Stages) {
    let stages: Vec<_> = stages.iter().map(|(stage, ms)| format!("{stage} {ms:.3}")).collect();
    println!("RESULT times {work} {side}: {}", stages.join(", "));
}

/// Whoever has the helper attach, patch and detach at every line that it is sent: one connection, as
/// bangerd has it.
struct Beat {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Beat {
    fn begin(user: &str, vm: VmId, base: &str) -> Self {
        let mut child = Command::new("setpriv")
            .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups"])
            .args(["/payload/bin/banger-ask", "beat", &vm.to_string(), base])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, orders, answers: BufReader::new(answers) }
    }

    fn once(&mut self) -> Stages {
        self.orders.write_all(b"\n").unwrap();
        let mut said = String::new();
        self.answers.read_line(&mut said).unwrap();
        let stage = |stage: &str| {
            let (name, ms) = stage.split_once(' ').unwrap_or_else(|| panic!("{said}"));
            (name.to_owned(), ms.parse().unwrap())
        };
        said.trim().split(", ").map(stage).collect()
    }

    fn end(mut self) {
        drop(self.orders);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_patched_snapshot_beside_losetup_dmsetup_and_debugfs() {
    inside_with_helper(|| {
        let [ann] = members(["ann"]);
        let base = filesystem(ann, "base").display().to_string();
        files_by_hand(&(0..8).map(|n| format!("f{n}")).collect::<Vec<_>>());
        let sum = || sh(&format!("sha256sum {base}"));
        let before = sum();
        let mut beat = Beat::begin("ann", VmId::random(), &base);
        // The first round of each is not counted: programs are read then.
        for round in 0..=number("BANGER_ROUNDS", 1) {
            let (ours, theirs) = (beat.once(), by_hand(&base, ""));
            if round > 0 {
                tell("snapshot-8", "banger", &ours);
                tell("snapshot-8", "by hand", &theirs);
            }
        }
        let found = "debugfs -R 'cat /etc/f7' /dev/mapper/hand 2>/dev/null >/run/hand/found";
        by_hand(&base, found);
        assert_eq!(sh("cat /run/hand/found"), "new f7", "what is typed does the same");
        beat.end();
        assert_eq!((left(), sum()), (String::new(), before));
    });
}

/// What banger has at the end of a start, and the VMM's start is not its own work.
fn start() -> Stages {
    let said = by("ann", "banger start --quiet --timings=json web 2>&1 >/dev/null | tail -n 1");
    let timings: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let ms = |value: &serde_json::Value| value.as_f64().unwrap() / 1e3;
    let mut rest = ms(&timings["total_us"]);
    let mut stages = Stages::new();
    for stage in timings["stages"].as_array().unwrap() {
        let (name, took) = (stage["name"].as_str().unwrap(), ms(&stage["duration_us"]));
        rest -= took;
        if !["start_vmm", "boot_guest", "wait_for_turn"].contains(&name) {
            stages.push((name.to_owned(), took));
        }
    }
    stages.push(("between_stages".to_owned(), rest));
    stages
}

#[test]
fn the_start_of_a_vm_beside_losetup_dmsetup_debugfs_and_ip() {
    inside(|| {
        let base = sh("ls ~ann/.local/share/banger/images/*/rootfs.ext4");
        files_by_hand(&(0..8).map(|n| format!("f{n}")).collect::<Vec<_>>());
        sh("ip link add name hand0 type bridge; ip link set hand0 up");
        // What a VMM of ann's needs beside the patched device: a tap on a bridge, its work disk,
        // and the device's node.
        let rest = "ip tuntap add dev hand1 mode tap user ann; ip link set hand1 master hand0 up; \
                    at network; truncate --size=8G /var/tmp/hand.work; \
                    mke2fs -qFt ext4 -E lazy_itable_init=1,lazy_journal_init=1 /var/tmp/hand.work; \
                    chown ann /var/tmp/hand.work; at work_disk; chown ann $(readlink -f /dev/mapper/hand); at lend; \
                    ip link delete hand1; rm /var/tmp/hand.work";
        for round in 0..=number("BANGER_ROUNDS", 1) {
            by("ann", "banger create --name web");
            let ours = start();
            by("ann", "banger rm --force web");
            let mut theirs = by_hand(&base, rest);
            // The end of a VM is no part of its start.
            theirs.retain(|(stage, _)| stage != "detach");
            if round > 0 {
                tell("start", "banger", &ours);
                tell("start", "by hand", &theirs);
            }
        }
    });
}
