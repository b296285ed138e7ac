//! Operations with stages: an import, a start.

use std::time::Duration;

use banger_proto::wire::daemon as wire;
use banger_proto::{Code, Event, Image, Progress, Refusal, Stage, Vm};
use futures_util::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::scenario::{called, image, name, told, vm};
use crate::{Answer, Answers};

pub(crate) fn stage(name: &str, detail: &str, micros: u64) -> [Event<Vm>; 2] {
    let stage = Stage { name: name.into(), detail: detail.into() };
    let time = Duration::from_micros(micros);
    [Event::StageStarted(stage.clone()), Event::StageFinished(stage, time)]
}

pub(crate) fn all<E, W>(events: Vec<Result<E, Refusal>>) -> Answers<W>
where
    E: Send + 'static,
    W: From<E> + Send + 'static,
{
    Box::pin(stream::iter(events).map(|event| event.map(W::from).map_err(Status::from)))
}

/// A start that takes its time: a copy with its bytes, a quick stage, and a guest that boots.
pub(crate) fn slowly(name: &str) -> Answers<wire::VmEvent> {
    let ms = Duration::from_millis;
    let staged = |name: &str, detail: &str, millis| {
        let stage = Stage { name: name.into(), detail: detail.into() };
        (Event::StageStarted(stage.clone()), Event::StageFinished(stage, ms(millis)))
    };
    let (copy, copied) = staged(Stage::ROOTFS_OVERLAY, "", 1_800);
    let (patch, patched) = staged("patch_rootfs", "", 4);
    let (boot, booted) = staged(Stage::BOOT, "", 900);
    let mut events = vec![(0, copy)];
    for tenth in 1..=9 {
        let progress = Progress { bytes: tenth * (64 << 20), total_bytes: Some(640 << 20) };
        events.push((200, Event::Progress(progress)));
    }
    events.extend([(0, copied), (0, patch), (4, patched), (0, boot)]);
    events.extend([(100, Event::Notice("no KVM here: software emulation".into())), (800, booted)]);
    events.push((0, Event::Done(vm(name))));
    Box::pin(stream::iter(events).then(|(millis, event)| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(event.into())
    }))
}

pub(crate) async fn import_image(
    request: Request<Streaming<wire::ImportImageRequest>>,
) -> Answer<Answers<wire::ImageEvent>> {
    use wire::import_image_request::Part;
    let mut parts = request.into_inner();
    let Some(Part::Header(header)) = parts.message().await?.and_then(|m| m.part) else {
        return Err(Status::invalid_argument("no header"));
    };
    let (mut bytes, mut whole) = (0_u64, false);
    while let Some(message) = parts.message().await? {
        match message.part {
            Some(Part::Chunk(chunk)) => bytes += chunk.len() as u64,
            Some(Part::End(_)) => whole = true,
            _ => return Err(Status::invalid_argument("a second header")),
        }
    }
    called(&format!("import {} of {}: {bytes} whole={whole}", header.name, header.tar_bytes));
    if !whole {
        return Err(Refusal::new(Code::Aborted, "the tar was cut").into());
    }
    let stage = Stage { name: "import_rootfs".into(), detail: "from tar".into() };
    let image = Image { allocated_bytes: bytes, used_by: Vec::new(), ..image(&header.name) };
    Ok(Response::new(all(vec![
        Ok(Event::StageStarted(stage.clone())),
        Ok(Event::Progress(Progress { bytes, total_bytes: None })),
        Ok(Event::StageFinished(stage, Duration::from_millis(1500))),
        Ok(Event::Done(image)),
    ])))
}

pub(crate) async fn start_vm(
    request: Request<wire::StartVmRequest>,
) -> Answer<Answers<wire::VmEvent>> {
    let name = name(request.into_inner().vm);
    called(&format!("start {name}"));
    if told("start hangs") {
        let begun = stage(Stage::BOOT, "", 0).into_iter().take(1).map(|e| Ok(e.into()));
        return Ok(Response::new(Box::pin(
            stream::iter(begun.collect::<Vec<_>>()).chain(stream::pending()),
        )));
    }
    if told("slow") {
        return Ok(Response::new(slowly(&name)));
    }
    let mut events: Vec<Result<Event<Vm>, Refusal>> =
        stage(Stage::WORK_DISK, "applying work seed", 3_900).into_iter().map(Ok).collect();
    if told("start fails") {
        events.push(Err(Refusal {
            stage: Stage::BOOT.into(),
            chain: vec!["the guest did not answer".into()],
            console_tail: "\x1b[31mKernel panic\x1b[0m - not syncing\n".into(),
            ..Refusal::new(Code::DeadlineExceeded, "cannot start calm-otter")
                .hint("banger logs calm-otter")
        }));
    } else {
        events.push(Ok(Event::Notice("no KVM here: software emulation".into())));
        events.extend(stage(Stage::BOOT, "", 9_000_000).into_iter().map(Ok));
        events.push(Ok(Event::Done(vm(&name))));
    }
    Ok(Response::new(all(events)))
}
