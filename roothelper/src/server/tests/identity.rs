//! Who asks is what the kernel says, and nobody else may.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use banger_proto::roothelper::{AttachSnapshot, Change, Interaction, OfVm, RootHelper};
use banger_proto::{Code, VmId};

use super::raw::Raw;
use super::stage::{
    ALICE, BOB, Stage, as_user, asks, base_image, may_be_several_users, really, runtime,
};
use crate::audit::Decision;
use crate::authority::simulated::{Scripted, Simulated};
use crate::{Action, Method};

fn of_vm() -> OfVm {
    OfVm { vm: VmId::random(), interaction: Interaction::Never }
}

#[test]
fn a_call_is_authorised_by_the_sockets_uid_before_it_is_told_what_is_there() {
    let stage = Stage::new(Simulated::script([Scripted::Yes, Scripted::No]));
    let (first, second) = asks(ALICE, &stage.socket(), async |mut helper| {
        let first = helper.discard_overlay(of_vm()).await.unwrap();
        (first, helper.discard_overlay(of_vm()).await.unwrap_err())
    });
    assert_eq!(first.change, Change::None);
    assert_eq!(second.code, Code::PermissionDenied, "{second:?}");
    let question = (really(ALICE), Action::DiscardOverlays, Interaction::Never);
    assert_eq!(stage.polkit.questions(), [question, question]);
    let log = stage.log(2);
    assert_eq!(log[0].decision, Decision::Allowed);
    assert_eq!(log[1].decision, Decision::Refused);
    assert!(log.iter().all(|entry| entry.subject.uid == really(ALICE) && entry.vm.is_some()));
}

#[test]
fn metadata_carries_no_identity() {
    let stage = Stage::new(Simulated::no());
    let forged = [
        ("x-uid", "0"),
        ("x-remote-user", "root"),
        ("uid", "0"),
        ("authorization", "Bearer root"),
        ("x-forwarded-for", "uid=0"),
        ("banger-uid", "0"),
        ("grpc-timeout", "1H"),
    ];
    let message =
        prost::Message::encode_to_vec(&banger_proto::wire::roothelper::DetachNetworkRequest {
            vm_id: VmId::random().to_string(),
            allow_interaction: false,
        });
    let ended = as_user(ALICE, || {
        runtime().block_on(async {
            let body = super::raw::prefixed(&message);
            Raw::connect(&stage.socket()).await.call_with("DetachNetwork", &body, &forged).await
        })
    });
    assert_eq!(ended.code(), tonic::Code::PermissionDenied);
    assert_eq!(
        stage.polkit.questions(),
        [(really(ALICE), Action::ManageNetwork, Interaction::Never)]
    );
    assert_eq!(stage.only_entry().subject.uid, really(ALICE));
}

#[test]
fn root_and_unmapped_users_are_turned_away_at_once_and_told_why() {
    if !may_be_several_users() {
        return;
    }
    let stage = Stage::new(Simulated::yes());
    for (done, (uid, why)) in
        [(0, "root cannot use the helper"), (65_534, "overflow uid"), (1 << 31, "above 2147483647")]
            .into_iter()
            .enumerate()
    {
        let socket = stage.socket();
        let heard = as_user(uid, move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            String::from_utf8_lossy(&heard).into_owned()
        });
        assert!(heard.contains(why), "{uid}: {heard:?}");
        let socket = stage.socket();
        let refusal = as_user(uid, move || {
            runtime().block_on(async {
                match RootHelper::connect(&socket).await {
                    Err(refusal) => refusal,
                    Ok(mut helper) => helper.describe(false).await.unwrap_err(),
                }
            })
        });
        // Whether its library has read the reason when it gives up is a matter of luck.
        assert_eq!(refusal.code, Code::Unavailable, "{uid}: {refusal:?}");
        // One entry for each connection; the client's library may try again.
        let log = stage.log_at_least(2 * (done + 1));
        assert!(log.iter().all(|entry| entry.decision == Decision::Refused));
    }
    assert_eq!(stage.polkit.questions(), []);
}

/// A program that connects, waits for a line, and may hand its connection to a child.
const CLIENT: &str = "
import os, socket, sys
uid = int(sys.argv[2])
if os.geteuid() == 0:
    os.setresuid(*{'set-uid': (uid, 0, 0), 'plain': (uid, uid, uid)}[sys.argv[3]])
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
if sys.argv[4] == 'child' and os.fork():
    os._exit(0)
s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes(3) + b'\\x04' + bytes(5))
s.settimeout(60)
heard = b''
while len(heard) < int(sys.argv[5]):
    more = s.recv(4096)
    if not more: break
    heard += more
sys.stdout.buffer.write(heard)
";

