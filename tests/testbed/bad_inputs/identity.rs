//! Who must not be answered, and who leaves before the answer.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_proto::roothelper::Change;
use banger_proto::wire::roothelper as wire;
use banger_proto::{Code, VmId};
use banger_tests::testbed::inside_with_helper as inside;

use super::{Bad, each, ready};
use crate::asking::{User, members};
use crate::files::filesystem;
use crate::hygiene::{Log, There};
use crate::login::user;
use crate::sh;

#[test]
fn who_is_nobody_here_or_not_any_more_or_not_the_owner_gets_nothing_and_leaves_nothing() {
    inside(|| {
        let [ann, bob] = members(["ann", "bob"]);
        ready(ann);
        anothers_vm(ann, bob);
        dies(ann);
        // bob is no member afterwards.
        nobody(bob);
    });
}

fn nobody(bob: User) {
    user("ben");
    let (before, log) = (There::now(), Log::from_here());
    let ask = |who: &str, program: &str| {
        sh(&format!("setpriv --reuid={who} --regid={who} --init-groups {program} detach || true"))
    };
    let answer = ask("ben", "/payload/bin/banger-ask");
    assert!(answer.contains("Permission denied (os error 13)"), "{answer}");
    before.is_all("a user outside the group");
    // Whether its library has read the reason when it gives up is a matter of luck, and so is how often it tries.
    let turned_away = |answer: &str| {
        let why = ["root cannot use the helper", "the root helper closed the connection"];
        assert!(why.iter().any(|why| answer.contains(why)), "{answer}");
        let entries = log.entries();
        assert!(!entries.is_empty(), "nobody was noticed");
        for entry in &entries {
            assert!(entry.starts_with("0 - refused "), "{entries:?}");
        }
        entries.len()
    };
    let times = turned_away(&ask("root", "/payload/bin/banger-ask"));
    before.is_all("root");
    // With the rights of root, and ann's name.
    sh("cp /payload/bin/banger-ask /usr/local/bin/set-uid; chmod 4755 /usr/local/bin/set-uid");
    let answer = ask("ann", "/usr/local/bin/set-uid");
    assert!(turned_away(&answer) > times);
    before.is_all("a set-uid program");

    // Nothing that is said tells who says it.
    sh("gpasswd --delete bob banger");
    sh("mv /usr/share/polkit-1/rules.d/dev.banger.roothelper.rules /root");
    let vm_id = VmId::random().to_string();
    let message = wire::DetachNetworkRequest { vm_id, allow_interaction: false };
    let forged = Bad::new("forged", "DetachNetwork", &message, tonic::Code::FailedPrecondition);
    let says = ["x-remote-user", "uid", "authorization", "banger-uid", "x-forwarded-for"];
    let headers = says.map(|name| (name, "0".to_owned())).to_vec();
    each(bob, vec![Bad { headers, ..forged }]);
    sh("mv /root/dev.banger.roothelper.rules /usr/share/polkit-1/rules.d");
}

/// It is the same as none for every call.
fn anothers_vm(ann: User, bob: User) {
    let (base, vm) = (filesystem(ann, "base"), VmId::random());
    let device = ann.attach(vm, &base).unwrap().device;
    assert_eq!(ann.network(vm, true).unwrap(), Change::Created);
    bob.list();
    let (before, log) = (There::now(), Log::from_here());
    assert_eq!(bob.read(device, "/etc/fstab").unwrap_err().code, Code::NotFound);
    before.is_all("a read of another's");
    assert_eq!(bob.write(device, 1).unwrap_err().code, Code::NotFound);
    before.is_all("a batch for another's");
    assert_eq!(bob.lend(device).unwrap_err().code, Code::NotFound);
    before.is_all("another's device, lent");
    assert_eq!(bob.detach(vm).unwrap(), Change::None);
    before.is_all("another's device, detached");
    assert_eq!(bob.discard(vm).unwrap().change, Change::None);
    before.is_all("another's overlay");
    assert_eq!(bob.network(vm, false).unwrap(), Change::None);
    before.is_all("another's tap");
    assert_eq!((bob.sweep(&[], true), bob.list()), (vec![], vec![]));
    before.is_all("another's objects");
    let calls = [
        "ReadExt4File",
        "WriteExt4Files",
        "LendDevice",
        "DetachSnapshot",
        "DiscardOverlay",
        "DetachNetwork",
        "Sweep",
        "ListObjects",
    ];
    log.is(&calls.map(|call| format!("{} {call} allowed", bob.uid)));
    ann.network(vm, false).unwrap();
    assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
}

/// A client that dies during the question is told of, and gets nothing done.
fn dies(ann: User) {
    let (before, log) = (There::now(), Log::from_here());
    let polkit = sh("systemctl show polkit --property=MainPID --value");
    // It is asked, and does not answer.
    sh(&format!("kill -STOP {polkit}"));
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", helper())).unwrap().count();
    let idle = descriptors();
    let mut client = Command::new("setpriv")
        .args(["--reuid=ann", "--regid=ann", "--init-groups"])
        .args(["/payload/bin/banger-ask", "attach-network"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the client has connected", || descriptors() > idle);
    // The question, too, is on its way, but on a machine that is too busy: then it dies in its message.
    std::thread::sleep(Duration::from_secs(1));
    client.kill().unwrap();
    client.wait().unwrap();
    wait_until("its end is told", || !log.entries().is_empty());
    let ways = ["abandoned", "refused"].map(|way| format!("{} AttachNetwork {way} ", ann.uid));
    let entries = log.entries();
    let told = |entry: &String| ways.iter().any(|way| entry.starts_with(way));
    assert!(entries.len() == 1 && entries.iter().all(told), "{entries:?}");
    sh(&format!("kill -CONT {polkit}"));
    before.is_all("a client that died during the question");
    assert_eq!(ann.network(VmId::random(), false).unwrap(), Change::None);
}

fn helper() -> u32 {
    crate::hygiene::helper().unwrap()
}

fn wait_until(what: &str, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
