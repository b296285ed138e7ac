//! The typed client of bangerd: domain types in and out.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::paths::SocketAddress;
use crate::wire::daemon::{self as wire, daemon_client::DaemonClient};
use crate::{
    BrokenVm, Code, Event, Garbage, Image, ImageName, ImageSource, Mib, NewVm, Refusal, Seconds,
    Setting, SshIdentity, SshTarget, StartOptions, Vm, VmChange, VmCondition, VmRef,
};

/// What bangerd says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// How an import begins.
#[derive(Debug, Clone)]
pub struct ImportHeader {
    /// The image's name.
    pub name: ImageName,
    /// Size of the root filesystem; absent: the daemon chooses.
    pub size: Option<Mib>,
    /// Bytes of the tar, when known.
    pub tar_bytes: Option<u64>,
    /// Kernel that overrides the image's own.
    pub kernel: Option<Vec<u8>>,
    /// Initial RAM disk that overrides the image's own.
    pub initrd: Option<Vec<u8>>,
}

/// What a guest wrote on its serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleChunk {
    /// The bytes, as they are.
    pub data: Vec<u8>,
    /// Whether they were written before anybody attached here.
    pub replay: bool,
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

    /// Makes an image from the chunks of a tar stream. A stream of chunks that ends without
    /// an error is taken as whole.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn import_image(
        &mut self,
        header: ImportHeader,
        chunks: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
    ) -> Result<Events<Image>> {
        use wire::import_image_request::Part;
        let message = |part| wire::ImportImageRequest { part: Some(part) };
        let header = wire::ImportHeader {
            name: header.name.to_string(),
            size_mib: header.size.map_or(0, Mib::get),
            tar_bytes: header.tar_bytes.unwrap_or(0),
            kernel: header.kernel,
            initrd: header.initrd,
        };
        // A chunk that cannot be read ends the stream without its end mark: the daemon
        // then knows that it was cut.
        let chunks = chunks
            .map(Ok::<_, ()>)
            .chain(futures_util::stream::once(async { Err(()) }))
            .scan(false, move |cut, item| {
                let part = match item {
                    Ok(Ok(chunk)) if !*cut => Some(Part::Chunk(chunk)),
                    Err(()) if !*cut => Some(Part::End(wire::ImportEnd {})),
                    _ => {
                        *cut = true;
                        None
                    }
                };
                std::future::ready(part)
            });
        let parts = futures_util::stream::once(async move { Part::Header(header) }).chain(chunks);
        Ok(events(self.inner.import_image(parts.map(message)).await?.into_inner()))
    }

    /// Makes an image from a distribution's packages.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn build_image(
        &mut self,
        name: &ImageName,
        size: Option<Mib>,
        source: ImageSource,
    ) -> Result<Events<Image>> {
        use wire::build_image_request::Source;
        let ImageSource::Debian { suite, mirror } = source;
        let request = wire::BuildImageRequest {
            name: name.to_string(),
            size_mib: size.map_or(0, Mib::get),
            source: Some(Source::Debian(wire::DebianSource {
                suite,
                mirror: mirror.unwrap_or_default(),
            })),
        };
        Ok(events(self.inner.build_image(request).await?.into_inner()))
    }

    /// All images.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_images(&mut self) -> Result<Vec<Image>> {
        let answer = self.inner.list_images(wire::ListImagesRequest {}).await?.into_inner();
        Ok(answer.images.into_iter().map(Image::try_from).collect::<Result<_, _>>()?)
    }

    /// One image.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn image(&mut self, name: &ImageName) -> Result<Image> {
        let request = wire::GetImageRequest { name: name.to_string() };
        Ok(self.inner.get_image(request).await?.into_inner().try_into()?)
    }

    /// Removes an image that no VM uses.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn remove_image(&mut self, name: &ImageName) -> Result<()> {
        let request = wire::RemoveImageRequest { name: name.to_string() };
        self.inner.remove_image(request).await?;
        Ok(())
    }

    /// Makes a VM.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn create_vm(&mut self, new: NewVm) -> Result<Vm> {
        let request = wire::CreateVmRequest::from(new);
        Ok(self.inner.create_vm(request).await?.into_inner().try_into()?)
    }

    /// Starts a VM; ends with it when the guest answers. With `force` also where the host
    /// has not what it seems to need.
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn start_vm(&mut self, vm: &VmRef, options: StartOptions) -> Result<Events<Vm>> {
        let request = options.request(wire::VmRef { name_or_id: vm.to_string() });
        Ok(events(self.inner.start_vm(request).await?.into_inner()))
    }

    /// Stops a VM; kills it after `deadline`, or the daemon's own.
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn stop_vm(
        &mut self,
        vm: &VmRef,
        deadline: Option<std::time::Duration>,
    ) -> Result<Events<Vm>> {
        let deadline_ms = deadline.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX));
        let request = wire::StopVmRequest { vm: reference(vm), deadline_ms };
        Ok(events(self.inner.stop_vm(request).await?.into_inner()))
    }

    /// Stops a VM as [`Client::stop_vm`] does and starts it, as one operation; starts one
    /// that does not run; `force` is as in [`StartOptions`].
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn restart_vm(
        &mut self,
        vm: &VmRef,
        deadline: Option<std::time::Duration>,
        force: bool,
    ) -> Result<Events<Vm>> {
        let deadline_ms = deadline.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX));
        let request = wire::RestartVmRequest { vm: reference(vm), deadline_ms, force };
        Ok(events(self.inner.restart_vm(request).await?.into_inner()))
    }

    /// Changes what a VM has from its next start on.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn set_vm(&mut self, vm: &VmRef, change: VmChange) -> Result<Vm> {
        Ok(self.inner.set_vm(change.request(vm)).await?.into_inner().try_into()?)
    }

    /// Waits until a VM is where it is awaited, or until `timeout` is over.
    ///
    /// # Errors
    /// The daemon's refusal; [`Code::DeadlineExceeded`] when the time is over.
    pub async fn wait_vm(
        &mut self,
        vm: &VmRef,
        until: VmCondition,
        timeout: Option<Seconds>,
    ) -> Result<Vm> {
        let request = wire::WaitVmRequest {
            vm: reference(vm),
            until: wire::VmCondition::from(until).into(),
            timeout_ms: timeout.map(|seconds| u64::from(seconds.get()) * 1000),
        };
        Ok(self.inner.wait_vm(request).await?.into_inner().try_into()?)
    }

    /// Removes a VM and its disks; with `force` also a running one.
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn remove_vm(&mut self, vm: &VmRef, force: bool) -> Result<Events<Vm>> {
        let request = wire::RemoveVmRequest { vm: reference(vm), force };
        Ok(events(self.inner.remove_vm(request).await?.into_inner()))
    }

    /// Removes a VM whose record cannot be read, with all its files.
    ///
    /// # Errors
    /// The daemon's refusal; [`Code::NotFound`] also for a VM in good order.
    pub async fn remove_broken_vm(&mut self, vm: &VmRef) -> Result<BrokenVm> {
        let request = wire::RemoveBrokenVmRequest { vm: reference(vm) };
        Ok(self.inner.remove_broken_vm(request).await?.into_inner().try_into()?)
    }

    /// All VMs.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_vms(&mut self) -> Result<Vec<Vm>> {
        Ok(self.list_vms_and_broken().await?.0)
    }

    /// All VMs, and those whose records cannot be read.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_vms_and_broken(&mut self) -> Result<(Vec<Vm>, Vec<BrokenVm>)> {
        let answer = self.inner.list_vms(wire::ListVmsRequest {}).await?.into_inner();
        let vms = answer.vms.into_iter().map(Vm::try_from).collect::<Result<_, _>>()?;
        let broken = answer.broken.into_iter().map(BrokenVm::try_from).collect::<Result<_, _>>()?;
        Ok((vms, broken))
    }

    /// What has no owner any more, and what became of it: nothing when it is a `dry_run`.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn collect_garbage(&mut self, dry_run: bool) -> Result<Vec<Garbage>> {
        let request = wire::CollectGarbageRequest { dry_run };
        let answer = self.inner.collect_garbage(request).await?.into_inner();
        Ok(answer.garbage.into_iter().map(Garbage::try_from).collect::<Result<_, _>>()?)
    }

    /// One VM.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn vm(&mut self, vm: &VmRef) -> Result<Vm> {
        let request = wire::GetVmRequest { vm: reference(vm) };
        Ok(self.inner.get_vm(request).await?.into_inner().try_into()?)
    }

    /// How to reach a running VM's sshd.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn ssh_target(&mut self, vm: &VmRef) -> Result<SshTarget> {
        let request = wire::GetSshTargetRequest { vm: reference(vm) };
        Ok(self.inner.get_ssh_target(request).await?.into_inner().try_into()?)
    }

    /// Which keys open a VM and prove it.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn ssh_identity(&mut self, vm: &VmRef) -> Result<SshIdentity> {
        let request = wire::GetSshIdentityRequest { vm: reference(vm) };
        Ok(self.inner.get_ssh_identity(request).await?.into_inner().try_into()?)
    }

    /// The console's raw bytes; `tail` limits how many last lines there are at first.
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn logs(
        &mut self,
        vm: &VmRef,
        follow: bool,
        tail: Option<u32>,
    ) -> Result<Answers<Vec<u8>>> {
        let request =
            wire::ReadLogsRequest { vm: reference(vm), follow, tail_lines: tail.unwrap_or(0) };
        let stream = self.inner.read_logs(request).await?.into_inner();
        Ok(Box::pin(stream.map(|chunk| chunk.map(|chunk| chunk.data).map_err(Refusal::from))))
    }

    /// The VM's serial line: `input` is typed there, and what the guest writes comes back
    /// until the VM ends. At first come the last `tail` lines of what it wrote before.
    ///
    /// # Errors
    /// The daemon's refusal, here or in the stream.
    pub async fn console(
        &mut self,
        vm: &VmRef,
        tail: u32,
        input: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Answers<ConsoleChunk>> {
        use wire::console_request::Part;
        let attach = wire::ConsoleAttach { vm: reference(vm), tail_lines: tail };
        let parts = futures_util::stream::once(async { Part::Attach(attach) })
            .chain(input.map(Part::Input))
            .map(|part| wire::ConsoleRequest { part: Some(part) });
        let stream = self.inner.attach_console(parts).await?.into_inner();
        Ok(Box::pin(stream.map(|chunk| {
            let wire::ConsoleChunk { data, replay } = chunk.map_err(Refusal::from)?;
            Ok(ConsoleChunk { data, replay })
        })))
    }

    /// Ties an ephemeral VM to this process: dropping the hold, or dying, removes it.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn hold_vm(&mut self, vm: &VmRef) -> Result<Hold> {
        let request = wire::HoldVmRequest { vm: reference(vm) };
        let mut stream = self.inner.hold_vm(request).await?.into_inner();
        // The first event says that the hold is in place.
        stream.message().await?;
        Ok(Hold { _stream: stream })
    }
}

/// An ephemeral VM lives as long as this.
#[derive(Debug)]
pub struct Hold {
    _stream: tonic::Streaming<wire::HoldEvent>,
}
