//! Files on real snapshots by the installed helper's own workers, under its unit; what they
//! leave, and what may be swept.

use banger_proto::roothelper::{Change, Fate, ObjectKind, WriteBlame, WriteOutcome};
use banger_proto::{Code, Refusal, VmId};
use banger_tests::testbed::inside_with_helper as inside;

use crate::asking::{members, node, nothing_is_left};
use crate::files::{FSTAB, filesystem};
use crate::sh;

/// The log's entries of a decision, by what was asked and why.
fn log(decision: &str) -> String {
    sh(&format!(
        "journalctl --sync; journalctl --quiet --output=cat --unit=banger-roothelper.service \
         BANGER_DECISION={decision}"
    ))
}

fn applied(writes: u32) -> Result<WriteOutcome, Refusal> {
    Ok(WriteOutcome::Applied { writes, atomic: true })
}

#[test]
fn a_batch_is_on_the_device_and_there_after_the_next_attach() {
    inside(|| {
        let [ann, ben] = members(["ann", "ben"]);
        let base = filesystem(ann, "base");
        let sum = || sh(&format!("sha256sum {}", base.display()));
        let (before, vm) = (sum(), VmId::random());
        let device = ann.attach(vm, &base).unwrap().device;
        assert_eq!(ann.read(device, "/etc/fstab").unwrap(), FSTAB.as_bytes());
        assert_eq!(ann.write(device, 8), applied(8));
        assert_eq!(ann.read(device, "/etc/f7").unwrap(), b"new 7");
        let node = node(ann, vm);
        sh(&format!("e2fsck -fn {} 2>&1", node.display()));
        // Another user's is the same as none; and one that is lent is its VMM's.
        assert_eq!(ben.read(device, "/etc/fstab").unwrap_err().code, Code::NotFound);
        ann.lend(device).unwrap();
        assert_eq!(ann.write(device, 1).unwrap_err().code, Code::FailedPrecondition);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        assert_eq!(ann.read(device, "/etc/fstab").unwrap_err().code, Code::NotFound);

        let next = ann.attach(vm, &base).unwrap().device;
        assert_eq!(ann.read(device, "/etc/fstab").unwrap_err().code, Code::Aborted);
        assert_eq!(ann.read(next, "/etc/f7").unwrap(), b"new 7");
        assert_eq!(ann.discard(vm).unwrap_err().code, Code::FailedPrecondition);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        assert_eq!(sum(), before, "the base image is as it was");
        nothing_is_left();
        assert_eq!(log("applied").lines().count(), 1);
        let gone = ann.discard(vm).unwrap();
        assert!(gone.change == Change::Removed && gone.freed_bytes > 0, "{gone:?}");
        assert_eq!(ann.discard(vm).unwrap().change, Change::None);
    });
}

/// The worker's process, once there is one that waits for its device.
fn worker() -> String {
    sh("for i in $(seq 200); do pid=$(pgrep -u banger-worker || true); \
        [ -z \"$pid\" ] || { sleep 1; pgrep -u banger-worker; exit; }; sleep 0.1; done; exit 1")
}

