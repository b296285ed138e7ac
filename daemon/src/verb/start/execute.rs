//! Carries the plan of a start out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::roothelper::Snapshot;
use banger_proto::{Code, Isolation, Refusal, Stage, StartOptions, Vm};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::disks::copy;
use super::enclose::enclose;
use super::least_memory;
use super::plan::{Kernel, RootDisk, Situation, Step, plan};
use super::refusals::{guest_refusal, vmm_refusal};
use super::turn::Turn;
use super::undo::Undo;
use crate::cgroup::Enclosed;
use crate::config::Settings;
use crate::context::{Context, now};
use crate::disk;
use crate::guest::{self, Root};
use crate::net::Tap;
use crate::net::forward::Bound;
use crate::progress::Teller;
use crate::share::Folder;
use crate::store::{Given, Runtime, VmFiles, VmRecord};
use crate::system::Helper;
use crate::verb::admission::{self, Growth};
use crate::verb::{OnHost, blocking, disk_refusal, host_memory, shares, store_refusal};
use crate::vmlinux;
use crate::vmm::{self, Accelerator, Disk, Host, Running, VmmSpec};

/// A start under way.
pub(super) struct Start {
    pub(super) context: Arc<Context>,
    settings: Settings,
    pub(super) record: VmRecord,
    pub(super) files: VmFiles,
    pub(super) options: StartOptions,
    pub(super) teller: Teller<Vm>,
    interrupted: watch::Receiver<bool>,
    pub(super) undo: Undo,
    /// The device of its root filesystem, where the root helper made one.
    pub(super) snapshot: Option<(Helper, Snapshot)>,
    /// Its tap, where the root helper made one.
    pub(super) tap: Option<Tap>,
    /// Ports of this host that are to lead to it there.
    pub(super) bound: Bound,
    /// UUID of the root filesystem, once it is known.
    root: Option<Uuid>,
    /// What it boots with, where the image's kernel is unpacked: the kernel, and the initial RAM disk.
    unpacked: Option<(PathBuf, Option<PathBuf>)>,
    running: Option<Running>,
    /// The folders of the host that the guest has, as they are now.
    folders: Vec<Folder>,
    /// Disks that were made, and that no guest has seen yet; they may still be on their way
    /// to the host's disk.
    fresh: Vec<PathBuf>,
    /// Its way into a cgroup, once its VMM runs.
    enclosing: Option<JoinHandle<Enclosed>>,
    /// Its turn, where starts take turns.
    turn: Option<Turn>,
}

/// Starts a VM that does not run: returns when its guest answers ssh. A start that fails
/// at any stage, or is interrupted, undoes what it did. With `force` it is tried whatever
/// the host has.
pub(crate) async fn start_vm(
    context: Arc<Context>,
    settings: Settings,
    record: VmRecord,
    files: VmFiles,
    options: StartOptions,
    teller: Teller<Vm>,
    interrupted: watch::Receiver<bool>,
) -> Result<Runtime, Refusal> {
    let mut start = Start {
        context,
        settings,
        record,
        files,
        options,
        teller,
        interrupted,
        undo: Undo::default(),
        snapshot: None,
        tap: None,
        bound: Bound::default(),
        root: None,
        unpacked: None,
        running: None,
        folders: Vec::new(),
        fresh: Vec::new(),
        enclosing: None,
        turn: None,
    };
    match start.run().await {
        Ok(machine) => {
            let given = Given { cpus: start.record.cpus, memory: start.record.memory };
            Ok(Runtime { started_at: now(), given: Some(given), machine })
        }
        Err(mut refusal) => {
            std::mem::take(&mut start.undo).roll_back(&mut refusal).await;
            start.discard_fresh().await;
            Err(refusal)
        }
    }
}

