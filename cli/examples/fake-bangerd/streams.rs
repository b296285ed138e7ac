//! Streams that last: the console, and the hold on a VM.

use banger_proto::wire::daemon as wire;
use futures_util::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::scenario::{called, name, told};
use crate::{Answer, Answers};

/// Says when the stream that it is part of is dropped.
struct Held(String);

impl Drop for Held {
    fn drop(&mut self) {
        called(&format!("released {}", self.0));
    }
}

#[expect(clippy::exit, reason = "it dies as a daemon that is killed does")]
pub(crate) async fn attach_console(
    request: Request<Streaming<wire::ConsoleRequest>>,
) -> Answer<Answers<wire::ConsoleChunk>> {
    use wire::console_request::Part;
    let mut parts = request.into_inner();
    let Some(Part::Attach(attach)) = parts.message().await?.and_then(|m| m.part) else {
        return Err(Status::invalid_argument("no VM"));
    };
    called(&format!("console {} tail={}", name(attach.vm), attach.tail_lines));
    let chunk = |data: &[u8], replay| Ok(wire::ConsoleChunk { data: data.to_vec(), replay });
    let first = [chunk(b"\x1b[6nbefore\r\n", true), chunk(b"\x1b[1mlogin\x1b[0m\r\n", false)];
    // What is typed comes back in brackets; `end` ends the VM, `die` the daemon.
    let echo = stream::unfold(parts, |mut parts| async move {
        let Some(Part::Input(typed)) = parts.message().await.ok().flatten()?.part else {
            return None;
        };
        called(&format!("typed {}", typed.escape_ascii()));
        match typed.trim_ascii() {
            b"end" => return None,
            b"die" => std::process::exit(9),
            _ => {}
        }
        Some((
            Ok(wire::ConsoleChunk { data: [b"[", &typed[..], b"]"].concat(), replay: false }),
            parts,
        ))
    });
    if told("the console ends") {
        return Ok(Response::new(Box::pin(stream::iter(first))));
    }
    Ok(Response::new(Box::pin(stream::iter(first).chain(echo))))
}

pub(crate) async fn hold_vm(
    request: Request<wire::HoldVmRequest>,
) -> Answer<Answers<wire::HoldEvent>> {
    let held = Held(name(request.into_inner().vm));
    called(&format!("hold {}", held.0));
    let first = stream::iter([Ok(wire::HoldEvent {})]);
    let rest = stream::unfold(held, |held| async move {
        std::future::pending::<()>().await;
        Some((Ok(wire::HoldEvent {}), held))
    });
    Ok(Response::new(Box::pin(first.chain(rest))))
}