#[test]
fn a_worker_is_shut_in_under_the_units_walls_and_nobody_waits_for_it() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = filesystem(ann, "base");
        let (vm, other) = (VmId::random(), VmId::random());
        let device = ann.attach(vm, &base).unwrap().device;
        let second = ann.attach(other, &base).unwrap().device;
        assert_eq!(ann.write(device, 2), applied(2));
        let mapped = format!("banger-u{}-{vm}", ann.uid);
        sh(&format!("echo 3 >/proc/sys/vm/drop_caches; dmsetup suspend {mapped}"));
        let asking = std::thread::spawn(move || ann.write(device, 8));
        let pid = worker();
        let status = sh(&format!(
            "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Groups):' /proc/{pid}/status | tr -d '\\t '"
        ));
        let none = "0000000000000000";
        let walls = format!(
            "Groups:\nCapInh:{none}\nCapPrm:{none}\nCapEff:{none}\nCapBnd:{none}\nCapAmb:{none}\n\
             NoNewPrivs:1\nSeccomp:2"
        );
        assert_eq!(status, walls);
        let uid = sh("id -u banger-worker");
        let ids = sh(&format!("grep -E '^Uid:' /proc/{pid}/status"));
        assert_eq!(ids, format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
        // One that may be traced by its own user has files of that user's there.
        assert_eq!(sh(&format!("stat -c %U /proc/{pid}/environ")), "root");
        assert_eq!(sh(&format!("wc -c </proc/{pid}/environ")), "0");
        assert_eq!(sh(&format!("ls /proc/{pid}/fd | tr '\\n' ' '")), "0 1 2 3");
        assert_eq!(sh(&format!("stat -L -c %F /proc/{pid}/fd/3")), "block special file");
        assert!(sh(&format!("cat /proc/{pid}/cgroup")).ends_with("/banger-roothelper.service"));
        // The VM is its own, and others are served.
        assert_eq!(ann.detach(vm).unwrap_err().code, Code::Aborted);
        assert_eq!(ann.read(second, "/etc/fstab").unwrap(), FSTAB.as_bytes());
        // Ended in the middle, it has done nothing.
        sh(&format!("kill -9 {pid}; dmsetup resume {mapped}"));
        let outcome = asking.join().unwrap().unwrap();
        let host = WriteBlame::Host;
        assert!(
            matches!(outcome, WriteOutcome::NotApplied { blame, .. } if blame == host),
            "{outcome:?}"
        );
        assert!(log("not-applied").contains("signal 9 ended the ext4 worker"));
        assert_eq!(ann.write(device, 8), applied(8));
        for vm in [vm, other] {
            assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        }
        nothing_is_left();
    });
}

#[test]
fn a_damaged_filesystem_is_data_loss_and_others_are_served_on() {
    inside(|| {
        let [ann] = members(["ann"]);
        let (base, good) = (filesystem(ann, "base"), filesystem(ann, "good"));
        // What is behind the superblock and its descriptors.
        sh(&format!(
            "head -c 8M /dev/zero | tr '\\0' 'Z' | dd of={} bs=4k seek=2 conv=notrunc,nocreat status=none",
            base.display()
        ));
        let (vm, other) = (VmId::random(), VmId::random());
        let device = ann.attach(vm, &base).unwrap().device;
        let refusal = ann.read(device, "/etc/fstab").unwrap_err();
        assert_eq!(refusal.code, Code::DataLoss, "{refusal:?}");
        assert!(matches!(ann.write(device, 1).unwrap(), WriteOutcome::NotApplied { .. }));
        assert_eq!(log("data-loss").lines().count(), 1);
        let second = ann.attach(other, &good).unwrap().device;
        assert_eq!(ann.write(second, 8), applied(8));
        for vm in [vm, other] {
            assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        }
        nothing_is_left();
    });
}

