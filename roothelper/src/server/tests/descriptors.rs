//! One descriptor, before its request; everything else closes the connection.

use std::fs::File;
use std::os::fd::OwnedFd;

use banger_proto::VmId;
use banger_proto::wire::roothelper as wire;
use prost::Message;
use tempfile::NamedTempFile;

use super::raw::{Ended, Raw};
use super::stage::{ALICE, Stage, as_user, base_image, runtime};
use crate::authority::simulated::Simulated;

fn attach() -> Vec<u8> {
    wire::AttachSnapshotRequest { vm_id: VmId::random().to_string(), ..Default::default() }
        .encode_to_vec()
}

fn descriptors(base: &NamedTempFile, count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| File::open(base.path()).unwrap().into()).collect()
}

/// What becomes of calls on a connection whose first writes carry these descriptors.
fn calls(stage: &Stage, loads: Vec<Vec<OwnedFd>>, methods: &[(&str, Vec<u8>)]) -> Vec<Ended> {
    let socket = stage.socket();
    as_user(ALICE, || {
        runtime().block_on(async {
            let Ok(mut raw) = Raw::connect_with(&socket, loads).await else {
                return methods.iter().map(|_| Ended::Closed).collect();
            };
            let mut ended = Vec::new();
            for (method, message) in methods {
                ended.push(raw.call(method, message).await);
            }
            ended
        })
    })
}

/// Descriptors that this process has open.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn one_descriptor_is_for_one_attach() {
    let base = base_image();
    let stage = Stage::new(Simulated::yes());
    let twice = [("AttachSnapshot", attach()), ("AttachSnapshot", attach())];
    let ended = calls(&stage, vec![descriptors(&base, 1)], &twice);
    // It names no overlay, and asks for none to be made.
    assert_eq!(ended[0].code(), tonic::Code::NotFound);
    assert_eq!(ended[1].code(), tonic::Code::InvalidArgument);
    assert_eq!(stage.polkit.questions().len(), 1);
    stage.log(2);
}

#[test]
fn an_attach_without_a_descriptor_is_refused_before_anybody_is_asked() {
    let stage = Stage::new(Simulated::yes());
    let ended = calls(&stage, vec![], &[("AttachSnapshot", attach())]);
    assert_eq!(ended[0].code(), tonic::Code::InvalidArgument);
    assert_eq!(stage.polkit.questions(), []);
    stage.only_entry();
}

#[test]
fn another_call_with_a_descriptor_is_refused() {
    let base = base_image();
    let stage = Stage::new(Simulated::yes());
    let ended = calls(&stage, vec![descriptors(&base, 1)], &[("ListObjects", Vec::new())]);
    assert_eq!(ended[0].code(), tonic::Code::InvalidArgument);
    assert_eq!(stage.polkit.questions(), []);
    stage.only_entry();
}

#[test]
fn too_many_descriptors_close_the_connection_and_none_stays_open() {
    let base = base_image();
    let stage = Stage::new(Simulated::yes());
    let ways: [Vec<usize>; 5] = [vec![2], vec![3], vec![200], vec![253], vec![1, 1]];
    for way in &ways {
        let loads = way.iter().map(|&count| descriptors(&base, count)).collect();
        let ended = calls(&stage, loads, &[("AttachSnapshot", attach())]);
        assert_eq!(ended, [Ended::Closed], "{way:?}");
    }
    assert_eq!(stage.polkit.questions(), []);
    // Another connection is served on.
    let ended = calls(&stage, vec![descriptors(&base, 1)], &[("AttachSnapshot", attach())]);
    // It names no overlay, and asks for none to be made.
    assert_eq!(ended[0].code(), tonic::Code::NotFound);
    let (_, log) = stage.end();
    assert_eq!(log.len(), ways.len() + 1, "{log:#?}");
    // Each test has a process of its own: what is open now was open before.
    let before = open();
    let stage = Stage::new(Simulated::yes());
    calls(&stage, vec![descriptors(&base, 200)], &[("AttachSnapshot", attach())]);
    stage.end();
    assert_eq!(open(), before);
}