impl Start {
    async fn run(&mut self) -> Result<Running, Refusal> {
        let teller = self.teller.clone();
        let host = if self.context.host_is_known(&self.settings) {
            self.context.host(&self.settings).await?
        } else {
            let host = self.context.host(&self.settings);
            teller.stage("probe_host", "what this host runs VMs with", host).await?
        };
        let steps = teller.stage("check_image", "", self.decide()).await?;
        self.admit_memory()?;
        self.open_folders().await?;
        for step in steps {
            if *self.interrupted.borrow() {
                return Err(self.broken_off());
            }
            self.step(step, &host).await?;
        }
        self.running
            .take()
            .ok_or_else(|| Refusal::new(Code::Internal, "the plan of the start started nothing"))
    }

    fn broken_off(&self) -> Refusal {
        Refusal::new(Code::Aborted, format!("the start of {} was broken off", self.record.name))
    }

    /// Refuses, or says, that the host may not have the memory that the guest may take.
    fn admit_memory(&self) -> Result<(), Refusal> {
        let (name, memory) = (self.record.name.as_str(), self.record.memory);
        let said = match admission::memory_now(name, memory, host_memory::now()) {
            Err(refusal) if !self.options.force => return Err(refusal),
            Err(refusal) => Some(refusal.chain.join(": ")),
            Ok(said) => said,
        };
        if let Some(words) = said {
            self.teller.notice(words);
        }
        Ok(())
    }

    /// Looks at the folders that the guest is to have, before anything is done for it.
    async fn open_folders(&mut self) -> Result<(), Refusal> {
        if self.record.shares.is_empty() {
            return Ok(());
        }
        let (context, record) = (self.context.clone(), self.record.clone());
        let open = move || shares::open(&context.paths, record.name.as_str(), &record.shares);
        self.folders = blocking(open).await?;
        Ok(())
    }

