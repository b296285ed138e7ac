//! The typed client of the root helper, for bangerd: nouns in and out.

mod handing;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};

use self::handing::Handing;
use super::{
    AttachSnapshot, AttachedNetwork, Change, DetachSnapshot, Discarded, Ext4Found,
    HelperDescription, Interaction, LendDevice, LentDevice, Object, OfVm, ReadExt4, Snapshot,
    Sweep, Swept, WriteExt4, WriteOutcome,
};
use crate::paths::SocketAddress;
use crate::wire::roothelper::{self as wire, root_helper_client::RootHelperClient};
use crate::{Code, Invalid, Refusal};

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// How long a call may take; a little more than the helper's own deadline, so that its
/// answer comes first.
const DEADLINE: Duration = Duration::from_secs(35);
/// The same where polkit may ask a person.
const DEADLINE_OF_PEOPLE: Duration = Duration::from_secs(125);
/// How long a full queue of the socket is waited for.
const FULL_QUEUE: Duration = Duration::from_secs(5);

/// A connection to the root helper.
#[derive(Debug, Clone)]
pub struct RootHelper {
    socket: PathBuf,
    inner: RootHelperClient<Channel>,
}

/// Connects to the socket, behind which must be root, or a process of this very user, which
/// could do nothing for it that it could not do itself.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let address = SocketAddress::of(socket)?;
    let began = Instant::now();
    let stream = loop {
        match UnixStream::connect(address.path()).await {
            // A queue that others fill is emptied quickly; the kernel does not say when.
            Err(error)
                if error.kind() == std::io::ErrorKind::WouldBlock
                    && began.elapsed() < FULL_QUEUE =>
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            connected => break connected?,
        }
    };
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        let message = format!("the socket is served by the user {peer}, who is not root");
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, message));
    }
    Ok(stream)
}

fn cannot_connect(error: &tonic::transport::Error) -> Refusal {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let mut cause = std::error::Error::source(error);
    let mut kind = None;
    while let Some(error) = cause {
        kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        cause = error.source();
    }
    let (code, hint) = match kind {
        Some(PermissionDenied) => (
            Code::PermissionDenied,
            "sudo usermod --append --groups banger \"$USER\", then log in anew",
        ),
        Some(NotFound) => (
            Code::Unavailable,
            "install banger with its system part, then sudo systemctl enable --now banger-roothelper.socket",
        ),
        _ => (Code::Unavailable, "systemctl status banger-roothelper.socket"),
    };
    Refusal {
        message: "cannot reach the root helper".into(),
        ..Refusal::from_error(code, error).hint(hint)
    }
}

/// A channel each of whose connections begins with the descriptor, if there is one.
async fn channel(socket: &Path, descriptor: Option<Arc<OwnedFd>>) -> Result<Channel> {
    let socket = socket.to_owned();
    // The address is never used: the connector goes to the socket.
    Endpoint::from_static("http://banger-roothelper.invalid")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let (socket, descriptor) = (socket.clone(), descriptor.clone());
            async move {
                let stream = connect(&socket).await?;
                Ok::<_, std::io::Error>(TokioIo::new(Handing::new(stream, descriptor)))
            }
        }))
        .await
        .map_err(|error| cannot_connect(&error))
}

fn call<M>(message: M, interaction: Interaction) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(if interaction.is_allowed() { DEADLINE_OF_PEOPLE } else { DEADLINE });
    request
}

/// The answer, or why there is none.
fn answered<W>(answer: Result<Response<W>, Status>) -> Result<W> {
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        // What is no word of the helper's is the end of its connection.
        Err(status)
            if status.details().is_empty() && std::error::Error::source(&status).is_some() =>
        {
            let refusal = Refusal::from_error(Code::Unavailable, &status);
            Err(Refusal { message: "the root helper closed the connection".into(), ..refusal }
                .hint("its log says why: journalctl --unit banger-roothelper --lines 20"))
        }
        Err(status) => Err(status.into()),
    }
}

fn checked<W, T: TryFrom<W, Error = Invalid>>(answer: Result<Response<W>, Status>) -> Result<T> {
    Ok(T::try_from(answered(answer)?)?)
}

