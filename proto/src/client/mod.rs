//! The typed client of bangerd: domain types in and out.

mod guest;
mod images;
mod vms;

use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::paths::SocketAddress;
use crate::wire::daemon::{self as wire, daemon_client::DaemonClient};
use crate::{Code, Event, Garbage, Refusal, Setting, VmRef};

pub use guest::{ConsoleChunk, Hold};
pub use images::ImportHeader;

/// What bangerd says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}
/// A connection to bangerd.
#[derive(Debug, Clone)]
pub struct Client {
    inner: DaemonClient<Channel>,
}
type Result<T, E = Refusal> = std::result::Result<T, E>;

/// A stream of answers; an error ends it.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// The events of a long operation.
pub type Events<T> = Answers<Event<T>>;

fn reference(vm: &VmRef) -> Option<wire::VmRef> {
    Some(wire::VmRef { name_or_id: vm.to_string() })
}
/// The events of a stream, checked.
fn events<W, T>(stream: tonic::Streaming<W>) -> Events<T>
where
    W: Send + 'static,
    Event<T>: TryFrom<W, Error = crate::Invalid>,
{
    Box::pin(stream.map(|message| {
        let message = message.map_err(Refusal::from)?;
        Event::try_from(message).map_err(Refusal::from)
    }))
}
/// Tells that nobody listens from that the socket cannot be used.
fn connect_code(error: &tonic::transport::Error) -> Code {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return match error.kind() {
                ConnectionRefused | NotFound => Code::Unavailable,
                _ => Code::FailedPrecondition,
            };
        }
        cause = error.source();
    }
    Code::Unavailable
}
impl Client {
    /// Largest message taken from bangerd, in bytes.
    const MESSAGE: usize = 64 << 20;

    /// Connects to the socket, behind which must be a process of this very user.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when nobody listens there, [`Code::FailedPrecondition`] when
    /// somebody does who must not be trusted, or who cannot be asked.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let socket = socket.to_owned();
        // The address is never used: the connector goes to the socket.
        let channel = Endpoint::from_static("http://bangerd.invalid")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let socket = socket.clone();
                async move {
                    let address = SocketAddress::of(&socket)?;
                    let stream = UnixStream::connect(address.path()).await?;
                    let peer = stream.peer_cred()?.uid();
                    if peer != rustix::process::geteuid().as_raw() {
                        return Err(std::io::Error::new(
                            std::io::ErrorKind::PermissionDenied,
                            format!("the socket is served by the user {peer}"),
                        ));
                    }
                    Ok(TokioIo::new(stream))
                }
            }))
            .await
            .map_err(|error| Refusal {
                message: "cannot reach bangerd".into(),
                ..Refusal::from_error(connect_code(&error), &error)
            })?;
        Ok(Self { inner: DaemonClient::new(channel).max_decoding_message_size(Self::MESSAGE) })
    }

    /// Who answers.
    ///
    /// # Errors
    /// The daemon's refusal, as with every method here.
    pub async fn describe(&mut self) -> Result<Description> {
        let answer = self.inner.describe(wire::DescribeRequest {}).await?.into_inner();
        Ok(Description { version: answer.version, pid: answer.pid })
    }

    /// Ends the daemon; VMs run on.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn shutdown(&mut self) -> Result<()> {
        self.inner.shutdown(wire::ShutdownRequest {}).await?;
        Ok(())
    }

    /// What is configured, and the files that are looked for.
    ///
    /// # Errors
    /// The daemon's refusal, when a file cannot be used.
    pub async fn show_config(&mut self) -> Result<(Vec<Setting>, Vec<PathBuf>)> {
        let answer = self.inner.show_config(wire::ShowConfigRequest {}).await?.into_inner();
        let settings =
            answer.settings.into_iter().map(Setting::try_from).collect::<Result<_, _>>()?;
        Ok((settings, answer.files.into_iter().map(PathBuf::from).collect()))
    }

    /// What has no owner any more, and what became of it: nothing when it is a `dry_run`. With
    /// `include_overlays` also what guests wrote of whom no VM is known.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn collect_garbage(
        &mut self,
        dry_run: bool,
        include_overlays: bool,
    ) -> Result<Vec<Garbage>> {
        let request = wire::CollectGarbageRequest { dry_run, include_overlays };
        let answer = self.inner.collect_garbage(request).await?.into_inner();
        Ok(answer.garbage.into_iter().map(Garbage::try_from).collect::<Result<_, _>>()?)
    }
}
