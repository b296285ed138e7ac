//! The calls, as users make them, also at once, of a helper that has this kernel.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_proto::roothelper::{AttachedNetwork, Change, Interaction, OfVm, RootHelper};
use banger_proto::{Code, Refusal, VmId};
use banger_roothelper::audit::{Audit, Kept};
use banger_roothelper::authority::simulated::Simulated as Polkit;
use banger_roothelper::kernel::network::{Guest, hardware};
use banger_roothelper::kernel::{Linux, Network};
use banger_roothelper::server::{Capacity, Server};
use banger_roothelper::{Config, Gate, Limits};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::frame::Frame;
use super::place::{ANN, BEN, Card, name, sh};

/// A helper that serves.
pub(super) struct Helper {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    end: Option<oneshot::Sender<()>>,
    served: Option<std::thread::JoinHandle<()>>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Helper {
    pub(super) fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        for open in [folder.path(), &socket] {
            std::fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        }
        let gate = Gate::new(Box::new(Polkit::yes()), Audit::new(Box::new(Kept::default())));
        let (end, ended) = oneshot::channel();
        let served = std::thread::spawn(move || {
            runtime().block_on(async {
                let server = Server::new(gate, Arc::new(Linux::default()), config);
                let listener = UnixListener::from_std(listener).unwrap();
                server.serve(listener, Capacity::UNIT, async { drop(ended.await) }).await;
            });
        });
        Self { _folder: folder, socket, end: Some(end), served: Some(served) }
    }

    pub(super) fn attach(&self, uid: u32, vm: VmId) -> Result<AttachedNetwork, Refusal> {
        ask(uid, &self.socket, |mut helper| async move { helper.attach_network(of(vm)).await })
    }

    fn detach(&self, uid: u32, vm: VmId) -> Result<Change, Refusal> {
        ask(uid, &self.socket, |mut helper| async move { helper.detach_network(of(vm)).await })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.served.take().unwrap().join());
    }
}

fn of(vm: VmId) -> OfVm {
    OfVm { vm, interaction: Interaction::Never }
}

/// Its card's address, as programs take it.
fn mac(guest: Guest) -> String {
    guest.hardware().map(|byte| format!("{byte:02x}")).join(":")
}

/// Asks as a user: the kernel takes a thread's rights at connect().
fn ask<T: Send, F: Future<Output = Result<T, Refusal>>>(
    uid: u32,
    socket: &Path,
    question: impl FnOnce(RootHelper) -> F + Send,
) -> Result<T, Refusal> {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let uid = Uid::from_raw(uid);
            set_thread_res_uid(uid, uid, uid).unwrap();
            runtime().block_on(async { question(RootHelper::connect(socket).await?).await })
        });
        asking.join().unwrap()
    })
}