impl RootHelper {
    /// Connects to the helper, which is started by that.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when it is not installed, [`Code::PermissionDenied`] when this
    /// user may not ask it.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let inner = RootHelperClient::new(channel(socket, None).await?);
        Ok(Self { socket: socket.to_owned(), inner })
    }

    /// What the helper says of itself and of the host; with `check_actions` what polkit would
    /// say to each action.
    ///
    /// # Errors
    /// The helper's refusal, as with every method here.
    pub async fn describe(&mut self, check_actions: bool) -> Result<HelperDescription> {
        let message = wire::DescribeRequest { check_actions };
        checked(self.inner.describe(call(message, Interaction::Never)).await)
    }

    /// Makes the block device of a VM over the base image, which crosses as this descriptor:
    /// opened for reading only.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn attach_snapshot(
        &self,
        request: AttachSnapshot,
        base: Arc<OwnedFd>,
    ) -> Result<Snapshot> {
        // A connection carries one descriptor in its life, so this call has its own.
        let mut own = RootHelperClient::new(channel(&self.socket, Some(base)).await?);
        let interaction = request.interaction;
        checked(own.attach_snapshot(call(request.into(), interaction)).await)
    }

    /// What is at each of some paths of an attached device.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn read_ext4_file(&mut self, request: ReadExt4) -> Result<Vec<Ext4Found>> {
        let (interaction, paths) = (request.interaction, request.paths.len());
        let answer = answered(self.inner.read_ext4_file(call(request.into(), interaction)).await)?;
        let found = answer.found;
        if found.len() != paths {
            return Err(Invalid::new("answer", "", "one for each path").into());
        }
        Ok(found.into_iter().map(Ext4Found::try_from).collect::<Result<_, _>>()?)
    }

    /// Changes the filesystem of an attached device in one transaction. The outcome says whether
    /// that was atomic: without a journal it is not.
    ///
    /// # Errors
    /// The helper's refusal: nothing was changed.
    pub async fn write_ext4_files(&mut self, request: WriteExt4) -> Result<WriteOutcome> {
        let interaction = request.interaction;
        checked(self.inner.write_ext4_files(call(request.into(), interaction)).await)
    }

    /// Gives the device's node to this user.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn lend_device(&mut self, request: LendDevice) -> Result<LentDevice> {
        let interaction = request.interaction;
        checked(self.inner.lend_device(call(request.into(), interaction)).await)
    }

    /// Takes the snapshot away; its overlay file stays.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn detach_snapshot(&mut self, request: DetachSnapshot) -> Result<Change> {
        let interaction = request.interaction;
        let answer = answered(self.inner.detach_snapshot(call(request.into(), interaction)).await)?;
        let possible = [Change::None, Change::Removed, Change::RemovalPending];
        Ok(Change::among(answer.change, &possible)?)
    }

    /// Removes the overlay file: what the guest wrote is gone.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn discard_overlay(&mut self, request: OfVm) -> Result<Discarded> {
        checked(self.inner.discard_overlay(call(request.into(), request.interaction)).await)
    }

    /// Makes the VM's tap.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn attach_network(&mut self, request: OfVm) -> Result<AttachedNetwork> {
        checked(self.inner.attach_network(call(request.into(), request.interaction)).await)
    }

    /// Removes the VM's tap.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn detach_network(&mut self, request: OfVm) -> Result<Change> {
        let message = call(request.into(), request.interaction);
        let answer = answered(self.inner.detach_network(message).await)?;
        Ok(Change::among(answer.change, &[Change::None, Change::Removed])?)
    }

    /// Everything that root made for this user.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn list_objects(&mut self) -> Result<Vec<Object>> {
        let message = call(wire::ListObjectsRequest {}, Interaction::Never);
        let objects = answered(self.inner.list_objects(message).await)?.objects;
        Ok(objects.into_iter().map(Object::try_from).collect::<Result<_, _>>()?)
    }

    /// Removes what belongs to none of the VMs to keep, and tells what became of each.
    ///
    /// # Errors
    /// The helper's refusal.
    pub async fn sweep(&mut self, request: Sweep) -> Result<Vec<Swept>> {
        let interaction = request.interaction;
        let swept = answered(self.inner.sweep(call(request.into(), interaction)).await)?.swept;
        Ok(swept.into_iter().map(Swept::try_from).collect::<Result<_, _>>()?)
    }
}
