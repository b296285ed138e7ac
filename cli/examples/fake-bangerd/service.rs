//! The methods of the contract, answered from the scenario.

use std::fs;
use std::time::Duration;

use banger_proto::paths::Paths;
use banger_proto::wire::daemon as wire;
use banger_proto::wire::daemon::daemon_server::Daemon;
use banger_proto::{Code, Event, NewVm, Refusal, Vm, VmChange, VmCondition, VmId, VmState};
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};

use crate::long::all;
use crate::scenario::{called, home, image, name, port, told, vm};
use crate::{Answer, Answers, long, streams};

/// The daemon that only seems to be one.
pub(crate) struct Fake;

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
        long::import_image(request).await
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
        long::start_vm(request).await
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
        streams::attach_console(request).await
    }

    async fn hold_vm(&self, request: Request<wire::HoldVmRequest>) -> Answer<Self::HoldVmStream> {
        streams::hold_vm(request).await
    }
}
