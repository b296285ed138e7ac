//! Waits until a log has grown, without looking at it all the time.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often to look all the same: a host has few watches, and some filesystems tell nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A serial line brings one byte at a time: those that follow at once are taken along.
const GATHER: Duration = Duration::from_millis(4);

/// Tells that a file may have grown.
#[derive(Debug)]
pub(super) struct LogWatch {
    /// None where the kernel gives no more of them: the clock alone wakes then.
    watches: Option<AsyncFd<OwnedFd>>,
}

impl LogWatch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        #[expect(
            deprecated,
            reason = "sound for an OwnedFd, which names one descriptor all its life; what replaces it needs unsafe code"
        )]
        let watches = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .ok()
            .and_then(|watches| AsyncFd::with_interest(watches, Interest::READABLE).ok());
        Self { watches }
    }

    /// From now on what is written to the file of this name is noticed. To be called before
    /// each look at it: the name may lead to another file by then.
    pub(super) fn watch(&self, file: &Path) {
        if let Some(watches) = &self.watches {
            let what = WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW;
            // A file that is not there yet is found by the clock.
            let _not_there = add_watch(watches.get_ref(), file, what);
        }
    }

    /// Returns when the file may have grown.
    pub(super) async fn wait(&self) {
        let noticed = async {
            match &self.watches {
                Some(watches) => {
                    if let Ok(mut ready) = watches.readable().await {
                        tokio::time::sleep(GATHER).await;
                        empty(watches.get_ref());
                        ready.clear_ready();
                    }
                }
                None => std::future::pending().await,
            }
        };
        let _either = tokio::time::timeout(LOOK_EVERY, noticed).await;
    }
}

/// Takes out all that has been noticed; what it was does not matter.
fn empty(watches: &OwnedFd) {
    let mut buffer = [const { MaybeUninit::uninit() }; 1024];
    let mut reader = Reader::new(watches, &mut buffer);
    while reader.next().is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn growth_is_noticed_at_once_and_silence_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = std::fs::File::create(&path).unwrap();
        let log_watch = LogWatch::new();
        log_watch.watch(&path);
        let begun = Instant::now();
        log_watch.wait().await;
        assert!(begun.elapsed() >= LOOK_EVERY, "nothing was written");
        // The fastest of several: the machine may be busy.
        let mut fastest = LOOK_EVERY;
        for _ in 0..5 {
            log_watch.watch(&path);
            file.write_all(b"x").unwrap();
            let begun = Instant::now();
            log_watch.wait().await;
            fastest = fastest.min(begun.elapsed());
        }
        assert!(fastest < LOOK_EVERY / 2, "{fastest:?}");
    }
}
