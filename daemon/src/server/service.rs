//! Which method is which verb.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::wire::daemon::{self as wire, daemon_server};
use banger_proto::{
    Code, Event, Invalid, NewVm, Refusal, StartOptions, VmChange, VmCondition, VmRef,
};
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use super::{Listener, consoles, imports};
use crate::image;
use crate::progress::{Teller, Told};
use crate::spawn::{Process, ProcessId};
use crate::verb;
use crate::vm::Registry;

/// Largest message that is taken, in bytes: a kernel and an initial RAM disk fit.
const MESSAGE: usize = 256 << 20;
/// How long connections may take to end when the daemon does.
const PATIENCE: Duration = Duration::from_millis(500);

/// The service.
#[derive(Debug)]
pub struct Service {
    registry: Arc<Registry>,
    /// Becomes true when the daemon is to end.
    ending: watch::Sender<bool>,
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves until somebody asks the daemon to end.
///
/// # Errors
/// When the server fails.
pub async fn serve(
    registry: Arc<Registry>,
    listener: Listener,
    mut ending: watch::Receiver<bool>,
    end: watch::Sender<bool>,
) -> Result<(), tonic::transport::Error> {
    let service = daemon_server::DaemonServer::new(Service { registry, ending: end })
        .max_decoding_message_size(MESSAGE);
    let mut ending_too = ending.clone();
    let served = Server::builder()
        .max_concurrent_streams(256)
        .http2_max_header_list_size(8 << 10)
        // Room for a chunk of an image in each direction.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .serve_with_incoming_shutdown(service, listener.connections(), async move {
            let _gone = ending.wait_for(|&end| end).await;
        });
    tokio::select! {
        outcome = served => outcome,
        // Streams that follow a log would keep their connections for ever.
        () = async {
            let _gone = ending_too.wait_for(|&end| end).await;
            tokio::time::sleep(PATIENCE).await;
        } => Ok(()),
    }
}

/// The VM that a message names.
pub(super) fn reference(vm: Option<wire::VmRef>) -> Result<VmRef, Refusal> {
    let named = vm.ok_or_else(|| Invalid::new("VM", "", "name one"))?.name_or_id;
    Ok(named.parse::<VmRef>()?)
}

/// Carries an operation to its end, also when the caller goes away: a handler is dropped
/// then, wherever it is, and would leave on disk what nobody knows of.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
}

/// What a teller says, as messages.
fn told<W, T>(told: mpsc::UnboundedReceiver<Told<T>>) -> Response<Answers<W>>
where
    T: Send + 'static,
    W: From<Event<T>> + Send + 'static,
{
    let events =
        UnboundedReceiverStream::new(told).map(|told| told.map(W::from).map_err(Status::from));
    Response::new(Box::pin(events))
}

/// The process at the other end of the connection.
fn caller<T>(request: &Request<T>) -> Option<ProcessId> {
    let info = request.extensions().get::<UdsConnectInfo>()?;
    let pid = info.peer_cred.as_ref()?.pid()?;
    Process::hold(u32::try_from(pid).ok()?).ok().map(|process| process.id().clone())
}

