//! Messages that cannot be: refused before anybody is asked, with one entry each.

use banger_proto::VmId;
use banger_proto::wire::roothelper as wire;
use hyper::body::Bytes;
use prost::Message;

use super::raw::{Ended, Raw, ended, prefixed};
use super::stage::{ALICE, SHORT, Stage, as_user, runtime};
use crate::audit::Decision;
use crate::authority::simulated::Simulated;
use crate::server::Capacity;

/// Calls with the message, on a connection of its own.
fn call(stage: &Stage, method: &str, message: &[u8]) -> Ended {
    call_with(stage, method, &prefixed(message))
}

fn call_with(stage: &Stage, method: &str, body: &[u8]) -> Ended {
    let socket = stage.socket();
    as_user(ALICE, || {
        runtime().block_on(async { Raw::connect(&socket).await.call_with(method, body, &[]).await })
    })
}

#[test]
fn ids_in_other_spellings_are_refused() {
    let stage = Stage::new(Simulated::yes());
    let good = VmId::random().to_string();
    let bad = [
        String::new(),
        good[..35].to_owned(),
        format!("{good}0"),
        good.to_uppercase(),
        "../x".to_owned(),
        format!("{good}\0"),
        "\0".repeat(36),
        "a".repeat(1 << 19),
    ];
    for id in &bad {
        let message = wire::DiscardOverlayRequest { vm_id: id.clone(), allow_interaction: true };
        let ended = call(&stage, "DiscardOverlay", &message.encode_to_vec());
        assert_eq!(ended.code(), tonic::Code::InvalidArgument, "{:?}", id.get(..40));
    }
    assert_eq!(stage.polkit.questions(), []);
    for entry in stage.log(bad.len()) {
        assert_eq!(entry.decision, Decision::Refused);
        assert!(entry.said.unwrap_or_default().len() <= 64);
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_and_told() {
    let stage = Stage::new(Simulated::yes());
    // Field 1, a text, that is no UTF-8; a length beyond the end; a group that never ends.
    let bad: [&[u8]; 4] =
        [b"\x0a\x04\xff\xfe\xfd\xfc", b"\x0a\x7f", b"\x0b\x0b\x0b", &[0xff; 1000]];
    for message in bad {
        let ended = call(&stage, "DetachNetwork", message);
        assert_eq!(ended.code(), tonic::Code::InvalidArgument, "{message:?}: {ended:?}");
    }
    // Marked as packed, which nobody agreed on.
    let packed = [&[1], &prefixed(b"x")[1..]].concat();
    assert_ne!(call_with(&stage, "DetachNetwork", &packed).code(), tonic::Code::Ok);
    // No message at all.
    assert_ne!(call_with(&stage, "DetachNetwork", b"").code(), tonic::Code::Ok);
    assert_eq!(stage.polkit.questions(), []);
    stage.log(6);
}

#[test]
fn a_message_may_not_be_longer_than_the_contract_says() {
    let stage = Stage::new(Simulated::yes());
    let vm_id =
        |length| wire::DetachNetworkRequest { vm_id: "a".repeat(length), ..Default::default() };
    let over = call(&stage, "DetachNetwork", &vm_id(1 << 20).encode_to_vec());
    assert_eq!(over.code(), tonic::Code::ResourceExhausted);
    // A prefix that promises a gigabyte, and nothing behind it.
    for length in [1_u32 << 30, u32::MAX, (4 << 20) + 1] {
        let promise = [&[0][..], &length.to_be_bytes()].concat();
        for method in ["DetachNetwork", "WriteExt4Files"] {
            let ended = call_with(&stage, method, &promise);
            assert_eq!(ended.code(), tonic::Code::ResourceExhausted, "{length} {method}");
        }
    }
    // A batch of files may have more than others, up to its own limit.
    let file = wire::WriteFile { content: vec![0; 2 << 20], ..Default::default() };
    let write = wire::Ext4Write {
        path: b"/f".to_vec(),
        operation: Some(wire::ext4_write::Operation::File(file)),
    };
    let device = wire::DeviceHandle { vm_id: VmId::random().to_string(), diskseq: 1 };
    let batch = wire::WriteExt4FilesRequest {
        device: Some(device),
        writes: vec![write],
        allow_interaction: false,
    };
    let ended = call(&stage, "WriteExt4Files", &batch.encode_to_vec());
    // It was read and asked about; there are no workers here.
    assert_eq!(ended.code(), tonic::Code::FailedPrecondition, "{ended:?}");
    assert_eq!(stage.polkit.questions().len(), 1);
    stage.log(8);
}

#[test]
fn lists_may_not_be_longer_than_the_limits_say() {
    let stage = Stage::new(Simulated::yes());
    let device = Some(wire::DeviceHandle { vm_id: VmId::random().to_string(), diskseq: 1 });
    let write = wire::Ext4Write {
        path: b"/f".to_vec(),
        operation: Some(wire::ext4_write::Operation::Remove(wire::Remove {})),
    };
    let batch = wire::WriteExt4FilesRequest {
        device: device.clone(),
        writes: vec![write; 65_536],
        allow_interaction: false,
    };
    let read = wire::ReadExt4FileRequest {
        device: device.clone(),
        paths: vec![b"/f".to_vec(); 65],
        limit_bytes: 10,
        allow_interaction: false,
    };
    let much = wire::ReadExt4FileRequest {
        device,
        paths: vec![b"/f".to_vec()],
        limit_bytes: 1 << 63,
        allow_interaction: false,
    };
    for (method, message) in [
        ("WriteExt4Files", batch.encode_to_vec()),
        ("ReadExt4File", read.encode_to_vec()),
        ("ReadExt4File", much.encode_to_vec()),
    ] {
        let ended = call(&stage, method, &message);
        assert_eq!(ended.code(), tonic::Code::InvalidArgument, "{ended:?}");
    }
    // Nothing two million times: what it would become in memory is more than the helper may have.
    let nothing = [0x12, 0x00].repeat((4 << 20) / 2 - 8);
    let ended = call(&stage, "WriteExt4Files", &nothing);
    assert_eq!(ended.code(), tonic::Code::InvalidArgument, "{ended:?}");
    assert_eq!(stage.polkit.questions(), []);
    stage.log(4);
}

#[test]
fn headers_have_a_limit() {
    let stage = Stage::new(Simulated::yes());
    let socket = stage.socket();
    let long = "x".repeat(16 << 10);
    let ended = as_user(ALICE, || {
        runtime().block_on(async {
            let mut raw = Raw::connect(&socket).await;
            raw.call_with("Describe", &prefixed(b""), &[("x-long", &long)]).await
        })
    });
    assert!(!matches!(ended, Ended::Status(tonic::Code::Ok, _)), "{ended:?}");
    let (_, log) = stage.end();
    assert!(log.is_empty(), "it became no call: {log:?}");
}

#[test]
fn calls_that_the_contract_does_not_have_are_refused() {
    let stage = Stage::new(Simulated::yes());
    let paths = [
        "/banger.roothelper.v1.RootHelper/Exec",
        "/banger.roothelper.v2.RootHelper/Describe",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/",
    ];
    for path in paths {
        let socket = stage.socket();
        let code = as_user(ALICE, || {
            runtime().block_on(async {
                let mut raw = Raw::connect(&socket).await;
                let (answer, mut stream) = raw.begin(path, &[]).await.unwrap();
                drop(stream.send_data(Bytes::from(prefixed(b"")), true));
                ended(answer).await.code()
            })
        });
        assert_eq!(code, tonic::Code::Unimplemented, "{path}");
    }
    stage.log(paths.len());
}

#[test]
fn a_message_that_does_not_come_is_not_waited_for() {
    let stage = Stage::with(Simulated::yes(), Capacity::UNIT, SHORT);
    let socket = stage.socket();
    let code = as_user(ALICE, || {
        runtime().block_on(async {
            let mut raw = Raw::connect(&socket).await;
            let path = "/banger.roothelper.v1.RootHelper/DetachNetwork";
            let (answer, mut stream) = raw.begin(path, &[]).await.unwrap();
            stream.send_data(Bytes::from_static(&[0, 0, 0, 0, 38, 10]), false).unwrap();
            ended(answer).await.code()
        })
    });
    assert_eq!(code, tonic::Code::DeadlineExceeded);
    assert_eq!(stage.polkit.questions(), []);
    stage.only_entry();
}
