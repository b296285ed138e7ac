//! Connects to a VMM's control socket without waiting for it in the kernel: where as many wait
//! already as the VMM lets, the whole daemon would wait behind them.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

/// Between two looks whether there is a place.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Connects to the socket at `path` as soon as it has a place.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where it has none for so long, and what the operating system says.
pub(super) async fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let end = Instant::now() + patience;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    use super::*;

    #[tokio::test]
    async fn a_socket_without_a_place_is_waited_for_and_not_by_all_of_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 0).unwrap();
        let listener = std::os::unix::net::UnixListener::from(listener);
        let first = connect(&path, Duration::ZERO).await.unwrap();
        let full = connect(&path, Duration::from_millis(30)).await.unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let frees = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            listener.accept().unwrap()
        };
        let (second, _accepted) = tokio::join!(connect(&path, Duration::from_secs(60)), frees);
        drop((first, second.unwrap(), listener));
        let gone = connect(&path, Duration::ZERO).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    }
}
