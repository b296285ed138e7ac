//! Messages that cannot be, or ask for too much.

use banger_proto::VmId;
use banger_proto::wire::roothelper as wire;
use banger_tests::testbed::inside_with_helper as inside;
use prost::Message;
use tonic::Code;

use super::{ABOUT_A_VM, Bad, attach, each, handle, ready, removal};
use crate::asking::{User, members, open};
use crate::raw::prefixed;

#[test]
fn a_message_that_cannot_be_or_asks_for_too_much_is_refused_by_every_call() {
    inside(|| {
        // Each may have so many refusals in the log at once.
        let [ann, bob] = members(["ann", "bob"]);
        ready(ann);
        ids(bob);
        too_much_or_nothing(ann);
        free_bytes(bob);
    });
}

/// Ids in other spellings.
fn ids(user: User) {
    let base = user.image("base", 1 << 20);
    let good = VmId::random().to_string();
    let bad = [
        ("empty", String::new()),
        ("of 35", good[..35].to_owned()),
        ("of 37", format!("{good}0")),
        ("in capitals", good.to_uppercase()),
        ("a path", "../x".to_owned()),
        ("a path of 36", format!("../{}", "x".repeat(33))),
        ("with a NUL", format!("{}\0", &good[..35])),
        ("of 1 MiB", "a".repeat(1 << 20)),
    ];
    let mut calls = Vec::new();
    for (method, message) in ABOUT_A_VM {
        // Every spelling is tried with one call, and some with each.
        let some = bad.iter().filter(|(name, _)| {
            method == "AttachSnapshot" || ["empty", "a path", "of 1 MiB"].contains(name)
        });
        for (name, id) in some {
            // The message itself is longer than it may be, but for a batch.
            let long = id.len() > 1000 && method != "WriteExt4Files";
            let code = if long { Code::ResourceExhausted } else { Code::InvalidArgument };
            let bytes = prefixed(&message(id.clone()));
            let bad = Bad::bytes(format!("{method}, an id {name}"), method, bytes, code);
            let with = method == "AttachSnapshot";
            let load = || vec![std::fs::File::open(&base).unwrap().into()];
            calls.push(bad.with(if with { vec![load()] } else { vec![] }));
        }
    }
    each(user, calls);
}

