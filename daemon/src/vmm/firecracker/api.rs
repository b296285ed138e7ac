//! Firecracker's control socket: HTTP/1.1, one request a connection.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::vmm::connecting;
use crate::vmm::spec::Files;

/// Bytes of the longest answer that is read. Those to our questions have some hundreds.
const LONGEST: usize = 64 << 10;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question to Firecracker that was not answered.
#[derive(Debug, thiserror::Error)]
pub(in crate::vmm) enum ApiError {
    /// The socket cannot be reached, or the connection ended.
    #[error("the VMM's control socket does not answer")]
    Io(#[from] io::Error),
    /// What came is not what Firecracker says.
    #[error("the VMM's control socket says something unexpected: {0}")]
    Protocol(String),
    /// Firecracker refused.
    #[error("the VMM refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("the VMM's control socket did not answer in time")]
    TimedOut,
}

/// What it says of itself.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Instance {
    /// `Not started`, `Running` or `Paused`.
    pub(super) state: String,
    /// The name that it was given.
    pub(super) id: String,
}

/// What it does.
pub(super) async fn instance(files: &Files) -> Result<Instance, ApiError> {
    let body = request(files, "GET", "/", None).await?;
    serde_json::from_slice(&body).map_err(|error| ApiError::Protocol(error.to_string()))
}

/// Presses ctrl-alt-delete, which an init takes for a request to restart; the VMM ends instead.
pub(in crate::vmm) async fn press_ctrl_alt_delete(files: &Files) -> Result<(), ApiError> {
    let action = r#"{"action_type":"SendCtrlAltDel"}"#;
    request(files, "PUT", "/actions", Some(action)).await.map(drop)
}

async fn request(
    files: &Files,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Result<Vec<u8>, ApiError> {
    let exchange = async {
        let mut stream = connect(&files.sockets(), Files::API).await?;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        text.push_str("Accept: application/json\r\n");
        if let Some(body) = body {
            let length = body.len();
            text.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            ));
        }
        text.push_str("\r\n");
        text.push_str(body.unwrap_or_default());
        stream.write_all(text.as_bytes()).await?;
        answer(&mut stream).await
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(ApiError::TimedOut))
}

/// Connects to a socket in a folder that the VMM may write to, and never by way of a link that
/// it may have put there.
async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
    let socket = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket"));
    }
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    connecting::connect(path.as_ref(), PATIENCE).await
}

/// Reads one answer: its body where it is a good one.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ApiError> {
    let mut text = Vec::new();
    loop {
        if let Some(whole) = parse(&text)? {
            return whole;
        }
        if text.len() >= LONGEST {
            return Err(ApiError::Protocol("an answer without an end".to_owned()));
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        text.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

/// The answer, once all of it is there.
fn parse(text: &[u8]) -> Result<Option<Result<Vec<u8>, ApiError>>, ApiError> {
    let odd = |text: &[u8]| {
        let first = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let first = first.get(..first.len().min(80)).unwrap_or_default();
        ApiError::Protocol(first.escape_ascii().to_string())
    };
    let Some(end) = text.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = text.get(..end).and_then(|head| std::str::from_utf8(head).ok());
    let mut lines = head.ok_or_else(|| odd(text))?.split("\r\n");
    let status: u16 = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| odd(text))?;
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Err(odd(text)) };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| odd(text))?;
        }
    }
    // None of its answers is in chunks, and one without a length has no body.
    if length > LONGEST {
        return Err(odd(text));
    }
    let Some(body) = text.get(end + 4..end + 4 + length) else { return Ok(None) };
    if (200..300).contains(&status) {
        return Ok(Some(Ok(body.to_owned())));
    }
    #[derive(Deserialize)]
    struct Fault {
        fault_message: String,
    }
    let reason = serde_json::from_slice::<Fault>(body).map(|fault| fault.fault_message);
    let reason = reason.unwrap_or_else(|_| format!("status {status}"));
    Ok(Some(Err(ApiError::Refused(reason.escape_debug().to_string()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\
        Content-Type: application/json\r\nContent-Length: 83\r\n\r\n\
        {\"id\":\"banger-1\",\"state\":\"Running\",\"vmm_version\":\"1.16.1\",\"app_name\":\"Firecracker\"}";

    async fn answered(mut text: &[u8]) -> Result<Vec<u8>, ApiError> {
        answer(&mut text).await
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end_and_no_further() {
        let body = answered(INFO).await.unwrap();
        let info: Instance = serde_json::from_slice(&body).unwrap();
        assert_eq!(info, Instance { state: "Running".into(), id: "banger-1".into() });
        let done = b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(answered(done).await.unwrap(), b"");
        for cut in 0..INFO.len() {
            assert!(answered(&INFO[..cut]).await.is_err(), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_refusal_has_its_own_words() {
        let text = b"HTTP/1.1 400 \r\nContent-Length: 43\r\n\r\n\
            {\"fault_message\":\"not \\u001b[2J supported\"}\n";
        let error = answered(text).await.unwrap_err().to_string();
        assert_eq!(error, r"the VMM refused: not \u{1b}[2J supported");
    }

    #[tokio::test]
    async fn another_speaker_is_noticed() {
        for other in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/1.1 200\r\nno header\r\n\r\n",
            b"HTTP/1.1 200 \r\nContent-Length: 99999999\r\n\r\n",
            b"HTTP/1.1 200 \r\nContent-Length: -1\r\n\r\n",
        ] {
            assert!(matches!(answered(other).await, Err(ApiError::Protocol(_))));
        }
        let endless = vec![b'x'; LONGEST + 1];
        assert!(matches!(answered(&endless).await, Err(ApiError::Protocol(_))));
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_its_socket_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let real = std::os::unix::net::UnixListener::bind(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(connect(folder.path(), "real").await.is_ok());
        assert!(connect(folder.path(), "link").await.is_err());
        assert!(connect(folder.path(), "file").await.is_err());
        drop(real);
    }
}