#[test]
fn attached_at_once_every_vm_has_an_address_of_its_own_and_nothing_is_left_of_them() {
    alone!();
    let config = Config { pool: "10.9.8.0/27".parse().unwrap(), ..Config::default() };
    let helper = Helper::new(config);
    let before = sh("ip -oneline link | wc -l");
    let vms: Vec<_> = (0..20).map(|at| ([ANN, BEN][at % 2], VmId::random())).collect();
    let at_once = |what: &(dyn Fn(u32, VmId) -> String + Sync)| -> Vec<String> {
        std::thread::scope(|scope| {
            let all: Vec<_> =
                vms.iter().map(|(uid, vm)| scope.spawn(move || what(*uid, *vm))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let attach = |uid, vm| helper.attach(uid, vm).unwrap().tap.address.to_string();
    let addresses = at_once(&attach);
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 20, "{addresses:?}");
    // Each keeps its own.
    assert_eq!(at_once(&attach), addresses);
    let taps = Linux::default().wiring().unwrap().taps;
    assert_eq!(taps.len(), 20);
    let mut card = Card::of(taps[7].guest);
    let gateway = "10.9.8.1".parse().unwrap();
    let between = (hardware(gateway), taps[7].guest.hardware());
    card.send(&Frame::ping(between, (taps[7].guest.address, gateway), 2));
    card.expect("an answer", |frame| frame.answers(2));

    // Nine more fit, and then none.
    for _ in 0..9 {
        helper.attach(ANN, VmId::random()).unwrap();
    }
    let refusal = helper.attach(BEN, VmId::random()).unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted, "{refusal:?}");
    assert!(refusal.message.contains("all 29 addresses"), "{refusal:?}");

    // Another's is as none.
    let (_, anns) = vms[0];
    assert_eq!(helper.detach(BEN, anns).unwrap(), Change::None);
    let detached = at_once(&|uid, vm| format!("{:?}", helper.detach(uid, vm).unwrap()));
    assert_eq!(detached, vec!["Removed"; 20]);
    assert_eq!(helper.detach(ANN, anns).unwrap(), Change::None);
    let left = Linux::default().wiring().unwrap().taps;
    assert_eq!(left.len(), 9);
    for tap in left {
        helper.detach(ANN, tap.guest.ownership.vm).unwrap();
    }
    let after: u32 = sh("ip -oneline link | wc -l").parse().unwrap();
    assert_eq!(after, before.parse::<u32>().unwrap() + 1, "the bridge stays");
    assert_eq!(sh("nft list set bridge banger guests | grep -c elements || true"), "0");
    assert_eq!(sh("ip neigh show dev banger0 nud permanent"), "");
}

#[test]
fn what_the_host_has_already_is_refused_and_left_alone() {
    alone!();
    let limits = Limits { vms: 1, ..Limits::default() };
    let helper = Helper::new(Config { limits, ..Config::default() });
    sh("ip link add wg0 type bridge; ip link set wg0 up; ip address add 192.0.2.1/24 dev wg0");
    let refused = |add: &str, remove: &str| {
        sh(add);
        let state = "ip -oneline link | cut -d ' ' -f 2; ip -oneline -4 address | cut -d ' ' -f 2-7; \
                     ip -4 route show table all | sed 's/linkdown *//'; nft list ruleset";
        let before = sh(state);
        let refusal = helper.attach(ANN, VmId::random()).unwrap_err();
        assert_eq!(refusal.code, Code::FailedPrecondition, "{add}: {refusal:?}");
        assert!(!refusal.hint.is_empty());
        assert_eq!(sh(state), before, "{add}");
        sh(remove);
        refusal.message
    };
    let said = refused(
        "ip route add 172.16.0.0/12 via 192.0.2.2",
        "ip route delete 172.16.0.0/12 via 192.0.2.2",
    );
    assert!(said.contains("172.16.0.0/24, collides") && said.contains("172.16.0.0/12 through wg0"));
    refused("ip route add 172.16.0.7 dev wg0 table 99", "ip route delete 172.16.0.7 table 99");
    refused("ip route add blackhole 172.16.0.0/16", "ip route delete blackhole 172.16.0.0/16");
    refused("ip address add 172.16.0.9/32 dev wg0", "ip address delete 172.16.0.9/32 dev wg0");
    let said = refused("ip link add banger0 type bridge", "ip link delete banger0");
    assert!(said.contains("did not make"), "{said}");

    // A way to everywhere is none of these, nor is its other half.
    sh("ip route add default via 192.0.2.2; ip route add 128.0.0.0/1 via 192.0.2.3");
    let vm = VmId::random();
    let first = helper.attach(ANN, vm).unwrap();
    assert_eq!((first.change, first.tap.prefix, first.nat), (Change::Created, 24, false));
    let refusal = helper.attach(ANN, VmId::random()).unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted);
    // What comes to pass later concerns nobody who is there.
    sh("ip route add 172.16.0.0/12 via 192.0.2.2");
    let again = helper.attach(ANN, vm).unwrap();
    assert_eq!((again.change, again.tap), (Change::None, first.tap));

    // Whatever an administrator did to bridge and tap, the next attach sets it right.
    let tap = Linux::default().wiring().unwrap().taps[0];
    let port = name(tap.guest);
    let port_is = || sh(&format!("ip -details link show {port}"));
    for done in [
        "ip link delete banger0; nft flush ruleset".to_owned(),
        format!("ip link set {port} nomaster; ip link set {port} down"),
        format!("bridge fdb delete {} dev {port} master", mac(tap.guest)),
        format!(
            "ip link set {port} type bridge_slave isolated off learning on flood on; ip link set {port} arp on"
        ),
    ] {
        sh(&done);
        assert_eq!(helper.attach(ANN, vm).unwrap().change, Change::None, "{done}");
        for what in ["master banger0", "isolated on", "learning off", " flood off", "NOARP"] {
            assert!(port_is().contains(what), "{done}: {what}\n{}", port_is());
        }
        let mut card = Card::of(tap.guest);
        card.send(&super::frame::good_ping(tap.guest, 9));
        card.expect("an answer", |frame| frame.answers(9));
    }

    // Its owner gives the tap up behind the helper's back: what was said of it goes too.
    sh(&format!("ip link delete {port}"));
    assert_eq!(helper.detach(ANN, vm).unwrap(), Change::None);
    assert_eq!(sh("nft list set bridge banger guests | grep -c elements || true"), "0");
}
