//! Which method is which verb. Each one: the caller of the connection, the message checked and
//! frozen, the gate's permit, the verb.

use std::sync::Arc;

use banger_proto::roothelper::{Interaction, ReadExt4, Sweep, WriteExt4};
use banger_proto::wire::roothelper::{self as wire, root_helper_server};
use banger_proto::{Code, Invalid, Refusal};
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::admission::Capacity;
use super::connection::Patience;
use super::entrance::{Reading, too_late};
use super::peer::Peer;
use super::serve::{Ended, serve};
use crate::call::Call;
use crate::kernel::Kernel;
use crate::verb::{self, Host};
use crate::worker::{NoWorkers, Staff, Workers};
use crate::{Config, Gate, Limits, Method, Permit, call};

/// The helper: what it serves with.
#[derive(Debug)]
pub struct Server {
    gate: Gate,
    host: Host,
    patience: Patience,
    wire: verb::Wire,
}

type Answer<T> = Result<Response<T>, Status>;

/// A call that was read, and whose it is.
pub(super) struct Frozen<C> {
    pub(super) peer: Peer,
    pub(super) call: C,
}

impl Server {
    /// A helper that asks this gate and acts on this kernel.
    #[must_use]
    pub fn new(gate: Gate, kernel: Arc<dyn Kernel>, config: Config) -> Self {
        let host = Host::new(kernel, config, gate.audit().clone());
        Self { gate, host, patience: Patience::CONTRACT, wire: verb::Wire::default() }
    }

    /// The same with workers, without which no filesystem is looked into.
    #[must_use]
    pub fn workers(mut self, workers: Result<Workers, NoWorkers>) -> Self {
        self.host.staff = Staff::new(workers);
        self
    }

    /// The same with other deadlines, for tests.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Serves the listener until nobody asks for a while, or `ending` is ready; what has begun
    /// by then is carried to its end.
    pub async fn serve(
        self,
        listener: UnixListener,
        capacity: Capacity,
        ending: impl Future<Output = ()>,
    ) -> Ended {
        // A helper that was killed may have left loop devices that are nobody's. What cannot be
        // given back is in nobody's way.
        let kernel = Arc::clone(&self.host.kernel);
        let _strays = spawn_blocking(move || kernel.release_stray_loops()).await;
        serve(listener, Arc::new(self), capacity, ending).await
    }

    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) const fn limits(&self) -> Limits {
        self.host.config.limits
    }

    pub(super) const fn deadlines(&self) -> &Patience {
        &self.patience
    }

    /// Reads a message, which must have come with a descriptor when the call is one that takes
    /// it, and without one otherwise.
    fn freeze<M: About, C: Call>(
        &self,
        request: Request<M>,
        check: impl FnOnce(&Peer, M) -> Result<C, Invalid>,
    ) -> Result<Frozen<C>, Refusal> {
        self.read(C::METHOD, request, check)
    }

    /// The same for what is no call yet.
    fn read<M: About, C>(
        &self,
        method: Method,
        request: Request<M>,
        check: impl FnOnce(&Peer, M) -> Result<C, Invalid>,
    ) -> Result<Frozen<C>, Refusal> {
        let (_, mut extensions, message) = request.into_parts();
        let peer = extensions
            .remove::<Reading>()
            .ok_or_else(|| Refusal::new(Code::Internal, "a call without a connection"))?
            .ends();
        let said = message.about().to_owned();
        let refuse = |invalid| self.gate.refuse_message(&peer.caller, method, &said, invalid);
        let call = check(&peer, message).map_err(refuse)?;
        // A descriptor that no call asked for is let go.
        if peer.descriptors.take().is_some() {
            return Err(refuse(Invalid::new("descriptor", "", "only one for AttachSnapshot")));
        }
        Ok(Frozen { peer, call })
    }

    /// Asks the gate and calls the verb, which goes on to its end whatever becomes of the
    /// client: a handler is dropped when its client leaves, wherever it is.
    async fn perform<C, T, V>(
        &self,
        Frozen { peer, call }: Frozen<C>,
        verb: impl FnOnce(Permit<C>) -> V,
    ) -> Result<T, Refusal>
    where
        C: Call,
        T: Send + 'static,
        V: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let patience = match call.interaction() {
            Interaction::Never => self.patience.call,
            Interaction::Allowed => self.patience.call_with_people,
        };
        let asked_and_done = async {
            let doing = verb(self.gate.permit(&peer.caller, call).await?);
            let done = tokio::spawn(async move {
                // The connection's place is taken until the end, too.
                let _place = peer;
                doing.await
            });
            done.await.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
        };
        timeout(patience, asked_and_done).await.unwrap_or_else(|_| Err(too_late()))
    }
}

