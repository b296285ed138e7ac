//! What the helper asks the kernel for, seen from outside: all calls and bad inputs of each kind.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;

use banger_proto::VmId;
use banger_proto::roothelper::Change;
use banger_proto::wire::roothelper as wire;
use banger_tests::testbed::inside_with_helper as inside;
use prost::Message;
use tonic::Code;

use super::{Bad, attach, each, ready};
use crate::asking::members;
use crate::files::{FSTAB, filesystem};
use crate::raw::prefixed;
use crate::trace::Trace;

#[test]
fn whatever_is_asked_only_workers_are_executed_and_nothing_is_opened_that_a_client_names() {
    inside(|| {
        let [ann] = members(["ann"]);
        ready(ann);
        let (base, vm) = (filesystem(ann, "base"), VmId::random());
        let trace = Trace::of_helper(&["-e", "trace=%file,execveat,connect,bind"]);
        let device = ann.attach(vm, &base).unwrap().device;
        assert_eq!(ann.read(device, "/etc/fstab").unwrap(), FSTAB.as_bytes());
        ann.write(device, 3).unwrap();
        ann.lend(device).unwrap();
        assert_eq!(ann.network(vm, true).unwrap(), Change::Created);
        assert_eq!(ann.list().len(), 3);
        let described = ann.asks(|mut helper| async move { helper.describe(true).await });
        assert_eq!(described.unwrap().actions.len(), 4);
        assert_eq!(ann.network(vm, false).unwrap(), Change::Removed);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        ann.discard(vm).unwrap();
        let (left, other) = (VmId::random(), VmId::random());
        ann.attach(left, &base).unwrap();
        ann.network(other, true).unwrap();
        assert_eq!(ann.sweep(&[], true).len(), 3);

        let open = |path: &str| -> OwnedFd { File::open(path).unwrap().into() };
        let detach = |vm_id: &str| wire::DetachNetworkRequest {
            vm_id: vm_id.to_owned(),
            allow_interaction: false,
        };
        let read = wire::ReadExt4FileRequest {
            device: Some(wire::DeviceHandle { vm_id: vm.to_string(), diskseq: 1 }),
            paths: vec![b"/etc/../../../etc/shadow".to_vec()],
            limit_bytes: 9,
            allow_interaction: false,
        };
        let wrong = Code::InvalidArgument;
        let promise = [&[0][..], &(1_u32 << 30).to_be_bytes()].concat();
        let attach_with = |what, path, code| {
            Bad::new(what, "AttachSnapshot", &attach(), code).with(vec![vec![open(path)]])
        };
        let closed = Bad::new("three", "AttachSnapshot", &attach(), wrong)
            .with(vec![["/etc/shadow"; 3].map(open).into()]);
        each(
            ann,
            vec![
                Bad::new("a path", "DetachNetwork", &detach("/etc/shadow"), wrong),
                Bad::bytes(
                    "no UTF-8",
                    "DetachNetwork",
                    prefixed(&[b"\x0a\x0c\xff", &b"/etc/shadow"[..]].concat()),
                    wrong,
                ),
                Bad::bytes("a gigabyte", "Sweep", promise, Code::ResourceExhausted),
                Bad::bytes("a path up", "ReadExt4File", prefixed(&read.encode_to_vec()), wrong),
                attach_with("a folder", "/var/tmp", wrong),
                attach_with("the disk", "/dev/vda", wrong),
                attach_with("a file of root's", "/etc/shadow", Code::FailedPrecondition),
                Bad { ends: None, ..closed },
            ],
        );
        let trace = trace.end();
        let lines = || trace.lines().filter(|line| !line.contains("ENOENT"));
        let executed: Vec<_> = lines().filter(|line| line.contains(" exec")).collect();
        // Reading, the batch, and looking at what it left.
        assert_eq!(executed.len(), 3, "{executed:#?}");
        for line in executed {
            assert!(line.contains("execve(\"/proc/self/fd/"), "{line}");
            assert!(line.contains("[\"banger-roothelper\", \"ext4-worker\""), "{line}");
            assert!(line.contains("0 vars"), "{line}");
        }
        let named: BTreeSet<_> =
            lines().flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
        // Of its own: names relative to a folder that is open, and these.
        let folders = [
            "/dev/",
            "/lib/",
            "/proc/self/",
            "/proc/sys/net/",
            "/run/udev/",
            "/sys/",
            "/usr/lib/",
            "/var/lib/banger/",
        ];
        let files = [
            "/",
            "/dev",
            "/etc/ld.so.cache",
            "/run/dbus/system_bus_socket",
            "/run/systemd/journal/socket",
            "/var/lib/banger",
        ];
        let is_own = |name: &str| {
            !name.starts_with('/')
                || files.contains(&name)
                || folders.iter().any(|folder| name.starts_with(folder))
        };
        let others: Vec<_> = named.iter().filter(|name| !is_own(name)).collect();
        assert!(others.is_empty(), "{others:#?} of {named:#?}");
        assert!(named.len() > 10, "{named:#?}");
        for line in lines() {
            for clients in ["/var/tmp", "/home", "/payload", "shadow", "/dev/vda", "base"] {
                assert!(!line.contains(clients), "{line}");
            }
        }
    });
}
