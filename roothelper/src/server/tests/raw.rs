//! A client without manners: bytes, headers and descriptors of the test's choice.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longer than anything is waited for that comes.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A stream whose writes take a load of descriptors each, while there are some.
pub(super) struct Loaded {
    stream: UnixStream,
    loads: VecDeque<Vec<OwnedFd>>,
    forgetting: bool,
}

impl Loaded {
    pub(super) fn new(stream: UnixStream, loads: Vec<Vec<OwnedFd>>) -> Self {
        Self { stream, loads: loads.into(), forgetting: false }
    }

    /// What is sent is never closed here.
    pub(super) fn forgetting(mut self, forgetting: bool) -> Self {
        self.forgetting = forgetting;
        self
    }
}

impl Drop for Loaded {
    /// What was not sent may be such as nobody should close.
    fn drop(&mut self) {
        keep_open(std::mem::take(&mut self.loads));
    }
}

#[expect(clippy::mem_forget, reason = "what must not be closed by this process")]
pub(super) fn keep_open<T>(load: T) {
    std::mem::forget(load);
}

/// Closes what was sent where nobody waits for that: it may be the last that is open.
pub(super) fn let_go<T: Send + 'static>(load: T) {
    std::thread::spawn(move || drop(load));
}

pub(super) fn send(stream: impl AsFd, bytes: &[u8], load: &[OwnedFd]) -> io::Result<usize> {
    let load: Vec<_> = load.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&load)));
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

impl AsyncRead for Loaded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Loaded {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let Some(load) = me.loads.front() else {
            return Pin::new(&mut me.stream).poll_write(context, bytes);
        };
        loop {
            ready!(me.stream.poll_write_ready(context))?;
            // Not all at once, so that there are writes for all loads.
            let part = bytes.get(..bytes.len().div_ceil(2)).unwrap_or(bytes);
            match me.stream.try_io(Interest::WRITABLE, || send(&me.stream, part, load)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    let load = me.loads.pop_front();
                    if me.forgetting {
                        keep_open(load);
                    } else {
                        let_go(load);
                    }
                    return Poll::Ready(sent);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// A connection.
pub(super) struct Raw {
    requests: SendRequest<Bytes>,
    pings: Option<h2::PingPong>,
}

/// How a call ended: gRPC's status, or that the connection did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Status(tonic::Code, String),
    Closed,
}

impl Ended {
    pub(super) fn code(&self) -> tonic::Code {
        match self {
            Self::Status(code, _) => *code,
            Self::Closed => panic!("the connection was closed"),
        }
    }
}

impl Raw {
    pub(super) async fn connect(socket: &Path) -> Self {
        Self::connect_with(socket, Vec::new()).await.expect("it is greeted")
    }

    /// A connection whose first writes carry these descriptors.
    pub(super) async fn connect_with(
        socket: &Path,
        loads: Vec<Vec<OwnedFd>>,
    ) -> Result<Self, h2::Error> {
        let stream = UnixStream::connect(socket).await.unwrap();
        Self::over(Loaded::new(stream, loads)).await
    }

    pub(super) async fn over(stream: Loaded) -> Result<Self, h2::Error> {
        let (requests, mut connection) = h2::client::handshake(stream).await?;
        let pings = connection.ping_pong();
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests, pings })
    }

    /// Waits until the helper has read all that was sent.
    pub(super) async fn heard(&mut self) {
        let pings = self.pings.as_mut().expect("a connection has its pings");
        // A first one overtakes what is still to be sent, and a second does not.
        for _ in 0..2 {
            let pong = timeout(LONG, pings.ping(h2::Ping::opaque())).await;
            pong.expect("there is an answer in time").expect("the connection is there");
        }
    }

    /// Begins a call with these headers beside those that gRPC has.
    pub(super) async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut request = Request::post(format!("http://helper{path}"))
            .version(hyper::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await?;
        requests.send_request(request.body(()).unwrap(), false)
    }

    /// Calls a method with the bytes of a message, after gRPC's prefix.
    pub(super) async fn call(&mut self, method: &str, message: &[u8]) -> Ended {
        self.call_with(method, &prefixed(message), &[]).await
    }

    /// The same with any body, and further headers.
    pub(super) async fn call_with(
        &mut self,
        method: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Ended {
        let path = format!("/banger.roothelper.v1.RootHelper/{method}");
        let Ok((answer, mut stream)) = self.begin(&path, headers).await else {
            return Ended::Closed;
        };
        // As much as is taken: who refuses takes no more.
        let body = Bytes::copy_from_slice(body);
        drop(stream.send_data(body, true));
        ended(answer).await
    }
}

pub(super) fn prefixed(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

pub(super) async fn ended(answer: ResponseFuture) -> Ended {
    let answer = timeout(LONG, answer).await.expect("there is an answer in time");
    let Ok(answer) = answer else { return Ended::Closed };
    let said = |headers: &HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse::<i32>().ok()?;
        let message = headers.get("grpc-message").map_or("", |text| text.to_str().unwrap_or(""));
        Some(Ended::Status(code.into(), message.to_owned()))
    };
    if let Some(ended) = said(answer.headers()) {
        return ended;
    }
    let mut body = answer.into_body();
    while let Some(Ok(piece)) = timeout(LONG, body.data()).await.expect("the answer goes on") {
        drop(body.flow_control().release_capacity(piece.len()));
    }
    match timeout(LONG, body.trailers()).await.expect("the answer ends") {
        Ok(Some(trailers)) => said(&trailers).unwrap_or(Ended::Closed),
        _ => Ended::Closed,
    }
}