/// What a message says that it is about, as the client wrote it: for the log, when it is wrong.
trait About {
    fn about(&self) -> &[u8];
}

macro_rules! about {
    ($($message:ident: $self:ident => $text:expr),+ $(,)?) => {$(
        impl About for wire::$message {
            fn about(&$self) -> &[u8] {
                $text
            }
        }
    )+};
}

fn device(handle: Option<&wire::DeviceHandle>) -> &[u8] {
    handle.map_or(&[], |handle| handle.vm_id.as_bytes())
}

about! {
    DescribeRequest: self => &[],
    ListObjectsRequest: self => &[],
    AttachSnapshotRequest: self => self.vm_id.as_bytes(),
    DetachSnapshotRequest: self => self.vm_id.as_bytes(),
    DiscardOverlayRequest: self => self.vm_id.as_bytes(),
    AttachNetworkRequest: self => self.vm_id.as_bytes(),
    DetachNetworkRequest: self => self.vm_id.as_bytes(),
    ReadExt4FileRequest: self => device(self.device.as_ref()),
    WriteExt4FilesRequest: self => device(self.device.as_ref()),
    LendDeviceRequest: self => device(self.device.as_ref()),
    SweepRequest: self => self.keep_vm_ids.first().map_or(&[], |id| id.as_bytes()),
}

#[tonic::async_trait]
impl root_helper_server::RootHelper for Server {
    async fn describe(
        &self,
        request: Request<wire::DescribeRequest>,
    ) -> Answer<wire::DescribeResponse> {
        let frozen = self.freeze(request, |_, message| {
            Ok(call::Describe { check_actions: message.check_actions })
        })?;
        let actions = if frozen.call.check_actions {
            self.gate.answers(&frozen.peer.caller).await
        } else {
            Vec::new()
        };
        let describe = |permit| verb::describe(permit, self.host.clone(), actions);
        Ok(Response::new(self.perform(frozen, describe).await?.into()))
    }

    async fn attach_snapshot(
        &self,
        request: Request<wire::AttachSnapshotRequest>,
    ) -> Answer<wire::AttachSnapshotResponse> {
        let read = self.read(Method::AttachSnapshot, request, |peer, message| {
            let request = message.try_into()?;
            let missing =
                || Invalid::new("base image", "", "send its descriptor ahead of the request");
            Ok((request, peer.descriptors.take().ok_or_else(missing)?))
        })?;
        let attach = |permit| verb::attach_snapshot(permit, self.host.clone());
        Ok(Response::new(self.perform(self.with_base(read).await?, attach).await?.into()))
    }

