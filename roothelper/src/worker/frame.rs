//! Messages on the socket between helper and worker: a length of 32 bits, then the bytes.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Reads a message of at most `largest` bytes, as the worker does.
///
/// # Errors
/// What reading meets; [`io::ErrorKind::InvalidData`] for a message that is too long.
pub(super) fn read(from: BorrowedFd<'_>, largest: usize) -> io::Result<Vec<u8>> {
    let mut header = [0; 4];
    fill(from, &mut header)?;
    let len = length(header, largest)?;
    let mut message = vec![0; len];
    fill(from, &mut message)?;
    Ok(message)
}

/// Writes a message, as the worker does.
///
/// # Errors
/// What writing meets.
pub(super) fn write(to: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let framed = framed(message)?;
    let mut rest = &framed[..];
    while !rest.is_empty() {
        let written = match rustix::io::write(to, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn fill(from: BorrowedFd<'_>, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let len = match rustix::io::read(from, &mut *rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        rest = rest.get_mut(len..).unwrap_or_default();
    }
    Ok(())
}

/// Sends a message, as the helper does.
///
/// # Errors
/// What writing meets.
pub(super) async fn send(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    message: &[u8],
) -> io::Result<()> {
    to.write_all(&framed(message)?).await
}

/// Receives a message of at most `largest` bytes, as the helper does; none at the end.
///
/// # Errors
/// What reading meets; [`io::ErrorKind::InvalidData`] for a message that is too long,
/// [`io::ErrorKind::UnexpectedEof`] for one that ends in its middle.
pub(super) async fn receive(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    largest: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    let mut have = 0;
    while let Some(rest) = header.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match ended(from.read(rest).await)? {
            0 if have == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => have += len,
        }
    }
    let len = length(header, largest)?;
    // It grows with what comes, and not with what is promised.
    let mut message = Vec::new();
    ended(from.take(len as u64).read_to_end(&mut message).await)?;
    if message.len() == len { Ok(Some(message)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A worker that ends without having read all that it was told resets the connection.
fn ended(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
        read => read,
    }
}

fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&len.to_be_bytes(), message].concat())
}

fn length(header: [u8; 4], largest: usize) -> io::Result<usize> {
    let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if len <= largest { Ok(len) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_crosses_and_one_that_lies_does_not() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        write(ours.as_fd(), b"abc").unwrap();
        write(ours.as_fd(), b"").unwrap();
        assert_eq!(read(theirs.as_fd(), 3).unwrap(), b"abc");
        assert_eq!(read(theirs.as_fd(), 3).unwrap(), b"");
        write(ours.as_fd(), b"abcd").unwrap();
        assert_eq!(read(theirs.as_fd(), 3).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn the_helper_takes_no_more_than_it_asked_for() {
        for (bytes, expected) in [
            (&b""[..], Ok(None)),
            (b"\0\0\0\x03abc", Ok(Some(b"abc".to_vec()))),
            (b"\0\0\0\x04abcd", Err(io::ErrorKind::InvalidData)),
            (b"\xff\xff\xff\xff", Err(io::ErrorKind::InvalidData)),
            (b"\0\0\0\x03ab", Err(io::ErrorKind::UnexpectedEof)),
            (b"\0\0", Err(io::ErrorKind::UnexpectedEof)),
        ] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(bytes).unwrap();
            drop(ours);
            theirs.set_nonblocking(true).unwrap();
            let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
            let said = receive(&mut theirs, 3).await.map_err(|error| error.kind());
            assert_eq!(said, expected, "{bytes:?}");
        }
    }
}
