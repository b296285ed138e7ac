//! The root helper, as this user's VMs ask it.

use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use banger_proto::roothelper::{
    AttachSnapshot, AttachedNetwork, Change, DetachSnapshot, DeviceHandle, Discarded, Diskseq,
    Interaction, LendDevice, LentDevice, Object, OfVm, ReadExt4, RootHelper, SOCKET, Snapshot,
    Sweep, Swept, WriteBlame, WriteExt4, WriteOutcome,
};
use banger_proto::{Code, Invalid, Refusal, VmId};
use tokio::time::Instant;

use super::{Offer, facts, guest_files, ready};
use crate::guest::{GuestSpec, ImageFacts, plan};
use crate::verb::{OnHost, blocking};

/// Bytes of an image that are read at most to plan a guest's files: what the helper gives in
/// one call.
const READ: u64 = 1 << 20;

/// A connection to the root helper. What it is asked, it is asked without troubling anybody:
/// bangerd has nobody in front of it.
#[derive(Debug, Clone)]
pub(crate) struct Helper {
    inner: RootHelper,
}

impl Helper {
    /// Connects to the helper.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where there is none, [`Code::PermissionDenied`] where it is not
    /// this user's to ask.
    pub(crate) async fn connect() -> Result<Self, Refusal> {
        Self::at(Path::new(SOCKET)).await
    }

    /// The same for a socket at another place.
    pub(super) async fn at(socket: &Path) -> Result<Self, Refusal> {
        Ok(Self { inner: RootHelper::connect(socket).await? })
    }

    /// What a helper does for this user's VMs.
    ///
    /// # Errors
    /// As [`Helper::connect`]; [`Code::FailedPrecondition`] with all that is missing, where it
    /// does not even do what a VM of any network needs; [`Code::Aborted`] where it is there and
    /// gave no answer.
    pub(crate) async fn offer() -> Result<Offer, Refusal> {
        let said = Self::connect().await?.offers().await;
        said.map_err(|refusal| match is_unknown(&refusal) {
            true => Refusal { code: Code::Aborted, ..refusal },
            false => refusal,
        })
    }

    /// The same of the one that is connected.
    pub(super) async fn offers(&mut self) -> Result<Offer, Refusal> {
        ready::judge(&self.inner.describe(true).await?)
    }

    /// Makes a VM's device over this image. A `fresh` one has nothing of an earlier run's; one
    /// that is not has what its guest wrote, or there is none.
    ///
    /// # Errors
    /// The helper's refusal.
    pub(crate) async fn attach(
        &mut self,
        vm: VmId,
        base: &Path,
        fresh: bool,
        free_bytes: u64,
    ) -> Result<Snapshot, Refusal> {
        let base = base.to_owned();
        let image = blocking(move || File::open(base).on_host("open the image")).await?;
        let image = Arc::new(OwnedFd::from(image));
        let request = AttachSnapshot {
            vm,
            interaction: Interaction::Never,
            create_overlay: fresh,
            free_bytes,
        };
        // Every call is one that polkit is asked about, and mostly there is nothing to clear away.
        let attached = self.inner.attach_snapshot(request, Arc::clone(&image)).await;
        let attached = match attached {
            Ok(made) if made.change == Change::Created && is_all_anew(&made, fresh) => Ok(made),
            Ok(_) | Err(Refusal { code: Code::FailedPrecondition, .. }) => {
                self.clear(vm, fresh).await?;
                self.inner.attach_snapshot(request, image).await
            }
            refused => refused,
        };
        attached.map_err(|refusal| match refusal.code {
            Code::NotFound if !fresh => Refusal {
                message: "what the guest had written is gone".into(),
                chain: vec![refusal.message],
                ..Refusal::new(Code::DataLoss, "")
                    .hint("remove the VM and make it anew: banger vm rm, banger vm create")
            },
            _ => refusal,
        })
    }

    /// Takes away what a run left that ended with its host, its bangerd or its helper: a device
    /// that is lent, or one over another image; of a VM that never booted its overlay, too.
    async fn clear(&mut self, vm: VmId, fresh: bool) -> Result<(), Refusal> {
        match self.detach(vm, None).await? {
            Change::RemovalPending => return Err(in_use()),
            Change::Removed => tracing::warn!(%vm, "a device of an earlier run was still there"),
            _ => {}
        }
        if fresh {
            self.discard(vm).await?;
        }
        Ok(())
    }

