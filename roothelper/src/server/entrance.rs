//! What stands before every call, whatever it is: a row in the table of calls, a place among
//! the user's calls, a deadline.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use banger_proto::wire::roothelper::root_helper_server::RootHelperServer;
use banger_proto::{Code, Invalid, Refusal};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service as _;

use super::Server;
use super::peer::Peer;
use crate::Method;
use crate::audit::Audit;

/// Largest message of a request, in bytes, and that of a batch of files.
const MESSAGE: usize = 1 << 20;
const BATCH: usize = 4 << 20;

/// The way to the calls.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    server: Arc<Server>,
    plain: RootHelperServer<Server>,
    batch: RootHelperServer<Server>,
}

/// That a call's message came whole and was read: from there on the gate tells the log.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    server: Arc<Server>,
    peer: Peer,
    method: Method,
    was_read: Arc<AtomicBool>,
}

impl Reading {
    /// The call's message is there.
    pub(super) fn ends(self) -> Peer {
        self.was_read.store(true, Ordering::Relaxed);
        self.peer
    }

    fn is_read(&self) -> bool {
        self.was_read.load(Ordering::Relaxed)
    }
}

/// Tells the log of a call whose client left before its message was there.
struct Watch(Reading);

impl Drop for Watch {
    fn drop(&mut self) {
        let Reading { server, peer, method, .. } = &self.0;
        if !self.0.is_read() {
            drop(server.gate().audit().begin(&peer.caller, *method));
        }
    }
}

impl Entrance {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let of = |largest| {
            RootHelperServer::from_arc(Arc::clone(&server)).max_decoding_message_size(largest)
        };
        Self { plain: of(MESSAGE), batch: of(BATCH), server }
    }

    /// The log.
    pub(super) fn audit(&self) -> &Audit {
        self.server.gate().audit()
    }

    /// Answers a call.
    pub(super) async fn answer(
        self,
        peer: Peer,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Body>, Infallible> {
        let Some(method) = Method::from_path(request.uri().path()) else {
            let unknown = Refusal::new(Code::Unimplemented, "the root helper has no such call")
                .hint("it may be of another version: banger doctor");
            let (uid, pid) = (peer.caller.uid().get(), peer.caller.pid().as_raw_pid());
            self.audit().refuse_peer(uid, Some(pid), &unknown);
            return Ok(Status::from(unknown).into_http());
        };
        let was_read = Arc::new(AtomicBool::new(false));
        let reading = Reading { server: Arc::clone(&self.server), peer, method, was_read };
        let until = Instant::now() + self.server.deadlines().call_with_people;
        let answered = timeout_at(until, self.answer_in_turn(Watch(reading), request)).await;
        Ok(answered.unwrap_or_else(|_| Status::from(too_late()).into_http()))
    }

    async fn answer_in_turn(
        self,
        watch: Watch,
        request: hyper::Request<Incoming>,
    ) -> hyper::Response<Body> {
        let mut reading = watch.0.clone();
        let Reading { peer, method, .. } = &mut reading;
        // Before anything of the message is read: what waits does so at the client's.
        let mut places = vec![place(&peer.ticket.calls).await];
        let mut service = self.plain;
        if *method == Method::WriteExt4Files {
            service = self.batch;
            for batches in &peer.ticket.batches {
                places.push(place(batches).await);
            }
        }
        // What was begun has them until its end, also when its client gives the call up.
        peer.places = Arc::new(places);
        let until = Instant::now() + self.server.deadlines().request;
        let mut request = request.map(|body| Timely { body, until: Box::pin(sleep_until(until)) });
        // Nothing of this name comes from the client.
        request.extensions_mut().insert(reading);
        match service.call(request).await {
            Ok(answer) if watch.0.is_read() => answer,
            Ok(answer) => unreadable(&watch.0, &answer),
            Err(never) => match never {},
        }
    }
}

/// The answer to a call that is not waited for any longer.
pub(super) fn too_late() -> Refusal {
    Refusal::new(Code::DeadlineExceeded, "it took too long")
        .hint("see what it waited for: sudo journalctl --unit banger-roothelper, sudo dmesg; then ask again")
}

/// The answer to a message that is none: too long, cut, late, or not what the contract says.
fn unreadable(reading: &Reading, answer: &hyper::Response<Body>) -> hyper::Response<Body> {
    let Reading { server, peer, method, was_read } = reading;
    was_read.store(true, Ordering::Relaxed);
    let said = Status::from_header_map(answer.headers());
    let why = said.as_ref().map_or("", Status::message);
    let invalid = Invalid::new("message", why, "send what the contract says");
    let refusal = server.gate().refuse_message(&peer.caller, *method, b"", invalid);
    let code = match said.map(|status| status.code()) {
        Some(tonic::Code::OutOfRange | tonic::Code::ResourceExhausted) => Code::ResourceExhausted,
        Some(tonic::Code::DeadlineExceeded) => Code::DeadlineExceeded,
        _ => refusal.code,
    };
    Status::from(Refusal { code, ..refusal }).into_http()
}

/// A place that is given back when it is dropped. The semaphores are never closed.
async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).acquire_owned().await.ok()
}

/// A request's bytes, which must be there by a time.
struct Timely {
    body: Incoming,
    until: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Timely {
    type Data = <Incoming as hyper::body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let me = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut me.body).poll_frame(context) {
            let cut = |_| Status::cancelled("the request was cut");
            return Poll::Ready(frame.map(|frame| frame.map_err(cut)));
        }
        me.until.as_mut().poll(context).map(|()| {
            let late = Refusal::new(Code::DeadlineExceeded, "the request did not come in time")
                .hint("ask again: this computer may be busy");
            Some(Err(late.into()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