#[test]
fn of_a_whole_run_nothing_is_executed_but_workers_and_no_path_of_a_clients_opened() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = filesystem(ann, "base");
        // It is started before it is traced.
        assert_eq!(ann.list(), []);
        let calls = "execve,execveat,open,openat,openat2,connect,bind";
        sh(&format!(
            "pid=$(systemctl show banger-roothelper.service --property=MainPID --value); \
             strace -f -qq -e trace={calls} -o /run/trace -p $pid >/dev/null 2>&1 & \
             echo $! >/run/strace.pid; \
             for i in $(seq 100); do grep -q 'TracerPid:[[:space:]]*[1-9]' /proc/$pid/status && exit 0; sleep 0.1; done; exit 1"
        ));
        let vm = VmId::random();
        let device = ann.attach(vm, &base).unwrap().device;
        assert_eq!(ann.read(device, "/etc/fstab").unwrap(), FSTAB.as_bytes());
        assert_eq!(ann.write(device, 3), applied(3));
        ann.lend(device).unwrap();
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        assert_eq!(ann.sweep(&[], true).len(), 1);
        sh("kill $(cat /run/strace.pid); sleep 1");
        let trace = std::fs::read_to_string("/run/trace").unwrap();
        let of = |call: &str| trace.lines().filter(|line| line.contains(call)).collect::<Vec<_>>();
        let executed = of("exec");
        // Reading, the batch, and looking at what it left.
        assert_eq!(executed.len(), 3, "{executed:#?}");
        for line in executed {
            assert!(line.contains("execve(\"/proc/self/fd/"), "{line}");
            assert!(line.contains("[\"banger-roothelper\", \"ext4-worker\""), "{line}");
            assert!(line.contains("0 vars"), "{line}");
        }
        let opened: Vec<_> =
            of("open").into_iter().filter(|line| !line.contains("ENOENT")).collect();
        assert!(opened.len() > 10, "{opened:#?}");
        for line in opened {
            for clients in ["/var/tmp", "/home", "/payload", "base"] {
                assert!(!line.contains(clients), "{line}");
            }
        }
        nothing_is_left();
    });
}

#[test]
fn what_is_nobodys_is_swept_and_uninstalling_leaves_no_device() {
    inside(|| {
        let [ann, ben] = members(["ann", "ben"]);
        let base = filesystem(ann, "base");
        let (kept, gone, open) = (VmId::random(), VmId::random(), VmId::random());
        for vm in [kept, gone, open] {
            let device = ann.attach(vm, &base).unwrap().device;
            ann.lend(device).unwrap();
        }
        let of_open = node(ann, open);
        let vmm = ann.does(|| std::fs::File::options().read(true).write(true).open(&of_open));
        let vmm = vmm.unwrap();
        assert_eq!(ann.list().len(), 6);
        assert_eq!((ben.list(), ben.sweep(&[], true)), (vec![], vec![]));
        let swept = ann.sweep(&[kept], true);
        let stays = |vm: VmId, snapshot: bool| {
            let found = swept.iter().find(|swept| {
                swept.object.vm == vm
                    && matches!(swept.object.kind, ObjectKind::Snapshot { .. }) == snapshot
            });
            match &found.unwrap_or_else(|| panic!("{vm}: {swept:?}")).fate {
                Fate::Removed => String::new(),
                Fate::Stays(why) => why.clone(),
            }
        };
        assert_eq!((stays(gone, true), stays(gone, false)), (String::new(), String::new()));
        assert_eq!(stays(open, true), "a program has it open");
        assert_eq!(swept.len(), 4, "{swept:?}");
        assert_eq!(ann.list().len(), 4);

        // A whole system's, by root and without the socket.
        sh("systemctl stop banger-roothelper.socket banger-roothelper.service");
        let helper = "/usr/libexec/banger/banger-roothelper sweep --all";
        let said = sh(&format!("{helper} 2>&1 || echo status $?"));
        assert!(said.contains("a program has it open") && said.ends_with("status 1"), "{said}");
        drop(vmm);
        let said = sh(&format!("{helper} 2>&1"));
        assert!(said.contains(&format!("removed banger-u{}-{open}", ann.uid)), "{said}");
        nothing_is_left();
        assert_eq!(sh("find /var/lib/banger -name '*.cow' | wc -l"), "2");
        sh(&format!("{helper} --overlays"));
        assert_eq!(sh("find /var/lib/banger -name '*.cow' | wc -l"), "0");
        let as_ann = "setpriv --reuid=ann --regid=ann --clear-groups";
        let said = sh(&format!("{as_ann} {helper} 2>&1 || echo status $?"));
        assert!(said.contains("only root") && said.ends_with("status 1"), "{said}");
    });
}