    /// Writes a guest's files into the root filesystem on its device, in one batch. What is
    /// there is `known`, or read first.
    ///
    /// # Errors
    /// The helper's refusal; none of the files was written then, unless it says otherwise.
    pub(crate) async fn patch(
        &mut self,
        device: DeviceHandle,
        spec: &GuestSpec,
        known: Option<ImageFacts>,
    ) -> Result<(), Refusal> {
        let interaction = Interaction::Never;
        let known = match known {
            Some(known) => known,
            None => {
                let paths = facts::wanted().map_err(defect)?;
                let (wanted, limit_bytes) = (paths.clone(), READ);
                let request = ReadExt4 { device, paths: wanted, limit_bytes, interaction };
                facts::gather(&paths, &self.inner.read_ext4_file(request).await?)
            }
        };
        let files = plan(spec, &known);
        let writes = guest_files::writes(files).map_err(defect)?;
        let request = WriteExt4 { device, writes, interaction };
        outcome(self.inner.write_ext4_files(request).await?)
    }

    /// Borrows a VM's device for its VMM: the node's path.
    ///
    /// # Errors
    /// The helper's refusal; [`Code::Internal`] where the node is another one.
    pub(crate) async fn lend(&mut self, device: DeviceHandle) -> Result<PathBuf, Refusal> {
        let request = LendDevice { device, interaction: Interaction::Never };
        let LentDevice { numbers, .. } = self.inner.lend_device(request).await?;
        let path = PathBuf::from(format!("/dev/dm-{}", numbers.1));
        let node = path.clone();
        let metadata = blocking(move || node.metadata().on_host("look at the VM's device")).await?;
        if is_node(&metadata, numbers) {
            return Ok(path);
        }
        let what = format!("{} is not the device {}:{}", path.display(), numbers.0, numbers.1);
        Err(Refusal::new(Code::Internal, what))
    }

    /// Takes a VM's device away; what its guest wrote stays. Without a number, whichever it has.
    ///
    /// # Errors
    /// The helper's refusal: somebody has it open.
    pub(crate) async fn detach(
        &mut self,
        vm: VmId,
        diskseq: Option<Diskseq>,
    ) -> Result<Change, Refusal> {
        let request = DetachSnapshot { vm, diskseq, interaction: Interaction::Never };
        if diskseq.is_some() {
            // That it is not its turn may also mean that it is not there any more.
            return self.inner.detach_snapshot(request).await;
        }
        self.in_turn(move |mut inner| async move { inner.detach_snapshot(request).await }).await
    }

    /// Removes what a VM's guest wrote.
    ///
    /// # Errors
    /// The helper's refusal: the device is still there.
    pub(crate) async fn discard(&mut self, vm: VmId) -> Result<Discarded, Refusal> {
        let request = OfVm { vm, interaction: Interaction::Never };
        self.in_turn(move |mut inner| async move { inner.discard_overlay(request).await }).await
    }

    /// Makes a VM's tap, or sets the one that it has right.
    ///
    /// # Errors
    /// The helper's refusal.
    pub(crate) async fn attach_network(&mut self, vm: VmId) -> Result<AttachedNetwork, Refusal> {
        self.inner.attach_network(OfVm { vm, interaction: Interaction::Never }).await
    }

    /// Takes a VM's tap away, whoever has it open.
    ///
    /// # Errors
    /// The helper's refusal.
    pub(crate) async fn detach_network(&mut self, vm: VmId) -> Result<Change, Refusal> {
        let request = OfVm { vm, interaction: Interaction::Never };
        self.in_turn(move |mut inner| async move { inner.detach_network(request).await }).await
    }

    /// Asks, and asks again for as long as an earlier call about the same VM may be under way.
    async fn in_turn<T, F: Future<Output = Result<T, Refusal>>>(
        &mut self,
        ask: impl Fn(RootHelper) -> F,
    ) -> Result<T, Refusal> {
        let end = Instant::now() + GIVEN_UP;
        loop {
            match ask(self.inner.clone()).await {
                Err(Refusal { code: Code::Aborted, .. }) if Instant::now() < end => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                answer => return answer,
            }
        }
    }