#[tonic::async_trait]
impl daemon_server::Daemon for Service {
    type ImportImageStream = Answers<wire::ImageEvent>;
    type BuildImageStream = Answers<wire::ImageEvent>;
    type StartVmStream = Answers<wire::VmEvent>;
    type StopVmStream = Answers<wire::VmEvent>;
    type RestartVmStream = Answers<wire::VmEvent>;
    type RemoveVmStream = Answers<wire::VmEvent>;
    type ReadLogsStream = Answers<wire::LogChunk>;
    type AttachConsoleStream = Answers<wire::ConsoleChunk>;
    type HoldVmStream = Answers<wire::HoldEvent>;

    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Answer<wire::DescribeResponse> {
        Ok(Response::new(wire::DescribeResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        }))
    }

    async fn shutdown(&self, _: Request<wire::ShutdownRequest>) -> Answer<wire::ShutdownResponse> {
        self.ending.send_replace(true);
        Ok(Response::new(wire::ShutdownResponse {}))
    }

    async fn show_config(
        &self,
        _: Request<wire::ShowConfigRequest>,
    ) -> Answer<wire::ShowConfigResponse> {
        let (settings, files) = verb::show_config(self.registry.context()).await?;
        Ok(Response::new(wire::ShowConfigResponse {
            settings: settings.into_iter().map(Into::into).collect(),
            files: files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        }))
    }

    async fn import_image(
        &self,
        request: Request<Streaming<wire::ImportImageRequest>>,
    ) -> Answer<Self::ImportImageStream> {
        let mut parts = request.into_inner();
        let first = parts.message().await?;
        let header = imports::header(first)?;
        let parts = Box::pin(imports::parts(parts));
        let (teller, events) = Teller::channel();
        let registry = self.registry.clone();
        // A task of its own: it cleans up whatever becomes of the caller.
        tokio::spawn(async move {
            let outcome = image::import_image(registry, header, parts, teller.clone()).await;
            teller.end(outcome);
        });
        Ok(told(events))
    }

    async fn build_image(
        &self,
        request: Request<wire::BuildImageRequest>,
    ) -> Answer<Self::BuildImageStream> {
        let (name, size, source) = imports::build(request.into_inner())?;
        let (teller, events) = Teller::channel();
        let registry = self.registry.clone();
        tokio::spawn(async move {
            let outcome = image::build_image(registry, name, size, source, teller.clone()).await;
            teller.end(outcome);
        });
        Ok(told(events))
    }

    async fn list_images(
        &self,
        _: Request<wire::ListImagesRequest>,
    ) -> Answer<wire::ListImagesResponse> {
        let images = verb::list_images(&self.registry)?;
        Ok(Response::new(wire::ListImagesResponse {
            images: images.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_image(&self, request: Request<wire::GetImageRequest>) -> Answer<wire::Image> {
        let name = request.into_inner().name.parse().map_err(Refusal::from)?;
        Ok(Response::new(verb::get_image(&self.registry, &name)?.into()))
    }

    async fn remove_image(
        &self,
        request: Request<wire::RemoveImageRequest>,
    ) -> Answer<wire::RemoveImageResponse> {
        let name = request.into_inner().name.parse().map_err(Refusal::from)?;
        let registry = self.registry.clone();
        to_its_end(async move { verb::remove_image(&registry, &name).await }).await?;
        Ok(Response::new(wire::RemoveImageResponse {}))
    }

    async fn create_vm(&self, request: Request<wire::CreateVmRequest>) -> Answer<wire::Vm> {
        let holder = caller(&request);
        let new = NewVm::try_from(request.into_inner()).map_err(Refusal::from)?;
        let registry = self.registry.clone();
        let created = async move { verb::create_vm(&registry, new, holder).await };
        Ok(Response::new(to_its_end(created).await?.into()))
    }

    async fn start_vm(
        &self,
        request: Request<wire::StartVmRequest>,
    ) -> Answer<Self::StartVmStream> {
        let request = request.into_inner();
        let options = StartOptions::from(&request);
        let vm = self.registry.find(&reference(request.vm)?)?;
        let (teller, events) = Teller::channel();
        vm.start(options, teller);
        Ok(told(events))
    }

    async fn stop_vm(&self, request: Request<wire::StopVmRequest>) -> Answer<Self::StopVmStream> {
        let request = request.into_inner();
        let vm = self.registry.find(&reference(request.vm)?)?;
        let deadline = request.deadline_ms.map(|ms| Duration::from_millis(ms.into()));
        let (teller, events) = Teller::channel();
        vm.stop(deadline, teller);
        Ok(told(events))
    }

    async fn restart_vm(
        &self,
        request: Request<wire::RestartVmRequest>,
    ) -> Answer<Self::RestartVmStream> {
        let request = request.into_inner();
        let vm = self.registry.find(&reference(request.vm)?)?;
        let deadline = request.deadline_ms.map(|ms| Duration::from_millis(ms.into()));
        let (teller, events) = Teller::channel();
        vm.restart(deadline, StartOptions { force: request.force, timeout: None }, teller);
        Ok(told(events))
    }

    async fn set_vm(&self, request: Request<wire::SetVmRequest>) -> Answer<wire::Vm> {
        let request = request.into_inner();
        let change = VmChange::try_from(&request).map_err(Refusal::from)?;
        let vm = self.registry.find(&reference(request.vm)?)?;
        Ok(Response::new(vm.set(change).await?.into()))
    }

    async fn wait_vm(&self, request: Request<wire::WaitVmRequest>) -> Answer<wire::Vm> {
        let request = request.into_inner();
        let until = VmCondition::try_from(request.until()).map_err(Refusal::from)?;
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let vm = self.registry.find(&reference(request.vm)?)?;
        Ok(Response::new(verb::wait_vm(&vm, until, timeout).await?.into()))
    }

    async fn remove_vm(
        &self,
        request: Request<wire::RemoveVmRequest>,
    ) -> Answer<Self::RemoveVmStream> {
        let request = request.into_inner();
        let vm = self.registry.find(&reference(request.vm)?)?;
        let (teller, events) = Teller::channel();
        vm.remove(request.force, teller);
        Ok(told(events))
    }

    async fn list_vms(&self, _: Request<wire::ListVmsRequest>) -> Answer<wire::ListVmsResponse> {
        let vms = self.registry.all().iter().map(|vm| vm.view().into()).collect();
        let broken = self.registry.broken().into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListVmsResponse { vms, broken }))
    }

    async fn remove_broken_vm(
        &self,
        request: Request<wire::RemoveBrokenVmRequest>,
    ) -> Answer<wire::BrokenVm> {
        let vm = reference(request.into_inner().vm)?;
        let registry = self.registry.clone();
        let removed = async move { verb::remove_broken_vm(&registry, &vm).await };
        Ok(Response::new(to_its_end(removed).await?.into()))
    }

    async fn collect_garbage(
        &self,
        request: Request<wire::CollectGarbageRequest>,
    ) -> Answer<wire::CollectGarbageResponse> {
        let wire::CollectGarbageRequest { dry_run, include_overlays } = request.into_inner();
        let registry = self.registry.clone();
        let collected =
            async move { verb::collect_garbage(&registry, dry_run, include_overlays).await };
        let garbage = to_its_end(collected).await?;
        Ok(Response::new(wire::CollectGarbageResponse {
            garbage: garbage.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_vm(&self, request: Request<wire::GetVmRequest>) -> Answer<wire::Vm> {
        let vm = self.registry.find(&reference(request.into_inner().vm)?)?;
        Ok(Response::new(vm.view().into()))
    }

    async fn get_ssh_target(
        &self,
        request: Request<wire::GetSshTargetRequest>,
    ) -> Answer<wire::SshTarget> {
        let vm = self.registry.find(&reference(request.into_inner().vm)?)?;
        Ok(Response::new(verb::ssh_target(&vm)?.into()))
    }

    async fn get_ssh_identity(
        &self,
        request: Request<wire::GetSshIdentityRequest>,
    ) -> Answer<wire::SshIdentity> {
        let vm = self.registry.find(&reference(request.into_inner().vm)?)?;
        Ok(Response::new(verb::ssh_identity(&vm).into()))
    }

    async fn read_logs(
        &self,
        request: Request<wire::ReadLogsRequest>,
    ) -> Answer<Self::ReadLogsStream> {
        let request = request.into_inner();
        let vm = self.registry.find(&reference(request.vm)?)?;
        let tail = (request.tail_lines != 0).then_some(request.tail_lines);
        let chunks = verb::read_logs(&vm, request.follow, tail).await?;
        Ok(Response::new(Box::pin(chunks.map(|piece| {
            piece.map(|piece| wire::LogChunk { data: piece.data }).map_err(Status::from)
        }))))
    }

    async fn attach_console(
        &self,
        request: Request<Streaming<wire::ConsoleRequest>>,
    ) -> Answer<Self::AttachConsoleStream> {
        let mut parts = request.into_inner();
        let (vm, tail) = consoles::attach(parts.message().await?)?;
        let vm = self.registry.find(&vm)?;
        let pieces = verb::attach_console(&vm, tail, consoles::typed(parts)).await?;
        Ok(Response::new(Box::pin(pieces.map(consoles::written))))
    }

    async fn hold_vm(&self, request: Request<wire::HoldVmRequest>) -> Answer<Self::HoldVmStream> {
        let holder = caller(&request);
        let vm = self.registry.find(&reference(request.into_inner().vm)?)?;
        let hold = vm.hold(holder);
        // The stream says one word and then stays open; what drops it drops the hold.
        let events = futures_util::stream::once(async { Ok(wire::HoldEvent {}) })
            .chain(futures_util::stream::pending())
            .map(move |event| {
                let _held = &hold;
                event
            });
        Ok(Response::new(Box::pin(events)))
    }
}
