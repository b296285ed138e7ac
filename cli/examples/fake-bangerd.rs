//! A bangerd without VMs, for the flow tests of the command line: the same socket and the
//! same contract, answers from a script, and a record of what was asked.
//!
//! `$HOME/scenario` holds words, one a line, that make it behave badly; `$HOME/calls` gets
//! a line a call.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a tool of the tests"
)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use banger_proto::paths::{Paths, SocketAddress, private_directory};
use banger_proto::wire::daemon as wire;
use banger_proto::wire::daemon::daemon_server::{Daemon, DaemonServer};
use banger_proto::{
    Code, Cpus, Event, Image, Isolation, Mib, Network, NewVm, Progress, Refusal, Running, Stage,
    Vm, VmChange, VmCondition, VmId, VmRef, VmState,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What it finds on the host.
const CHECKS: &str = r#"[{"group":"virtualization","name":"KVM","state":"warning","found":"none",
"why":"it is slow without","remedy":["sudo modprobe kvm_intel"]}]"#;

fn home() -> PathBuf {
    std::env::var_os("HOME").expect("HOME is set").into()
}

/// Whether the scenario holds this word.
fn told(word: &str) -> bool {
    let scenario = fs::read_to_string(home().join("scenario")).unwrap_or_default();
    scenario.lines().any(|line| line == word)
}

/// The port of the guest's sshd, when a test listens in its place.
fn port() -> u32 {
    let port = fs::read_to_string(home().join("port")).unwrap_or_default();
    port.trim().parse().unwrap_or(40_022)
}

fn called(line: &str) {
    let mut calls =
        OpenOptions::new().create(true).append(true).open(home().join("calls")).unwrap();
    calls.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn vm(name: &str) -> Vm {
    Vm {
        id: VmId::random(),
        name: name.parse().unwrap(),
        image: "debian".parse().unwrap(),
        state: VmState::Running,
        state_reason: String::new(),
        isolation: Isolation::Rootless,
        cpus: Cpus::new(2).unwrap(),
        memory: Mib::new(1024).unwrap(),
        disk: Mib::new(8192).unwrap(),
        created_at: 0,
        ephemeral: false,
        expires_at: None,
        network: Network::User,
        publish: vec!["8080:80".parse().unwrap()],
        running: Some(Running {
            started_at: 0,
            cpus: Cpus::new(2).unwrap(),
            memory: Mib::new(1024).unwrap(),
            vmm_pid: 1,
            ssh_port: Some(40_022),
            ports: vec!["8080:80".parse().unwrap(), "0.0.0.0:53:53/udp".parse().unwrap()],
            address: Some([10, 0, 2, 15].into()),
            accelerator: "tcg".into(),
            network: "passt".into(),
            confinement: Vec::new(),
            missing_walls: Vec::new(),
        }),
        directory: "/nowhere".into(),
        allocated_bytes: 0,
    }
}

fn image(name: &str) -> Image {
    Image {
        name: name.parse().unwrap(),
        id: "1".into(),
        created_at: 0,
        rootfs_size: Mib::new(1024).unwrap(),
        allocated_bytes: 640 << 20,
        kernel_release: "6.1".into(),
        has_initrd: true,
        work_seed_size: None,
        source: "tar".into(),
        directory: "/nowhere".into(),
        used_by: vec!["web".parse().unwrap()],
    }
}

/// The name that a reference has here: ids are not kept.
fn name(vm: Option<wire::VmRef>) -> String {
    match vm.unwrap().name_or_id.parse().unwrap() {
        VmRef::Name(name) => name.to_string(),
        VmRef::Id(_) => "calm-otter".into(),
    }
}

fn stage(name: &str, detail: &str, micros: u64) -> [Event<Vm>; 2] {
    let stage = Stage { name: name.into(), detail: detail.into() };
    let time = Duration::from_micros(micros);
    [Event::StageStarted(stage.clone()), Event::StageFinished(stage, time)]
}

fn all<E, W>(events: Vec<Result<E, Refusal>>) -> Answers<W>
where
    E: Send + 'static,
    W: From<E> + Send + 'static,
{
    Box::pin(stream::iter(events).map(|event| event.map(W::from).map_err(Status::from)))
}

/// A start that takes its time: a copy with its bytes, a quick stage, and a guest that boots.
fn slowly(name: &str) -> Answers<wire::VmEvent> {
    let ms = Duration::from_millis;
    let staged = |name: &str, detail: &str, millis| {
        let stage = Stage { name: name.into(), detail: detail.into() };
        (Event::StageStarted(stage.clone()), Event::StageFinished(stage, ms(millis)))
    };
    let (copy, copied) = staged(Stage::ROOTFS_OVERLAY, "", 1_800);
    let (patch, patched) = staged("patch_rootfs", "", 4);
    let (boot, booted) = staged(Stage::BOOT, "", 900);
    let mut events = vec![(0, copy)];
    for tenth in 1..=9 {
        let progress = Progress { bytes: tenth * (64 << 20), total_bytes: Some(640 << 20) };
        events.push((200, Event::Progress(progress)));
    }
    events.extend([(0, copied), (0, patch), (4, patched), (0, boot)]);
    events.extend([(100, Event::Notice("no KVM here: software emulation".into())), (800, booted)]);
    events.push((0, Event::Done(vm(name))));
    Box::pin(stream::iter(events).then(|(millis, event)| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(event.into())
    }))
}