fn client(stage: &Stage, kind: &str, holder: &str, bytes: &str) -> String {
    let output = Command::new("python3")
        .args(["-c", CLIENT])
        .arg(stage.socket())
        .args([&ALICE.to_string(), kind, holder, bytes])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_set_uid_program_connects_as_root_and_is_turned_away() {
    if !may_be_several_users() {
        return;
    }
    let stage = Stage::new(Simulated::yes());
    let heard = client(&stage, "set-uid", "self", "100000");
    assert!(heard.contains("root cannot use the helper"), "{heard:?}");
    assert_eq!(stage.only_entry().subject.uid, 0);
}

#[test]
fn a_connection_outlives_no_caller() {
    // The child of a process that connected and ended has the connection, and nobody to be.
    let stage = Stage::new(Simulated::yes());
    // Whether the server looks before or after the end is the machine's choice: either way it
    // gets no further than a greeting.
    client(&stage, "plain", "child", "9");
    let mut child = Command::new("python3")
        .args(["-c", "import socket, os, sys\nif os.geteuid() == 0: os.setuid(int(sys.argv[2]))\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\nos.fork() or (sys.stdout.write('x'), sys.stdout.flush(), sys.stdin.read(1), os._exit(0))\nos._exit(0)"])
        .arg(stage.socket())
        .arg(ALICE.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stage.polkit.questions(), []);
}

#[test]
fn a_caller_that_ends_while_polkit_is_asked_gets_nothing_done() {
    // polkit's yes comes when the client is gone.
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&child),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    let caller = crate::Caller::new(
        crate::OwnerUid::new(1000).unwrap(),
        rustix::process::Pid::from_child(&child),
        pidfd,
    );
    let kept = crate::audit::Kept::default();
    let end = move || {
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let polkit = Simulated::script([Scripted::After(Box::new(end), Box::new(Scripted::Yes))]);
    let gate = crate::Gate::new(Box::new(polkit), crate::audit::Audit::new(Box::new(kept.clone())));
    let call = crate::call::DiscardOverlay(of_vm());
    let refusal = runtime().block_on(gate.permit(&caller, call)).unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
    assert_eq!(kept.entries().len(), 1);
}

#[test]
fn another_users_calls_are_asked_about_as_that_users() {
    if !may_be_several_users() {
        return;
    }
    let stage = Stage::new(Simulated::yes());
    for uid in [ALICE, BOB] {
        asks(uid, &stage.socket(), async |mut helper| {
            assert_eq!(helper.detach_network(of_vm()).await.unwrap(), Change::None);
        });
    }
    let asked: Vec<_> = stage.polkit.questions().into_iter().map(|question| question.0).collect();
    assert_eq!(asked, [ALICE, BOB]);
}

#[test]
fn every_call_is_asked_about_with_its_own_action_and_has_one_entry() {
    use banger_proto::roothelper::{
        DetachSnapshot, DeviceHandle, Diskseq, LendDevice, ReadExt4, Sweep, WriteExt4,
    };
    let stage = Stage::new(Simulated::yes());
    let vm = VmId::random();
    let interaction = Interaction::Allowed;
    let device = DeviceHandle { vm, diskseq: Diskseq::new(7).unwrap() };
    asks(ALICE, &stage.socket(), async |mut helper| {
        let path = banger_proto::GuestPath::new("/etc/fstab").unwrap();
        let write = banger_proto::roothelper::Ext4Write {
            path: path.clone(),
            operation: banger_proto::roothelper::Ext4Operation::Removed,
        };
        let file = base_image();
        let base = std::sync::Arc::new(std::fs::File::open(file.path()).unwrap().into());
        let attach = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
        let read = ReadExt4 { device, paths: vec![path], limit_bytes: 9, interaction };
        let sweep = Sweep { keep: vec![vm], dry_run: true, include_overlays: false, interaction };
        let codes = [
            helper.attach_snapshot(attach, base).await.err(),
            helper.read_ext4_file(read).await.err(),
            helper
                .write_ext4_files(WriteExt4 { device, writes: vec![write], interaction })
                .await
                .err(),
            helper.lend_device(LendDevice { device, interaction }).await.err(),
            helper.detach_snapshot(DetachSnapshot { vm, diskseq: None, interaction }).await.err(),
            helper.discard_overlay(OfVm { vm, interaction }).await.err(),
            helper.list_objects().await.err(),
            helper.sweep(sweep).await.err(),
        ];
        for refusal in codes.into_iter().flatten() {
            assert_ne!(refusal.code, Code::PermissionDenied, "{refusal:?}");
        }
        let attached = helper.attach_network(OfVm { vm, interaction }).await.unwrap();
        assert_eq!(attached.change, Change::Created);
        let detached = helper.detach_network(OfVm { vm, interaction }).await.unwrap();
        assert_eq!(detached, Change::Removed);
        drop(helper.describe(false).await.unwrap());
    });
    let log = stage.log(Method::ALL.len());
    let mut methods: Vec<_> = log.iter().map(|entry| entry.method.unwrap().name()).collect();
    methods.sort_unstable();
    let mut all: Vec<_> = Method::ALL.into_iter().map(Method::name).collect();
    all.sort_unstable();
    assert_eq!(methods, all);
    assert_eq!(stage.polkit.questions().len(), 9);
    assert!(stage.polkit.questions().iter().all(|question| question.2 == interaction));
}

#[test]
fn describe_tells_the_hosts_lacks_and_polkits_answers() {
    use banger_proto::roothelper::{Answer, FacilityKind};
    let stage = Stage::new(Simulated::script([Scripted::Yes, Scripted::Challenge, Scripted::No]));
    stage.kernel.state().missing.insert("udev-rules", "56-banger-dm.rules is not there".into());
    stage.kernel.state().disk = 1000;
    let described =
        asks(ALICE, &stage.socket(), async |mut helper| helper.describe(true).await.unwrap());
    let answers: Vec<_> = described.actions.iter().map(|row| row.answer).collect();
    assert_eq!(answers, [Answer::Yes, Answer::Challenge, Answer::No, Answer::No]);
    let lacks: Vec<_> =
        described.facilities.iter().filter(|facility| !facility.available).collect();
    assert_eq!(lacks.len(), 1);
    assert_eq!(lacks[0].kind, FacilityKind::UdevRules);
    assert_eq!(described.facilities.len(), FacilityKind::ALL.len());
    assert_eq!(described.minimum_kernel, "6.5");
    assert_eq!(described.usage.overlay_free_bytes, 1000);
    assert_eq!(described.limits.vms, 64);
    assert!(stage.polkit.questions().iter().all(|question| question.2 == Interaction::Never));
}