    /// Says when the VM's disks may outgrow the host's.
    fn tell_growth(&self) {
        // What a guest writes to a snapshot is on root's disk.
        let rootfs = (self.record.isolation == Isolation::Rootless).then(|| self.files.rootfs());
        let disks: Vec<_> = rootfs.into_iter().chain([self.files.work_disk()]).collect();
        match Growth::of(&disks, self.files.directory()) {
            Ok(growth) => {
                if let Some(words) = growth.notice() {
                    self.teller.notice(words);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot tell how far disks may grow"),
        }
    }

    /// Removes the disks that this start made, where it failed before a guest saw them.
    async fn discard_fresh(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let removed = blocking(move || {
            fresh
                .iter()
                .try_for_each(std::fs::remove_file)
                .on_host("remove a disk that is not used")
        });
        if let Err(error) = removed.await {
            tracing::error!(%error, "a start that failed leaves a disk");
        }
    }

    fn decide(&self) -> impl Future<Output = Result<Vec<Step>, Refusal>> + use<> {
        let (context, record, files) =
            (self.context.clone(), self.record.clone(), self.files.clone());
        blocking(move || {
            let name = &record.image.name;
            let image_files = context.images.files(name);
            least_memory::check(record.name.as_str(), record.memory, &image_files)?;
            let (work_disk, size) = (files.work_disk(), record.disk);
            let has_work_disk = work_disk.exists();
            let half_grown = has_work_disk
                && disk::is_half_grown(&work_disk, size).map_err(|error| disk_refusal(&error))?;
            let situation = Situation {
                image: context.images.get(name).map_err(|error| store_refusal(&error))?,
                has_rootfs: files.rootfs().exists(),
                has_work_disk,
                work_disk_is_half_grown: half_grown,
                has_work_seed: image_files.work_seed().exists(),
                image_files,
                files,
            };
            plan(&record, &situation)
        })
    }

    async fn step(&mut self, step: Step, host: &Host) -> Result<(), Refusal> {
        let teller = self.teller.clone();
        match step {
            Step::CopyRootfs { from, to, replace } => {
                let name = self.record.name.clone();
                let copy = copy(name, from, to, replace, self.options.force, teller.clone());
                let copied = teller.stage(Stage::ROOTFS_OVERLAY, "", copy).await?;
                tracing::debug!(?copied, "root filesystem");
                self.fresh.push(self.files.rootfs());
                Ok(())
            }
            Step::PatchRootfs { rootfs, work_disk, first_boot } => {
                let patch = self.patch(rootfs, work_disk, first_boot);
                self.root = Some(teller.stage("patch_rootfs", "", patch).await?);
                Ok(())
            }
            Step::BuildWorkDisk { at, size, seed } => {
                let detail = match seed {
                    Some(_) => "applying work seed",
                    None => {
                        teller.notice(format!(
                            "the image {} has no work seed: /root begins empty",
                            self.record.image.name
                        ));
                        "creating empty work disk"
                    }
                };
                teller.stage(Stage::WORK_DISK, detail, self.work_disk(at, size, seed)).await?;
                self.fresh.push(self.files.work_disk());
                Ok(())
            }
            Step::GrowWorkDisk { at, size } => {
                let grow = blocking(move || {
                    disk::grow_disk(&at, size).map_err(|error| disk_refusal(&error))
                });
                let detail = format!("growing to {size}, as it was set");
                teller.stage(Stage::WORK_DISK, &detail, grow).await.map(drop)
            }
            Step::AttachSnapshot { base, first_boot } => {
                self.take_turn("other VMs start").await?;
                let attach = self.attach_snapshot(base, first_boot);
                teller.stage(Stage::ROOTFS_OVERLAY, "", attach).await
            }
            Step::AttachNetwork => teller.stage("attach_network", "", self.attach_network()).await,
            Step::PatchSnapshot { base, work_disk, first_boot } => {
                let patch = self.patch_snapshot(base, work_disk, first_boot);
                self.root = Some(teller.stage("patch_rootfs", "", patch).await?);
                Ok(())
            }
            Step::UnpackKernel { image, initrd } => {
                let unpack = vmlinux::prepare(&self.context, &image, initrd);
                let unpacked = match vmlinux::Unpacked::of(&image, initrd) {
                    Some(_) => unpack.await,
                    None => teller.stage("unpack_kernel", "", unpack).await,
                }?;
                self.unpacked = Some((image.vmlinux(), unpacked.initrd(&image)?));
                Ok(())
            }
            Step::StartVmm { kernel, root, work_disk } => {
                let (kernel, initrd) = match kernel {
                    Kernel::Packed { kernel, initrd } => (kernel, initrd),
                    Kernel::Unpacked => self.unpacked.take().ok_or_else(|| {
                        Refusal::new(Code::Internal, "the plan of the start unpacked no kernel")
                    })?,
                };
                self.tell_growth();
                if host.accelerator == Accelerator::Tcg {
                    self.take_turn("other guests boot").await?;
                }
                let rootfs = match root {
                    RootDisk::File(path) => Disk::File(path),
                    RootDisk::Snapshot => {
                        let borrow = self.borrow_snapshot();
                        Disk::Device(teller.stage("lend_device", "", borrow).await?)
                    }
                };
                let root = match (&initrd, self.root) {
                    (Some(_), Some(uuid)) => Root::Uuid(uuid),
                    _ => Root::FirstDisk,
                };
                let spec = VmmSpec {
                    kind: self.record.vmm,
                    id: self.record.uuid(),
                    directory: self.files.directory().to_owned(),
                    append: guest::kernel_command_line(root, host.accelerator, self.record.vmm),
                    kernel,
                    initrd,
                    rootfs,
                    work_disk,
                    cpus: self.record.cpus.get().into(),
                    memory_mib: self.record.memory.get(),
                    network: self.network(),
                    publish: self.record.publish.clone(),
                    shares: self.folders.clone(),
                };
                teller.stage(Stage::START_VMM, "", self.start_vmm(&spec, host)).await
            }
            Step::WaitForGuest => teller.stage(Stage::BOOT, "", self.boot()).await,
        }
    }

    /// Waits for its turn, if it does not have it yet, while others do what is told of.
    async fn take_turn(&mut self, others: &str) -> Result<(), Refusal> {
        if self.turn.is_some() {
            return Ok(());
        }
        self.turn = self.context.turns.now();
        if self.turn.is_none() {
            let (context, mut interrupted) = (self.context.clone(), self.interrupted.clone());
            let broken_off = self.broken_off();
            let wait = async {
                tokio::select! {
                    turn = context.turns.wait() => Ok(turn),
                    Ok(_) = interrupted.wait_for(|&now| now) => Err(broken_off),
                }
            };
            let turn = self.teller.stage(Stage::TURN, others, wait).await?;
            self.turn = Some(turn);
        }
        Ok(())
    }

    async fn start_vmm(&mut self, spec: &VmmSpec, host: &Host) -> Result<(), Refusal> {
        // From then on this daemon is where the processes that it starts can be moved from.
        let groups = self.context.groups().await;
        let mut running =
            vmm::start(host, spec).await.map_err(|error| vmm_refusal(&error, &self.files.run()))?;
        let (machine, files) = (running.clone(), self.files.run());
        self.undo.push("stop the VMM", async move {
            let stopped = vmm::stop(&machine, &files, Duration::ZERO).await;
            stopped.map(drop).map_err(|error| Refusal::from_error(Code::Internal, &error))
        });
        self.publish(&mut running).await?;
        for notice in &running.notices {
            self.teller.notice(notice);
        }
        let (context, record) = (self.context.clone(), self.record.clone());
        self.enclosing = Some(tokio::spawn(enclose(context, groups, record, running.clone())));
        self.running = Some(running);
        Ok(())
    }

    /// Says which limits hold, when the VM has come to where they do.
    async fn tell_limits(&mut self) {
        let Some(enclosing) = self.enclosing.take() else { return };
        let enclosed = enclosing.await;
        let Enclosed { walls, missing } =
            enclosed.unwrap_or_else(|error| Enclosed::not(&error.to_string()));
        if let Some(running) = &mut self.running {
            running.walls.extend(walls);
            running.missing.extend(missing);
        }
    }

    /// Waits for the guest. Fresh disks and their names become durable meanwhile: from
    /// the first boot on they are the user's.
    async fn boot(&mut self) -> Result<(), Refusal> {
        let fresh = std::mem::take(&mut self.fresh);
        let durable = tokio::spawn(blocking(move || {
            let mut disks = fresh.iter();
            disks
                .try_for_each(|disk| disk::make_durable(disk))
                .on_host("make the VM's disks durable")
        }));
        self.wait_for_guest().await?;
        self.tell_limits().await;
        durable.await.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
    }

    async fn wait_for_guest(&mut self) -> Result<(), Refusal> {
        let Some(running) = &self.running else { return Ok(()) };
        let files = self.files.run();
        let mut interrupted = self.interrupted.clone();
        let usual = || self.settings.boot(running.accelerator);
        let deadline = self.options.timeout.unwrap_or_else(usual);
        let answered = async {
            match running.sshd() {
                Some(sshd) => guest::wait::for_ssh(sshd, &running.vmm, &files, deadline).await,
                // It says so on its console: nothing else leads there.
                None => guest::wait::for_boot(&running.vmm, &files, deadline).await,
            }
        };
        tokio::select! {
            answered = answered => {
                let flaw = answered.map_err(|error| guest_refusal(&error, &self.record))?;
                if let Some(flaw) = flaw {
                    self.teller.notice(format!("the guest answers, but has no way out: {flaw}"));
                }
                Ok(())
            }
            Ok(_) = interrupted.wait_for(|&now| now) => Err(self.broken_off()),
        }
    }
}