/// Lists, numbers and bytes.
fn too_much_or_nothing(ann: User) {
    let device = || handle(VmId::random().to_string());
    let read = |paths, limit_bytes| wire::ReadExt4FileRequest {
        device: device(),
        paths,
        limit_bytes,
        allow_interaction: false,
    };
    let write =
        |writes| wire::WriteExt4FilesRequest { device: device(), writes, allow_interaction: false };
    let paths = |count| vec![b"/f".to_vec(); count];
    let mut bad = Vec::new();
    for (what, limit) in
        [("one more than the limit", (1 << 20) + 1), ("2^63", 1 << 63), ("all", u64::MAX)]
    {
        let what = format!("a read of {what} bytes");
        bad.push(Bad::new(what, "ReadExt4File", &read(paths(1), limit), Code::InvalidArgument));
    }
    for (what, paths) in [
        ("no path", vec![]),
        ("65 paths", paths(65)),
        ("a path that leads up", vec![b"/etc/../../../etc/shadow".to_vec()]),
        ("a path from nowhere", vec![b"etc/shadow".to_vec()]),
        ("a path with a NUL", vec![b"/etc/\0".to_vec()]),
        ("a path of 4096", vec![[&b"/"[..], &[b'a'; 4095]].concat()]),
    ] {
        bad.push(Bad::new(what, "ReadExt4File", &read(paths, 9), Code::InvalidArgument));
    }
    let file = |content, mode| {
        let file = wire::WriteFile { content, mode, uid: 0, gid: 0 };
        let operation = Some(wire::ext4_write::Operation::File(file));
        wire::Ext4Write { path: b"/f".to_vec(), operation }
    };
    let nothing = wire::Ext4Write { path: b"/f".to_vec(), operation: None };
    let link = |target: &[u8]| {
        let link = wire::MakeSymlink { target: target.to_vec() };
        let operation = Some(wire::ext4_write::Operation::Symlink(link));
        wire::Ext4Write { path: b"/f".to_vec(), operation }
    };
    for (what, writes) in [
        ("a batch of nothing", vec![]),
        ("a batch of 1025", vec![removal(); 1025]),
        ("a batch of 65,536", vec![removal(); 65_536]),
        ("a batch of too many bytes", vec![file(vec![0; 1 << 20], 0o644); 3]),
        ("a write without an operation", vec![nothing]),
        ("a file of another type", vec![file(vec![], 0o100_644)]),
        ("a mode of 2^31", vec![file(vec![], 1 << 31)]),
        ("a link to nowhere", vec![link(b"")]),
        ("a link with a NUL", vec![link(b"a\0b")]),
    ] {
        bad.push(Bad::new(what, "WriteExt4Files", &write(writes), Code::InvalidArgument));
    }
    // An operation that this contract does not have, 7, and one of another type than it has.
    let of = |write: &[u8]| {
        let device = device().unwrap().encode_to_vec();
        let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8], bytes].concat();
        prefixed(&[field(0x0a, &device), field(0x12, write)].concat())
    };
    for (what, write) in [
        ("an unknown operation", &b"\x0a\x02/f\x3a\x00"[..]),
        ("an operation that is a number", b"\x0a\x02/f\x10\x01"),
    ] {
        bad.push(Bad::bytes(what, "WriteExt4Files", of(write), Code::InvalidArgument));
    }
    let keep = vec![VmId::random().to_string(); 8193];
    let keep = wire::SweepRequest { keep_vm_ids: keep, ..Default::default() };
    bad.push(Bad::new("a sweep that keeps 8193", "Sweep", &keep, Code::InvalidArgument));
    let lend = |device| wire::LendDeviceRequest { device, allow_interaction: false };
    let none = wire::DeviceHandle { vm_id: VmId::random().to_string(), diskseq: 0 };
    for (what, device) in [("a handle of nothing", None), ("disk 0", Some(none))] {
        bad.push(Bad::new(what, "LendDevice", &lend(device), Code::InvalidArgument));
    }
    let last = wire::DeviceHandle { vm_id: VmId::random().to_string(), diskseq: u64::MAX };
    bad.push(Bad::new("the last disk", "LendDevice", &lend(Some(last)), Code::NotFound).allowed());

    let detach = "DetachNetwork";
    for (what, bytes) in [
        ("no UTF-8", &b"\x0a\x04\xff\xfe\xfd\xfc"[..]),
        ("a length beyond the end", b"\x0a\x7f"),
        ("a group without an end", b"\x0b\x0b\x0b"),
        ("all ones", &[0xff; 1000]),
        ("an interaction that is neither", b"\x12\x01x"),
    ] {
        bad.push(Bad::bytes(what, detach, prefixed(bytes), Code::InvalidArgument));
    }
    for length in [1_u32 << 30, u32::MAX] {
        let promise = [&[0][..], &length.to_be_bytes()].concat();
        for method in [detach, "WriteExt4Files"] {
            let what = format!("{method} that promises {length} bytes");
            bad.push(Bad::bytes(what, method, promise.clone(), Code::ResourceExhausted));
        }
    }
    each(ann, bad);
}

/// What an attach asks to be free is a number of bytes, and any is answered.
fn free_bytes(ann: User) {
    let base = ann.image("base", 1 << 20);
    let asking = |free_bytes| {
        let request = wire::AttachSnapshotRequest { free_bytes, ..attach() };
        let what = format!("{free_bytes} bytes free");
        let load = vec![std::fs::File::open(&base).unwrap().into()];
        Bad::new(what, "AttachSnapshot", &request, Code::ResourceExhausted)
            .allowed()
            .with(vec![load])
    };
    let sizes = [1 << 50, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX];
    each(ann, sizes.map(asking).into());
    // One byte, and none, are free: these are made, and gone when they are taken away.
    let before = crate::hygiene::There::now();
    for free_bytes in [0, 1, 511] {
        let vm = VmId::random();
        let request =
            banger_proto::roothelper::AttachSnapshot { free_bytes, ..crate::asking::attaching(vm) };
        let base = open(&base);
        ann.asks(|helper| async move { helper.attach_snapshot(request, base).await }).unwrap();
        ann.detach(vm).unwrap();
        ann.discard(vm).unwrap();
        before.is_all(&format!("{free_bytes} bytes free"));
    }
}
