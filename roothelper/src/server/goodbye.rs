//! The last words to a peer that is not let in, in the form that its library shows.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::errands::Errands;
use super::lots::Lots;
use super::receive::{Next, end, take_bytes};
use super::turned_away::TurnedAway;
use crate::kernel::Elsewhere;

/// HTTP/2's code of somebody who should come less often: to come again later helps.
const ENHANCE_YOUR_CALM: u32 = 11;
/// Its code of somebody whose rights do not suffice.
const INADEQUATE_SECURITY: u32 = 12;

/// How many may be listening at a time, and for how long.
const LISTENERS: usize = 32;
const A_MOMENT: Duration = Duration::from_secs(1);

/// An HTTP/2 server's greeting and a GOAWAY with the reason.
fn frames(reason: &str, code: u32) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let reason = reason.as_bytes().get(..reason.len().min(255)).unwrap_or_default();
    // Length, type 7, no flags, stream 0; then the last stream that was seen: none.
    let [_, high, middle, low] = (8 + reason.len() as u32).to_be_bytes();
    let mut bytes = SETTINGS.to_vec();
    bytes.extend([high, middle, low, 7, 0, 0, 0, 0, 0]);
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(code.to_be_bytes());
    bytes.extend(reason);
    bytes
}

/// Descriptors of connections that are to be closed which may be held, of the 2048 that the unit
/// has. There are so many only where the kernel has no memory left to put them elsewhere: before
/// nobody can connect any more the helper ends, and systemd starts it again.
const MOST_HELD: usize = 1024;

/// Says goodbye to those who are not let in.
#[derive(Debug, Clone)]
pub(super) struct Goodbye {
    listeners: Arc<Semaphore>,
    lots: Lots,
}

impl Goodbye {
    pub(super) fn new(errands: Errands) -> Self {
        Self { listeners: Arc::new(Semaphore::new(LISTENERS)), lots: Lots::new(errands) }
    }

    /// Whether everything is closed that was turned away.
    pub(super) fn is_done(&self) -> bool {
        self.lots.is_empty()
    }

    /// Says why, as far as the peer's socket takes it at once, and closes: a little later, so
    /// that whoever is still about to greet can read it, and at once where too many are.
    pub(super) fn say(&self, stream: UnixStream, uid: u32, why: &TurnedAway) {
        let code = match why {
            TurnedAway::Full { .. } => ENHANCE_YOUR_CALM,
            TurnedAway::Nobody(_) => INADEQUATE_SECURITY,
        };
        // A descriptor that waits in it is closed with it, not here.
        let lots = self.lots.clone();
        let stream = Elsewhere::new(stream, move |stream| {
            if end(&stream) && lots.leave(uid, stream) > MOST_HELD {
                let why = "there is no memory for connections that hang in their closing: starting anew\n";
                // On a thread of its own: whoever should read it may have stopped.
                let said = std::thread::Builder::new().spawn(move || {
                    let _unread = io::stderr().write_all(why.as_bytes());
                });
                if said.is_ok() {
                    std::thread::sleep(A_MOMENT / 10);
                }
                std::process::exit(1);
            }
        });
        // Whoever does not read it is told by the end of the connection.
        let _unread = stream.try_write(&frames(&why.to_string(), code));
        let Ok(place) = Arc::clone(&self.listeners).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            drop(timeout(A_MOMENT, listen(&stream)).await);
        });
    }
}

/// Listens to bytes until there are no more, or something beside.
async fn listen(stream: &UnixStream) {
    let mut ignored = [0; 256];
    while stream.readable().await.is_ok() {
        match stream.try_io(Interest::READABLE, || take_bytes(stream, &mut ignored)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Next::Bytes(1..)) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_have_their_lengths() {
        let bytes = frames("root cannot", INADEQUATE_SECURITY);
        assert_eq!(bytes.len(), 9 + 9 + 8 + 11);
        assert_eq!(&bytes[9..13], [0, 0, 19, 7]);
        assert_eq!(&bytes[22..26], [0, 0, 0, 12]);
        assert_eq!(&bytes[26..], b"root cannot");
        assert_eq!(frames(&"x".repeat(5000), ENHANCE_YOUR_CALM).len(), 9 + 9 + 8 + 255);
    }
}
