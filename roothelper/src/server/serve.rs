//! The accept loop, and the life of each connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Server;
use super::admission::{Admission, Capacity};
use super::connection::{Connection, Patience};
use super::entrance::Entrance;
use super::errands::Errands;
use super::goodbye::Goodbye;
use super::peer::Peer;
use super::turned_away::TurnedAway;
use crate::Caller;

/// How long accepting rests when there is no descriptor left: at once again would only burn
/// the processor.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(200);
/// A user that the kernel does not tell.
const NOBODY: u32 = u32::MAX;
/// Headers of a call, in bytes.
const HEADERS: u32 = 8 << 10;
/// What a client may send before it is read, in bytes.
const WINDOW: u32 = 64 << 10;

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nobody was connected for a while.
    Idle,
    /// It was asked to.
    Asked,
}

/// Serves the listener's connections until nobody asks for a while, or `ending` is ready; what
/// has begun by then is carried to its end.
pub(super) async fn serve(
    listener: UnixListener,
    server: Arc<Server>,
    capacity: Capacity,
    ending: impl Future<Output = ()>,
) -> Ended {
    let patience = *server.deadlines();
    let audit = server.gate().audit().clone();
    let (errands, turned_away) = (Errands::of_the_let_in(), Errands::of_the_turned_away());
    tokio::spawn(errands.clone().keep_moving());
    tokio::spawn(turned_away.clone().keep_moving());
    let admission = Admission::new(capacity, errands);
    let ends = Arc::clone(&server);
    let entrance = Entrance::new(server);
    let goodbye = Goodbye::new(turned_away);
    let (end, ended) = watch::channel(false);
    let mut ending = pin!(ending);
    let mut idle = pin!(admission.idle(patience.idle));
    let reason = loop {
        tokio::select! {
            () = &mut ending => break Ended::Asked,
            () = &mut idle => {
                // A process ends with its last thread: nobody would be served until systemd
                // loses its patience with one that hangs.
                if goodbye.is_done() {
                    break Ended::Idle;
                }
                idle.set(admission.idle(patience.idle));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match admit(&admission, &stream) {
                    Ok(peer) => {
                        let talk = converse(stream, peer, entrance.clone(), patience, ended.clone());
                        tokio::spawn(talk);
                    }
                    Err(why) => {
                        let peer = stream.peer_cred();
                        let uid = peer.as_ref().map_or(NOBODY, tokio::net::unix::UCred::uid);
                        let pid = peer.ok().and_then(|peer| peer.pid());
                        goodbye.say(stream, uid, &why);
                        audit.refuse_peer(uid, pid, &why);
                    }
                },
                // The peer gave up; the next one may be there.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(_) => sleep(OUT_OF_DESCRIPTORS).await,
            },
        }
    };
    ends.gate().end();
    // Whoever connects from here on waits in the socket's queue for the next helper.
    drop(listener);
    end.send_replace(true);
    // What goes on without its client has its connection's place, too.
    admission.idle(Duration::ZERO).await;
    reason
}

fn admit(admission: &Admission, stream: &UnixStream) -> Result<Peer, TurnedAway> {
    let caller = Caller::of(stream)?;
    let full = |why| TurnedAway::Full { uid: caller.uid(), why };
    let ticket = Arc::new(admission.admit(caller.uid()).map_err(full)?);
    Ok(Peer { caller, descriptors: Arc::default(), ticket, places: Arc::default() })
}

/// A connection from its greeting to its end.
async fn converse(
    stream: UnixStream,
    peer: Peer,
    entrance: Entrance,
    patience: Patience,
    ended: watch::Receiver<bool>,
) {
    let (descriptors, caller) = (Arc::clone(&peer.descriptors), peer.caller.clone());
    let audit = entrance.audit().clone();
    talk(stream, peer, entrance, patience, ended).await;
    if let Some(too_many) = descriptors.had_too_many() {
        audit.refuse_peer(caller.uid().get(), Some(caller.pid().as_raw_pid()), &too_many);
    }
}

async fn talk(
    stream: UnixStream,
    peer: Peer,
    entrance: Entrance,
    patience: Patience,
    mut ended: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(Connection::new(stream, peer.clone(), &patience));
    let service = service_fn(move |request| entrance.clone().answer(peer.clone(), request));
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(1)
            .max_header_list_size(HEADERS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(WINDOW as usize)
            .serve_connection(stream, service)
    );
    tokio::select! {
        // Whether it ended well is the client's concern.
        _ = &mut connection => return,
        () = sleep(patience.age) => {}
        _ = ended.wait_for(|&ended| ended) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = &mut connection => {}
        () = sleep(patience.grace) => {}
        () = async {
            drop(ended.wait_for(|&ended| ended).await);
            sleep(patience.ending).await;
        } => {}
    }
}
