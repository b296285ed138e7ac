//! The daemon's socket: who may connect, and what happens to others.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_proto::paths::{SocketAddress, private_directory};
use futures_util::Stream;
use tokio::net::{UnixListener, UnixStream};

/// A socket under its final name, removed again when it is dropped.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// How long accepting rests when the process has no descriptor left: at once again
/// would only burn the processor.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);
/// How often it is looked whether the socket still has its name.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Listener {
    /// Listens at `path`, 0600 in a 0700 folder, in place of what a killed daemon left.
    /// Only the holder of the instance lock calls this.
    ///
    /// # Errors
    /// When the folder is not private or the socket cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        private_directory(directory).map_err(io::Error::other)?;
        // Whoever connects under the final name meets a socket that is ready.
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let inner = UnixListener::bind(SocketAddress::of(&new)?.path())?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        let inode = new.symlink_metadata()?.ino();
        std::fs::rename(&new, path)?;
        Ok(Self { inner, path: path.to_owned(), inode })
    }

    /// The connections of this user; everybody else's are closed at once. Where the
    /// socket's name goes away, it is made again.
    pub fn connections(self) -> impl Stream<Item = io::Result<UnixStream>> {
        futures_util::stream::unfold(self, |mut listener| async move {
            Some((Ok(listener.next().await), listener))
        })
    }

    async fn next(&mut self) -> UnixStream {
        loop {
            tokio::select! {
                accepted = self.inner.accept() => match accepted {
                    Ok((stream, _)) if is_ours(&stream) => return stream,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    }
                },
                () = self.displaced() => match Self::bind(&self.path) {
                    Ok(again) => *self = again,
                    Err(error) => tracing::warn!(%error, "cannot make the socket again"),
                },
            }
        }
    }

    /// Returns when the socket's name has gone or leads elsewhere: logind removes the
    /// runtime folder at the last logout.
    async fn displaced(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.is_in_place() {
                return;
            }
        }
    }

    fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|metadata| metadata.ino() == self.inode)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.is_in_place() {
            // A name that stays is taken over by the next daemon.
            let _stays = std::fs::remove_file(&self.path);
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == us => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "closed another user's connection");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "closed a connection of nobody knows whom");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_and_replaces_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than an address of a unix socket may be.
        let directory = folder.path().join("d".repeat(120));
        let path = directory.join("bangerd.sock");
        let first = Listener::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        let second = Listener::bind(&path).unwrap();
        // The first no longer owns the name, and must not remove it.
        drop(first);
        assert!(second.is_in_place());
        let address = SocketAddress::of(&path).unwrap();
        let client = UnixStream::connect(address.path());
        let mut connections = Box::pin(second.connections());
        let (client, served) = tokio::join!(client, connections.next());
        client.unwrap();
        assert_eq!(
            served.unwrap().unwrap().peer_cred().unwrap().uid(),
            rustix::process::geteuid().as_raw()
        );
        drop(connections);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_lost_its_name_gets_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").join("bangerd.sock");
        let mut connections = Box::pin(Listener::bind(&path).unwrap().connections());
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let client = async {
            loop {
                let address = SocketAddress::of(&path);
                match address.map(|address| std::os::unix::net::UnixStream::connect(address.path()))
                {
                    Ok(Ok(client)) => return client,
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let (_client, served) = tokio::join!(client, connections.next());
        served.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_open_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("open");
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Listener::bind(&directory.join("bangerd.sock")).is_err());
    }
}