    /// All that root made for this user's VMs.
    ///
    /// # Errors
    /// The helper's refusal.
    pub(crate) async fn objects(&mut self) -> Result<Vec<Object>, Refusal> {
        self.inner.list_objects().await
    }

    /// Removes what belongs to none of these VMs, or only tells it.
    ///
    /// # Errors
    /// The helper's refusal.
    pub(crate) async fn sweep(
        &mut self,
        keep: Vec<VmId>,
        dry_run: bool,
        include_overlays: bool,
    ) -> Result<Vec<Swept>, Refusal> {
        let interaction = Interaction::Never;
        self.inner.sweep(Sweep { keep, dry_run, include_overlays, interaction }).await
    }
}

/// How long a call may still be under way that somebody gave up: the helper carries on to its end
/// or undoes it, and lets no other near the VM meanwhile.
const GIVEN_UP: Duration = Duration::from_secs(40);
/// Between two questions whether it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Whether the call may have been carried out all the same: nobody said how it ended.
pub(crate) fn is_unknown(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::DeadlineExceeded | Code::Unavailable)
}

/// Whether nothing of an earlier run is in it, where that matters.
fn is_all_anew(made: &Snapshot, fresh: bool) -> bool {
    !fresh || made.overlay == Change::Created
}

/// Whether this is a block device of these numbers.
fn is_node(metadata: &Metadata, (major, minor): (u32, u32)) -> bool {
    metadata.file_type().is_block_device() && metadata.rdev() == rustix::fs::makedev(major, minor)
}

fn in_use() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "the VM's device is still in use")
        .hint("see who has it open: sudo fuser --verbose /dev/dm-*")
}

/// What we wrote is wrong.
fn defect(invalid: Invalid) -> Refusal {
    Refusal { code: Code::Internal, ..invalid.into() }
}

fn outcome(outcome: WriteOutcome) -> Result<(), Refusal> {
    let (code, chain, hint) = match outcome {
        WriteOutcome::Applied { .. } => return Ok(()),
        WriteOutcome::NotApplied { blame, chain } => {
            let (code, hint) = match blame {
                WriteBlame::Request | WriteBlame::Host => {
                    (Code::Internal, "see what its log says: banger helper log")
                }
                WriteBlame::Incompatible => (
                    Code::FailedPrecondition,
                    "make the image anew with a filesystem that mkfs.ext4 makes by default",
                ),
                WriteBlame::Damage => {
                    (Code::DataLoss, "remove the VM and make it anew from a whole image")
                }
                WriteBlame::Space => {
                    (Code::ResourceExhausted, "make the image anew with a larger filesystem")
                }
            };
            (code, chain, hint)
        }
        WriteOutcome::Unknown { chain } => {
            (Code::Internal, chain, "start it again, which writes them again")
        }
    };
    Err(Refusal {
        chain,
        ..Refusal::new(code, "the guest's files could not be written").hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_applied_is_done() {
        assert!(outcome(WriteOutcome::Applied { writes: 9, atomic: true }).is_ok());
        let chain = vec!["why".to_owned()];
        let table = [
            (WriteBlame::Request, Code::Internal),
            (WriteBlame::Host, Code::Internal),
            (WriteBlame::Incompatible, Code::FailedPrecondition),
            (WriteBlame::Damage, Code::DataLoss),
            (WriteBlame::Space, Code::ResourceExhausted),
        ];
        for (blame, code) in table {
            let refused =
                outcome(WriteOutcome::NotApplied { blame, chain: chain.clone() }).unwrap_err();
            assert_eq!((refused.code, &refused.chain), (code, &chain));
            assert!(!refused.hint.is_empty());
        }
        let refused = outcome(WriteOutcome::Unknown { chain: chain.clone() }).unwrap_err();
        assert_eq!((refused.code, refused.chain), (Code::Internal, chain));
    }

    #[test]
    fn a_node_is_a_block_device_of_its_numbers() {
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(!is_node(&null, (1, 3)));
        let Some(disk) = std::fs::read_dir("/dev")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.path().metadata().ok())
            .find(|metadata| metadata.file_type().is_block_device())
        else {
            return;
        };
        let numbers = (rustix::fs::major(disk.rdev()), rustix::fs::minor(disk.rdev()));
        assert!(is_node(&disk, numbers));
        assert!(!is_node(&disk, (numbers.0, numbers.1 + 1)));
    }
}
