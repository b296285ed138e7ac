//! A start's root filesystem on a device of the root helper's.

use std::path::PathBuf;

use banger_proto::{Code, Refusal};
use uuid::Uuid;

use super::disks::guest_spec;
use super::execute::Start;
use crate::disk;
use crate::system::{Helper, is_unknown};
use crate::verb::{OnHost, blocking, disk_refusal};

/// Bytes that must be free on the host's disk for what a guest writes, unless the start is
/// forced, or its root filesystem is smaller: when they end, the snapshot becomes invalid for
/// good.
const FREE: u64 = 1 << 30;

impl Start {
    /// Makes the device of the root filesystem.
    pub(super) async fn attach_snapshot(
        &mut self,
        base: PathBuf,
        first_boot: bool,
    ) -> Result<(), Refusal> {
        let vm = self.record.id;
        let mut helper = Helper::connect().await?;
        let image = base.clone();
        let size = blocking(move || image.metadata().on_host("look at the image")).await?.len();
        let free = if self.options.force { 0 } else { FREE.min(size) };
        let attached = helper.attach(vm, &base, first_boot, free).await;
        if attached.as_ref().map_or_else(is_unknown, |_| true) {
            let mut undoing = helper.clone();
            self.undo.push("take the snapshot away", async move {
                undoing.detach(vm, None).await?;
                if first_boot {
                    undoing.discard(vm).await?;
                }
                Ok(())
            });
        }
        let snapshot = attached.map_err(|refusal| match refusal.code {
            Code::ResourceExhausted => {
                let hint = format!(
                    "{}; free space is not asked for with: banger vm start --force {}",
                    refusal.hint, self.record.name
                );
                refusal.hint(hint)
            }
            _ => refusal,
        })?;
        self.snapshot = Some((helper, snapshot));
        Ok(())
    }

    /// Writes the guest's files to the device. Returns the filesystem's UUID, which is the
    /// image's.
    pub(super) async fn patch_snapshot(
        &mut self,
        base: PathBuf,
        work_disk: PathBuf,
        first_boot: bool,
    ) -> Result<Uuid, Refusal> {
        let (record, files, known) = (self.record.clone(), self.files.clone(), self.known());
        let plan = blocking(move || {
            let uuid = disk::filesystem_uuid(&base).map_err(|error| disk_refusal(&error))?;
            let uuid = uuid.ok_or_else(|| {
                Refusal::new(Code::FailedPrecondition, "the image has no root filesystem any more")
                    .hint(format!(
                        "put its file back, or remove VM and image and make both anew: {}",
                        base.display()
                    ))
            })?;
            // A snapshot that nobody has written to is its image, which can be read without asking
            // anybody.
            let facts = first_boot.then(|| disk::image_facts(&base)).transpose();
            let facts = facts.map_err(|error| disk_refusal(&error))?;
            Ok((uuid, guest_spec(&record, &files, known, &work_disk, first_boot)?, facts))
        });
        let (uuid, spec, facts) = plan.await?;
        let (helper, snapshot) = self.attached()?;
        helper.patch(snapshot, &spec, facts).await?;
        Ok(uuid)
    }

    /// Borrows the device for the VMM.
    pub(super) async fn borrow_snapshot(&mut self) -> Result<PathBuf, Refusal> {
        let (helper, device) = self.attached()?;
        helper.lend(device).await
    }

    fn attached(
        &mut self,
    ) -> Result<(&mut Helper, banger_proto::roothelper::DeviceHandle), Refusal> {
        match &mut self.snapshot {
            Some((helper, snapshot)) => Ok((helper, snapshot.device)),
            None => Err(Refusal::new(Code::Internal, "the plan of the start attached nothing")),
        }
    }
}
