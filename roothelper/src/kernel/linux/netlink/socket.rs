//! The socket to the kernel: one question at a time, until its answer has ended.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto,
    socket_with,
};

use super::Message;
use super::frame::{DONE, ERROR, Frames};

/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_DUMP`: how a message is meant.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: what was listed changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`: what is between them is done as a whole.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// Bytes of the largest datagram: the kernel fills what it is given, to 32 KiB.
const ROOM: usize = 64 << 10;
/// How long a datagram may take, and an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(20);
/// How often a list is asked for that changes meanwhile.
const TRIES: usize = 20;
/// A batch of more bytes does not fit a socket's usual buffer.
const USUAL: usize = 64 << 10;
/// Bytes of a buffer for every batch there can be.
const LARGE: usize = 16 << 20;

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Interfaces, addresses, routes.
    Route,
    /// Rules.
    Netfilter,
}

/// A socket to the kernel.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    room: Box<[u8]>,
}

/// A question that was not answered, or with a no.
#[derive(Debug)]
pub(crate) struct NetlinkError {
    /// The kernel's words for it, where it has any.
    words: String,
    source: io::Error,
}

impl NetlinkError {
    /// The kernel's words and its number.
    pub(crate) fn into_parts(self) -> (String, io::Error) {
        (self.words, self.source)
    }

    /// Whether the kernel's answer was this number.
    pub(crate) fn is(&self, errno: i32) -> bool {
        self.source.raw_os_error() == Some(errno)
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() {
            formatter.write_str("the kernel refuses")
        } else {
            // Words of the kernel's: they are cut, so that they stay one line.
            formatter.write_str(self.words.get(..200).unwrap_or(&self.words))
        }
    }
}

impl std::error::Error for NetlinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl<E: Into<io::Error>> From<E> for NetlinkError {
    fn from(error: E) -> Self {
        Self { words: String::new(), source: error.into() }
    }
}

type Result<T> = std::result::Result<T, NetlinkError>;

impl Netlink {
    pub(crate) fn open(protocol: Protocol) -> Result<Self> {
        let protocol = match protocol {
            // Its number is 0, which is what no protocol is.
            Protocol::Route => None,
            Protocol::Netfilter => Some(NETFILTER),
        };
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, way, Some(PATIENCE))?;
        }
        set_option(&socket, libc::NETLINK_EXT_ACK)?;
        set_option(&socket, libc::NETLINK_CAP_ACK)?;
        Ok(Self { socket, sequence: 0, room: vec![0; ROOM].into() })
    }

    /// Has something done.
    pub(crate) fn order(&mut self, message: &Message) -> Result<()> {
        self.ask(message, ACKNOWLEDGE, &mut |_| {}).map(|_| ())
    }

    /// Asks about one thing; `read` takes what is said of it.
    pub(crate) fn get<T>(
        &mut self,
        message: &Message,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.ask(message, ACKNOWLEDGE, &mut |body| found = read(body))?;
        Ok(found)
    }

    /// Asks for a list; `read` takes what is said of each, and `None` leaves it out.
    pub(crate) fn list<T>(
        &mut self,
        message: &Message,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        for _ in 0..TRIES {
            let mut found = Vec::new();
            if !self.ask(message, DUMP, &mut |body| found.extend(read(body)))? {
                return Ok(found);
            }
        }
        // It changed all the time.
        Err(io::Error::from_raw_os_error(libc::EAGAIN).into())
    }

    /// Has all of these done as a whole, or none.
    pub(crate) fn batch(&mut self, subsystem: u16, mut messages: Vec<Message>) -> Result<()> {
        let Some(last) = messages.last_mut() else { return Ok(()) };
        last.add_flags(ACKNOWLEDGE);
        let [high, low] = subsystem.to_be_bytes();
        let edge = |kind| Message::new(kind, REQUEST, &[0, 0, high, low]);
        let begin = self.sequence.wrapping_add(1);
        let mut bytes = edge(BATCH_BEGIN).sealed(begin)?;
        self.sequence = begin;
        for message in &mut messages {
            message.add_flags(REQUEST);
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(message.sealed(self.sequence)?);
        }
        let end = self.sequence;
        self.sequence = end.wrapping_add(1);
        bytes.extend(edge(BATCH_END).sealed(self.sequence)?);
        if bytes.len() > USUAL {
            set_socket_send_buffer_size_force(&self.socket, LARGE)?;
        }
        self.send(&bytes)?;
        // The answers come in order: an error of any message is ahead of the last one's answer, and that of the whole
        // carries the first number.
        self.hear(&mut |frame| {
            let of_this = frame.sequence.wrapping_sub(begin) <= end.wrapping_sub(begin);
            match (frame.kind, frame.errno()) {
                (ERROR, Some(0)) if frame.sequence == end => Heard::End,
                (ERROR, Some(0)) => Heard::More,
                (ERROR, Some(errno)) if of_this => Heard::Refused(errno, frame.words().to_owned()),
                _ => Heard::More,
            }
        })
    }

    /// One question and its answer; whether a list changed while it was made.
    fn ask(&mut self, message: &Message, flags: u16, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut message = message.clone();
        message.add_flags(REQUEST | flags);
        self.send(&message.sealed(sequence)?)?;
        let mut interrupted = false;
        self.hear(&mut |frame| {
            // What is left of an answer before.
            if frame.sequence != sequence {
                return Heard::More;
            }
            interrupted |= frame.flags & INTERRUPTED != 0;
            match frame.kind {
                ERROR | DONE => match frame.errno() {
                    Some(0) => Heard::End,
                    Some(errno) => Heard::Refused(errno, frame.words().to_owned()),
                    None => Heard::Refused(libc::EBADMSG, String::new()),
                },
                _ => {
                    visit(frame.body);
                    Heard::More
                }
            }
        })?;
        Ok(interrupted)
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = sendto(&self.socket, bytes, SendFlags::empty(), &kernel)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero).into())
        }
    }

    /// Reads datagrams of the kernel's until `each` has heard the end.
    fn hear(&mut self, each: &mut dyn FnMut(&super::frame::Frame<'_>) -> Heard) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < ANSWER {
            let (_, length, sender) =
                match recvfrom(&self.socket, &mut *self.room, RecvFlags::TRUNC) {
                    Err(rustix::io::Errno::INTR) => continue,
                    received => received?,
                };
            // Whoever may send to this socket: only the kernel is believed.
            let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            let datagram = self.room.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            for frame in Frames::of(datagram) {
                match each(&frame?) {
                    Heard::More => {}
                    Heard::End => return Ok(()),
                    Heard::Refused(errno, words) => {
                        return Err(NetlinkError {
                            words,
                            source: io::Error::from_raw_os_error(errno),
                        });
                    }
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// What a message was.
enum Heard {
    More,
    End,
    Refused(i32, String),
}

/// Turns an option of netlink's on.
fn set_option(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is ours, outlives the call, and is of the length that is told.
    let said = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
