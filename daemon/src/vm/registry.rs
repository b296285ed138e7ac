//! All VMs there are, by id and by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_proto::{BrokenVm, Code, ImageName, Refusal, VmId, VmName, VmRef};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard, mpsc, watch};
use tokio::task::JoinHandle;

use super::handle::{Command, Handle};
use super::task::Task;
use crate::context::Context;
use crate::store::VmRecord;
use crate::verb::nearest;

/// All VMs of the user.
#[derive(Debug)]
pub struct Registry {
    context: Arc<Context>,
    entries: Mutex<BTreeMap<VmId, Entry>>,
    /// VMs whose records cannot be read: nobody's task, but their names are taken.
    broken: Mutex<BTreeMap<VmId, BrokenVm>>,
    /// Held while names are given and images are removed: what is free or unused when
    /// it is looked at stays so until it is taken.
    gate: AsyncMutex<()>,
    /// All VMs there are stand here: not before they were listed, nor once the daemon ends.
    whole: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    handle: Handle,
    task: JoinHandle<()>,
}

impl Registry {
    /// No VM yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self {
            context,
            entries: Mutex::default(),
            broken: Mutex::default(),
            gate: AsyncMutex::default(),
            whole: AtomicBool::new(false),
        })
    }

    /// Every VM that there is stands here from now on.
    pub fn is_listed(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }

    /// All VMs there are, the broken ones too: for who takes anything else for nobody's.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when they could not be listed, or the daemon ends.
    pub fn every_id(&self) -> Result<Vec<VmId>, Refusal> {
        let known = self.entries().keys().copied().collect::<Vec<_>>();
        // Said before they are forgotten.
        if !self.whole.load(Ordering::SeqCst) {
            let message = "bangerd does not know all VMs: they could not be listed, or it ends";
            return Err(Refusal::new(Code::Unavailable, message).hint(
                "try again; where it stays so, its log says why: ~/.local/state/banger/bangerd.log",
            ));
        }
        Ok(known.into_iter().chain(self.broken().into_iter().map(|vm| vm.id)).collect())
    }

    /// The daemon's surroundings.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<VmId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers VMs whose records cannot be read.
    pub fn keep_broken(&self, vms: Vec<BrokenVm>) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.extend(vms.into_iter().map(|vm| (vm.id, vm)));
    }

    /// Forgets one that has been removed.
    pub fn forget_broken(&self, id: VmId) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The VMs whose records cannot be read.
    #[must_use]
    pub fn broken(&self) -> Vec<BrokenVm> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.values().cloned().collect()
    }

    /// The one of them that is meant, where no other VM is.
    #[must_use]
    pub fn find_broken(&self, vm: &VmRef) -> Option<BrokenVm> {
        self.broken().into_iter().find(|broken| match vm {
            VmRef::Id(id) => broken.id == *id,
            VmRef::Name(name) => broken.name.as_ref() == Some(name),
        })
    }

    /// Waits until nobody else gives names or removes images.
    pub async fn gate(&self) -> AsyncGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Begins the task of a VM whose record is on disk.
    pub fn adopt(self: &Arc<Self>, record: VmRecord) -> Handle {
        let id = record.id;
        let files = self.context.vms.files(id);
        let (commands, asked) = mpsc::unbounded_channel();
        self.context.names.put(&record);
        let (published, seen) = watch::channel(record);
        let handle = Handle { commands, record: seen, files: files.clone() };
        let task = Task::new(self.context.clone(), files, published, asked);
        // The entry is there before the task can end and take it away again.
        let mut entries = self.entries();
        let registry = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            let Some(farewell) = task.run().await else { return };
            if let Some(registry) = registry.upgrade() {
                registry.entries().remove(&id);
                registry.context.names.forget(id);
            }
            // Told last: whoever hears of it may use the name again at once.
            farewell.tell();
        });
        entries.insert(id, Entry { handle: handle.clone(), task });
        handle
    }

    /// All VMs, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Handle> {
        let mut all: Vec<_> = self.entries().values().map(|entry| entry.handle.clone()).collect();
        all.sort_by_key(Handle::name);
        all
    }

    /// The VM of that name.
    #[must_use]
    pub fn named(&self, name: &VmName) -> Option<Handle> {
        self.entries()
            .values()
            .map(|entry| &entry.handle)
            .find(|handle| handle.record.borrow().name == *name)
            .cloned()
    }

    /// The VM that is meant.
    ///
    /// # Errors
    /// [`Code::NotFound`] when there is none.
    pub fn find(&self, vm: &VmRef) -> Result<Handle, Refusal> {
        let found = match vm {
            VmRef::Id(id) => self.entries().get(id).map(|entry| entry.handle.clone()),
            VmRef::Name(name) => self.named(name),
        };
        found.ok_or_else(|| match self.find_broken(vm) {
            Some(broken) => Refusal::new(
                Code::DataLoss,
                format!("the record of {vm} cannot be read: {}", broken.reason),
            )
            .hint(format!("remove it with all its files: banger vm rm --force {vm}")),
            None => {
                let names = self.all().into_iter().map(|handle| handle.name().to_string());
                let hint = nearest(&vm.to_string(), names).map_or_else(
                    || "see which there are: banger ls".to_owned(),
                    |name| format!("did you mean {name}? See which there are: banger ls"),
                );
                Refusal::new(Code::NotFound, format!("there is no VM {vm}")).hint(hint)
            }
        })
    }

    /// The VMs that were made from an image.
    #[must_use]
    pub fn users_of(&self, image: &ImageName) -> Vec<VmName> {
        self.all()
            .iter()
            .filter(|handle| handle.record.borrow().image.name == *image)
            .map(Handle::name)
            .collect()
    }

    /// Ends all tasks; VMs run on. Returns when no task writes any more.
    pub async fn leave(&self) {
        self.whole.store(false, Ordering::SeqCst);
        let entries = std::mem::take(&mut *self.entries());
        for entry in entries.values() {
            // A task that has ended needs no word.
            let _ended = entry.handle.commands.send(Command::Leave);
        }
        for entry in entries.into_values() {
            if let Err(error) = entry.task.await {
                tracing::error!(%error, "the task of a VM failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::paths::Paths;

    use super::*;

    #[tokio::test]
    async fn what_belongs_to_no_vm_is_asked_only_while_all_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let below = |name| folder.path().join(name);
        let paths = Paths {
            state: below("state"),
            data: below("data"),
            cache: below("cache"),
            config: below("config"),
            system_config: below("system"),
            runtime: below("runtime"),
        };
        let registry = Registry::new(Arc::new(Context::new(paths)));
        let unknown = registry.every_id().unwrap_err();
        assert_eq!(unknown.code, Code::Unavailable);
        registry.is_listed();
        assert_eq!(registry.every_id().unwrap(), []);
        registry.leave().await;
        assert!(registry.every_id().is_err());
    }
}