struct Fake;

/// Says when the stream that it is part of is dropped.
struct Held(String);

impl Drop for Held {
    fn drop(&mut self) {
        called(&format!("released {}", self.0));
    }
}

#[tonic::async_trait]
impl Daemon for Fake {
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
        if told("dies when asked") && !home().join("has-died").exists() {
            fs::write(home().join("has-died"), "").unwrap();
            // As kill -9 does it: no answer, and the socket stays.
            std::process::exit(9);
        }
        // Only the first one is old: what is started after it is the right one.
        let old = told("old version") && !home().join("was-old").exists();
        let version = if old { "0.0.1" } else { env!("CARGO_PKG_VERSION") };
        Ok(Response::new(wire::DescribeResponse {
            version: version.into(),
            pid: std::process::id(),
        }))
    }

    async fn shutdown(&self, _: Request<wire::ShutdownRequest>) -> Answer<wire::ShutdownResponse> {
        called("shutdown");
        fs::write(home().join("was-old"), "").unwrap();
        fs::remove_file(Paths::of_this_process().unwrap().socket()).unwrap();
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::process::exit(0);
        });
        Ok(Response::new(wire::ShutdownResponse {}))
    }

    async fn show_config(
        &self,
        _: Request<wire::ShowConfigRequest>,
    ) -> Answer<wire::ShowConfigResponse> {
        let file = wire::Setting {
            key: "vm.memory".into(),
            value: Some("2G".into()),
            origin: wire::SettingOrigin::File.into(),
            file: "/etc/banger/10.toml".into(),
            line: 3,
            ..wire::Setting::default()
        };
        let default = wire::Setting {
            key: "vm.image".into(),
            note: "the only image there is".into(),
            origin: wire::SettingOrigin::Default.into(),
            ..wire::Setting::default()
        };
        let files = vec!["/etc/banger/10.toml".into()];
        Ok(Response::new(wire::ShowConfigResponse { settings: vec![default, file], files }))
    }

    async fn import_image(
        &self,
        request: Request<Streaming<wire::ImportImageRequest>>,
    ) -> Answer<Self::ImportImageStream> {
        use wire::import_image_request::Part;
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = parts.message().await?.and_then(|m| m.part) else {
            return Err(Status::invalid_argument("no header"));
        };
        let (mut bytes, mut whole) = (0_u64, false);
        while let Some(message) = parts.message().await? {
            match message.part {
                Some(Part::Chunk(chunk)) => bytes += chunk.len() as u64,
                Some(Part::End(_)) => whole = true,
                _ => return Err(Status::invalid_argument("a second header")),
            }
        }
        called(&format!("import {} of {}: {bytes} whole={whole}", header.name, header.tar_bytes));
        if !whole {
            return Err(Refusal::new(Code::Aborted, "the tar was cut").into());
        }
        let stage = Stage { name: "import_rootfs".into(), detail: "from tar".into() };
        let image = Image { allocated_bytes: bytes, used_by: Vec::new(), ..image(&header.name) };
        Ok(Response::new(all(vec![
            Ok(Event::StageStarted(stage.clone())),
            Ok(Event::Progress(Progress { bytes, total_bytes: None })),
            Ok(Event::StageFinished(stage, Duration::from_millis(1500))),
            Ok(Event::Done(image)),
        ])))
    }

    async fn build_image(
        &self,
        _: Request<wire::BuildImageRequest>,
    ) -> Answer<Self::BuildImageStream> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn remove_broken_vm(
        &self,
        _: Request<wire::RemoveBrokenVmRequest>,
    ) -> Answer<wire::BrokenVm> {
        Err(Status::unimplemented("not in the fake"))
    }

    async fn collect_garbage(
        &self,
        _: Request<wire::CollectGarbageRequest>,
    ) -> Answer<wire::CollectGarbageResponse> {
        let folder = wire::Garbage {
            kind: "half-made image".into(),
            path: "/nowhere/.new-1".into(),
            bytes: 3 << 20,
            since: 1,
            reason: "no daemon makes it any more".into(),
            fate: wire::GarbageFate::Removable.into(),
            ..wire::Garbage::default()
        };
        let process = wire::Garbage {
            kind: "process".into(),
            pid: 7,
            since: 2,
            reason: "its VM is gone".into(),
            fate: wire::GarbageFate::LeftAlone.into(),
            ..wire::Garbage::default()
        };
        Ok(Response::new(wire::CollectGarbageResponse { garbage: vec![folder, process] }))
    }

    async fn list_images(
        &self,
        _: Request<wire::ListImagesRequest>,
    ) -> Answer<wire::ListImagesResponse> {
        let all = if told("no images") { &[][..] } else { &["debian", "tools"] };
        let images = all.iter().map(|name| image(name).into()).collect();
        Ok(Response::new(wire::ListImagesResponse { images }))
    }

    async fn get_image(&self, request: Request<wire::GetImageRequest>) -> Answer<wire::Image> {
        if request.into_inner().name == "debian" {
            return Ok(Response::new(image("debian").into()));
        }
        Err(Refusal::new(Code::NotFound, "there is no such image").into())
    }

    async fn remove_image(
        &self,
        _: Request<wire::RemoveImageRequest>,
    ) -> Answer<wire::RemoveImageResponse> {
        Err(Refusal::new(Code::NotFound, "there is no such image").into())
    }

    async fn create_vm(&self, request: Request<wire::CreateVmRequest>) -> Answer<wire::Vm> {
        let new = NewVm::try_from(request.into_inner()).map_err(Refusal::from)?;
        called(&format!("create ephemeral={}", new.ephemeral));
        if told("no image") {
            let refusal = Refusal::new(Code::FailedPrecondition, "there is no image");
            return Err(refusal.hint("banger image build debian --debian bookworm").into());
        }
        let name = new.name.map_or_else(|| "calm-otter".into(), |name| name.to_string());
        Ok(Response::new(Vm { state: VmState::Created, running: None, ..vm(&name) }.into()))
    }

    async fn start_vm(
        &self,
        request: Request<wire::StartVmRequest>,
    ) -> Answer<Self::StartVmStream> {
        let name = name(request.into_inner().vm);
        called(&format!("start {name}"));
        if told("start hangs") {
            let begun = stage(Stage::BOOT, "", 0).into_iter().take(1).map(|e| Ok(e.into()));
            return Ok(Response::new(Box::pin(
                stream::iter(begun.collect::<Vec<_>>()).chain(stream::pending()),
            )));
        }
        if told("slow") {
            return Ok(Response::new(slowly(&name)));
        }
        let mut events: Vec<Result<Event<Vm>, Refusal>> =
            stage(Stage::WORK_DISK, "applying work seed", 3_900).into_iter().map(Ok).collect();
        if told("start fails") {
            events.push(Err(Refusal {
                stage: Stage::BOOT.into(),
                chain: vec!["the guest did not answer".into()],
                console_tail: "\x1b[31mKernel panic\x1b[0m - not syncing\n".into(),
                ..Refusal::new(Code::DeadlineExceeded, "cannot start calm-otter")
                    .hint("banger logs calm-otter")
            }));
        } else {
            events.push(Ok(Event::Notice("no KVM here: software emulation".into())));
            events.extend(stage(Stage::BOOT, "", 9_000_000).into_iter().map(Ok));
            events.push(Ok(Event::Done(vm(&name))));
        }
        Ok(Response::new(all(events)))
    }

    async fn stop_vm(&self, request: Request<wire::StopVmRequest>) -> Answer<Self::StopVmStream> {
        let request = request.into_inner();
        let deadline = request.deadline_ms;
        let name = name(request.vm);
        called(&format!("stop {name} {deadline:?}"));
        Ok(Response::new(all(vec![Ok(Event::Done(vm(&name)))])))
    }

    async fn restart_vm(
        &self,
        request: Request<wire::RestartVmRequest>,
    ) -> Answer<Self::RestartVmStream> {
        let request = request.into_inner();
        let deadline = request.deadline_ms;
        let name = name(request.vm);
        called(&format!("restart {name} {deadline:?}"));
        Ok(Response::new(all(vec![Ok(Event::Done(vm(&name)))])))
    }

    async fn set_vm(&self, request: Request<wire::SetVmRequest>) -> Answer<wire::Vm> {
        let request = request.into_inner();
        let change = VmChange::try_from(&request).map_err(Refusal::from)?;
        let vm = vm(&name(request.vm));
        called(&format!("set {} {:?}", vm.name, change));
        let memory = change.memory.unwrap_or(vm.memory);
        Ok(Response::new(Vm { memory, ..vm }.into()))
    }

    async fn wait_vm(&self, request: Request<wire::WaitVmRequest>) -> Answer<wire::Vm> {
        let request = request.into_inner();
        let until = VmCondition::try_from(request.until()).map_err(Refusal::from)?;
        let name = name(request.vm);
        called(&format!("wait {name} {until} {:?}", request.timeout_ms));
        if until == VmCondition::Stopped {
            return Err(Refusal::new(Code::DeadlineExceeded, "web is still running").into());
        }
        Ok(Response::new(vm(&name).into()))
    }

    async fn remove_vm(
        &self,
        request: Request<wire::RemoveVmRequest>,
    ) -> Answer<Self::RemoveVmStream> {
        let request = request.into_inner();
        let name = name(request.vm);
        called(&format!("remove {name} force={}", request.force));
        Ok(Response::new(all(vec![Ok(Event::Done(vm(&name)))])))
    }

    async fn list_vms(&self, _: Request<wire::ListVmsRequest>) -> Answer<wire::ListVmsResponse> {
        let vms = if told("no VMs") { Vec::new() } else { vec![vm("web").into(), vm("db").into()] };
        Ok(Response::new(wire::ListVmsResponse { broken: Vec::new(), vms }))
    }

    async fn get_vm(&self, request: Request<wire::GetVmRequest>) -> Answer<wire::Vm> {
        let vm = vm(&name(request.into_inner().vm));
        let stopped = vm.name.as_str() == "stopped";
        let (state, running) =
            if stopped { (VmState::Stopped, None) } else { (vm.state, vm.running) };
        Ok(Response::new(Vm { state, running, ..vm }.into()))
    }

    async fn get_ssh_target(
        &self,
        request: Request<wire::GetSshTargetRequest>,
    ) -> Answer<wire::SshTarget> {
        called(&format!("ssh-target {}", name(request.into_inner().vm)));
        Ok(Response::new(wire::SshTarget {
            host: "127.0.0.1".into(),
            port: port(),
            user: "root".into(),
            identity_file: "/nowhere/id".into(),
            known_hosts_file: "/nowhere/known_hosts".into(),
            host_key_alias: VmId::random().to_string(),
        }))
    }

    async fn get_ssh_identity(
        &self,
        request: Request<wire::GetSshIdentityRequest>,
    ) -> Answer<wire::SshIdentity> {
        let name = name(request.into_inner().vm);
        Ok(Response::new(wire::SshIdentity {
            user: "root".into(),
            identity_file: format!("/nowhere/{name}/id"),
            known_hosts_file: format!("/nowhere/{name}/known_hosts"),
            host_key_alias: VmId::random().to_string(),
        }))
    }

    async fn read_logs(
        &self,
        request: Request<wire::ReadLogsRequest>,
    ) -> Answer<Self::ReadLogsStream> {
        called(&format!("logs tail={}", request.into_inner().tail_lines));
        let chunk = wire::LogChunk { data: b"\x1b[1mboot\x1b[0m\r\n\xff\n".to_vec() };
        Ok(Response::new(Box::pin(stream::iter([Ok(chunk)]))))
    }

    async fn attach_console(
        &self,
        request: Request<Streaming<wire::ConsoleRequest>>,
    ) -> Answer<Self::AttachConsoleStream> {
        use wire::console_request::Part;
        let mut parts = request.into_inner();
        let Some(Part::Attach(attach)) = parts.message().await?.and_then(|m| m.part) else {
            return Err(Status::invalid_argument("no VM"));
        };
        called(&format!("console {} tail={}", name(attach.vm), attach.tail_lines));
        let chunk = |data: &[u8], replay| Ok(wire::ConsoleChunk { data: data.to_vec(), replay });
        let first = [chunk(b"\x1b[6nbefore\r\n", true), chunk(b"\x1b[1mlogin\x1b[0m\r\n", false)];
        // What is typed comes back in brackets; `end` ends the VM, `die` the daemon.
        let echo = stream::unfold(parts, |mut parts| async move {
            let Some(Part::Input(typed)) = parts.message().await.ok().flatten()?.part else {
                return None;
            };
            called(&format!("typed {}", typed.escape_ascii()));
            match typed.trim_ascii() {
                b"end" => return None,
                b"die" => std::process::exit(9),
                _ => {}
            }
            Some((
                Ok(wire::ConsoleChunk { data: [b"[", &typed[..], b"]"].concat(), replay: false }),
                parts,
            ))
        });
        if told("the console ends") {
            return Ok(Response::new(Box::pin(stream::iter(first))));
        }
        Ok(Response::new(Box::pin(stream::iter(first).chain(echo))))
    }

    async fn hold_vm(&self, request: Request<wire::HoldVmRequest>) -> Answer<Self::HoldVmStream> {
        let held = Held(name(request.into_inner().vm));
        called(&format!("hold {}", held.0));
        let first = stream::iter([Ok(wire::HoldEvent {})]);
        let rest = stream::unfold(held, |held| async move {
            std::future::pending::<()>().await;
            Some((Ok(wire::HoldEvent {}), held))
        });
        Ok(Response::new(Box::pin(first.chain(rest))))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--version") => return print!("bangerd {}", env!("CARGO_PKG_VERSION")),
        Some("doctor") => return print!("{CHECKS}"),
        _ => {}
    }
    if told("does not start") {
        eprintln!("the state folder is on fire");
        std::process::exit(3);
    }
    if told("runs elsewhere") {
        eprintln!("bangerd runs already as process 7");
        return;
    }
    let paths = Paths::of_this_process().expect("the folders are known");
    private_directory(&paths.runtime).expect("the folder is private");
    let socket = paths.socket();
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        eprintln!("bangerd runs already");
        std::process::exit(1);
    }
    let _stale = fs::remove_file(&socket);
    called("started");
    let listener = UnixListener::bind(SocketAddress::of(&socket).unwrap().path()).unwrap();
    // A test that dies leaves no daemon for long.
    tokio::spawn(async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        std::process::exit(0);
    });
    tonic::transport::Server::builder()
        .serve_with_incoming(DaemonServer::new(Fake), UnixListenerStream::new(listener))
        .await
        .unwrap();
}
