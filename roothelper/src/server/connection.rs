//! The bytes of a connection, with the descriptor that comes among them, and its deadlines.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep};

use super::descriptors::Descriptors;

/// Bytes of the greeting of HTTP/2: who has not sent them has said nothing.
const GREETING: usize = 24;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the connection to the whole greeting of HTTP/2.
    pub greeting: Duration,
    /// From an answer to its first byte that is read.
    pub reading: Duration,
    /// From a call's first byte to its last.
    pub request: Duration,
    /// For a call in which nobody is asked, and for one in which somebody may be.
    pub call: Duration,
    /// The same where a person may be asked.
    pub call_with_people: Duration,
    /// Until a connection is asked to end.
    pub age: Duration,
    /// Until it is ended, after that.
    pub grace: Duration,
    /// Until the helper ends when nobody is connected.
    pub idle: Duration,
}

impl Patience {
    /// As the contract says.
    pub const CONTRACT: Self = Self {
        greeting: Duration::from_secs(5),
        reading: Duration::from_secs(30),
        request: Duration::from_secs(15),
        call: Duration::from_secs(30),
        call_with_people: Duration::from_secs(120),
        age: Duration::from_secs(600),
        grace: Duration::from_secs(125),
        idle: Duration::from_secs(60),
    };
}

/// A connection's stream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    descriptors: Arc<Descriptors>,
    /// What is missing of the greeting, in bytes, and until when it may be.
    missing: usize,
    greeting: Pin<Box<Sleep>>,
    /// Since an answer could not be written on.
    stalled: Option<Pin<Box<Sleep>>>,
    reading: Duration,
}

impl Connection {
    pub(super) fn new(
        stream: UnixStream,
        descriptors: Arc<Descriptors>,
        patience: &Patience,
    ) -> Self {
        Self {
            stream,
            descriptors,
            missing: GREETING,
            greeting: Box::pin(sleep(patience.greeting)),
            stalled: None,
            reading: patience.reading,
        }
    }

    /// An error once an answer waits too long to be read.
    fn check_stalled(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let patience = self.reading;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

/// Reads bytes, and the descriptors that came with them. A control message that was cut is an
/// error: what was in it is closed.
fn receive(stream: &UnixStream, descriptors: &Descriptors, buffer: &mut [u8]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(buffer)];
    let message = recvmsg(stream, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut came = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            came.extend(rights);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(descriptors.too_many()));
    }
    descriptors.receive(came).map_err(io::Error::other)?;
    Ok(message.bytes)
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.missing > 0 && me.greeting.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(me.stream.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            match me
                .stream
                .try_io(Interest::READABLE, || receive(&me.stream, &me.descriptors, room))
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    me.missing = me.missing.saturating_sub(count);
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.stream).poll_write(context, bytes);
        match written {
            Poll::Ready(_) => me.stalled = None,
            Poll::Pending => me.check_stalled(context)?,
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
