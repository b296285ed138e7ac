//! The bytes of a connection, with the descriptor that comes among them, and its deadlines.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::peer::Peer;
use super::receive::{Load, Next, end, say_no_more, take_bytes, take_load};
use crate::kernel::Elsewhere;

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
    /// For what is under way when the helper is told to end.
    pub ending: Duration,
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
        ending: Duration::from_secs(35),
        idle: Duration::from_secs(60),
    };
}

/// A connection's stream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Elsewhere<Arc<UnixStream>>,
    peer: Peer,
    /// What is being taken by a thread of the user's: descriptors are among it.
    coming: Option<oneshot::Receiver<io::Result<Load>>>,
    /// Bytes that came with descriptors and were not read yet.
    unread: VecDeque<u8>,
    /// What is missing of the greeting, in bytes, and until when it may be.
    missing: usize,
    greeting: Pin<Box<Sleep>>,
    /// Since an answer could not be written on.
    stalled: Option<Pin<Box<Sleep>>>,
    reading: Duration,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, peer: Peer, patience: &Patience) -> Self {
        let place = Arc::clone(&peer.ticket);
        // What was not read is closed with it: not here, if a descriptor is in it.
        let let_go = move |stream: Arc<UnixStream>| {
            if end(&*stream) {
                place.errand(move || drop(stream));
            }
        };
        Self {
            stream: Elsewhere::new(Arc::new(stream), let_go),
            peer,
            coming: None,
            unread: VecDeque::new(),
            missing: GREETING,
            greeting: Box::pin(sleep(patience.greeting)),
            stalled: None,
            reading: patience.reading,
        }
    }

    /// Has a thread of the user's take so many bytes, with descriptors among them.
    fn take_load(&mut self, count: usize) {
        let (done, coming) = oneshot::channel();
        let (stream, ticket) = (Arc::clone(&*self.stream), Arc::clone(&self.peer.ticket));
        self.peer.ticket.errand(move || drop(done.send(take_load(&*stream, count, &ticket))));
        self.coming = Some(coming);
    }

    fn take_in(&mut self, load: Load) -> io::Result<()> {
        let descriptors = &self.peer.descriptors;
        self.unread.extend(load.bytes);
        descriptors.receive(load.descriptors).map_err(io::Error::other)?;
        if load.cut { Err(io::Error::other(descriptors.too_many())) } else { Ok(()) }
    }

    /// Counts what was read.
    fn have_read(&mut self, count: usize) -> Poll<io::Result<()>> {
        self.missing = self.missing.saturating_sub(count);
        Poll::Ready(Ok(()))
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
            if let Some(coming) = &mut me.coming {
                let load = ready!(Pin::new(coming).poll(context));
                me.coming = None;
                me.take_in(load.map_err(io::Error::other)??)?;
            }
            if !me.unread.is_empty() {
                let count = buffer.remaining().min(me.unread.len());
                me.unread.drain(..count).for_each(|byte| buffer.put_slice(&[byte]));
                return me.have_read(count);
            }
            ready!(me.stream.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            match me.stream.try_io(Interest::READABLE, || take_bytes(&**me.stream, room)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(Next::Descriptors(count)) => me.take_load(count),
                Ok(Next::Bytes(count)) => {
                    buffer.advance(count);
                    return me.have_read(count);
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
        let written = loop {
            match me.stream.poll_write_ready(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            match me.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
        match written {
            Poll::Ready(_) => me.stalled = None,
            Poll::Pending => me.check_stalled(context)?,
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(say_no_more(&**self.stream))
    }
}
