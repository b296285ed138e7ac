//! The last words to a peer that is not let in, in the form that its library shows.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::turned_away::TurnedAway;

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

/// Says goodbye to those who are not let in.
#[derive(Debug, Clone)]
pub(super) struct Goodbye(Arc<Semaphore>);

impl Default for Goodbye {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LISTENERS)))
    }
}

impl Goodbye {
    /// Says why, as far as the peer's socket takes it at once, and closes: a little later, so
    /// that whoever is still about to greet can read it, and at once where too many are.
    pub(super) fn say(&self, mut stream: UnixStream, why: &TurnedAway) {
        let code = match why {
            TurnedAway::Full { .. } => ENHANCE_YOUR_CALM,
            TurnedAway::Nobody(_) => INADEQUATE_SECURITY,
        };
        // Whoever does not read it is told by the end of the connection.
        let _unread = stream.try_write(&frames(&why.to_string(), code));
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            let mut ignored = [0; 256];
            let listening = async { while matches!(stream.read(&mut ignored).await, Ok(1..)) {} };
            drop(timeout(A_MOMENT, listening).await);
        });
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