    async fn read_ext4_file(
        &self,
        request: Request<wire::ReadExt4FileRequest>,
    ) -> Answer<wire::ReadExt4FileResponse> {
        let limits = self.host.config.limits;
        let frozen = self.freeze(request, |_, message| {
            let request = ReadExt4::try_from(message)?;
            limits.check_read(request.limit_bytes, request.paths.len()).map_err(Invalid::from)?;
            Ok(call::ReadExt4File(request))
        })?;
        let read = |permit| verb::read_ext4_file(permit, self.host.clone());
        let found = self.perform(frozen, read).await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ReadExt4FileResponse { found }))
    }

    async fn write_ext4_files(
        &self,
        request: Request<wire::WriteExt4FilesRequest>,
    ) -> Answer<wire::WriteExt4FilesResponse> {
        let limits = self.host.config.limits;
        let frozen = self.freeze(request, |_, message| {
            let request = WriteExt4::try_from(message)?;
            let lengths = request.writes.iter().map(banger_proto::roothelper::Ext4Write::bytes);
            limits.check_batch(lengths).map_err(Invalid::from)?;
            Ok(call::WriteExt4Files(request))
        })?;
        let write = |permit| verb::write_ext4_files(permit, self.host.clone());
        Ok(Response::new(self.perform(frozen, write).await?.into()))
    }

    async fn lend_device(
        &self,
        request: Request<wire::LendDeviceRequest>,
    ) -> Answer<wire::LendDeviceResponse> {
        let frozen =
            self.freeze(request, |_, message| Ok(call::LendDevice(message.try_into()?)))?;
        let lend = |permit| verb::lend_device(permit, self.host.clone());
        Ok(Response::new(self.perform(frozen, lend).await?.into()))
    }

    async fn detach_snapshot(
        &self,
        request: Request<wire::DetachSnapshotRequest>,
    ) -> Answer<wire::DetachSnapshotResponse> {
        let frozen =
            self.freeze(request, |_, message| Ok(call::DetachSnapshot(message.try_into()?)))?;
        let detach = |permit| verb::detach_snapshot(permit, self.host.clone());
        let change = self.perform(frozen, detach).await?.to_wire();
        Ok(Response::new(wire::DetachSnapshotResponse { change }))
    }

    async fn discard_overlay(
        &self,
        request: Request<wire::DiscardOverlayRequest>,
    ) -> Answer<wire::DiscardOverlayResponse> {
        let frozen =
            self.freeze(request, |_, message| Ok(call::DiscardOverlay(message.try_into()?)))?;
        let discard = |permit| verb::discard_overlay(permit, self.host.clone());
        Ok(Response::new(self.perform(frozen, discard).await?.into()))
    }

    async fn attach_network(
        &self,
        request: Request<wire::AttachNetworkRequest>,
    ) -> Answer<wire::AttachNetworkResponse> {
        let frozen =
            self.freeze(request, |_, message| Ok(call::AttachNetwork(message.try_into()?)))?;
        let (host, wire) = (self.host.clone(), Arc::clone(&self.wire));
        let attach = |permit| verb::attach_network(permit, host, wire);
        Ok(Response::new(self.perform(frozen, attach).await?.into()))
    }

    async fn detach_network(
        &self,
        request: Request<wire::DetachNetworkRequest>,
    ) -> Answer<wire::DetachNetworkResponse> {
        let frozen =
            self.freeze(request, |_, message| Ok(call::DetachNetwork(message.try_into()?)))?;
        let Host { kernel, config, .. } = self.host.clone();
        let wire = Arc::clone(&self.wire);
        let detach = |permit| verb::detach_network(permit, kernel, wire, config);
        let change = self.perform(frozen, detach).await?;
        Ok(Response::new(wire::DetachNetworkResponse { change: change.to_wire() }))
    }

    async fn list_objects(
        &self,
        request: Request<wire::ListObjectsRequest>,
    ) -> Answer<wire::ListObjectsResponse> {
        let frozen = self.freeze(request, |_, _| Ok(call::ListObjects))?;
        let list = |permit| verb::list_objects(permit, self.host.clone());
        let objects = self.perform(frozen, list).await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListObjectsResponse { objects }))
    }

    async fn sweep(&self, request: Request<wire::SweepRequest>) -> Answer<wire::SweepResponse> {
        let limits = self.host.config.limits;
        let frozen = self.freeze(request, |_, message| {
            let request = Sweep::try_from(message)?;
            limits.check_keep(request.keep.len()).map_err(Invalid::from)?;
            Ok(call::Sweep(request))
        })?;
        let sweep = |permit| verb::sweep(permit, self.host.clone(), Arc::clone(&self.wire));
        let swept = self.perform(frozen, sweep).await?.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::SweepResponse { swept }))
    }
}
