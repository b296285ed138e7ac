//! `restart` and `set`, as far as the VM's task does them.

use std::time::Duration;

use banger_proto::{Code, Refusal, StartOptions, Vm, VmChange};

use super::attend::Operation;
use super::task::Task;
use crate::context::now;
use crate::disk;
use crate::progress::Teller;
use crate::verb::{self, admission, blocking, disk_refusal, host_memory};

impl Task {
    /// Stops and starts with nothing between; what overrules a stop breaks it off there.
    pub(super) async fn restart(
        &mut self,
        deadline: Option<Duration>,
        options: StartOptions,
        teller: &Teller<Vm>,
    ) -> Result<Vm, Refusal> {
        if self.record().phase.runtime().is_some() {
            self.stop_for(Operation::Restart, deadline, teller).await?;
            if self.overruled() {
                let name = self.record().name;
                return Err(Refusal::new(
                    Code::Aborted,
                    format!("the restart of {name} was broken off: it is stopped"),
                ));
            }
        }
        self.start(options, teller).await
    }

    /// Changes the record. What runs goes on with what it has. A disk that is to grow does so
    /// when the record says so: whatever breaks that off, the next start brings it to its end.
    pub(super) async fn set(&mut self, change: VmChange) -> Result<Vm, Refusal> {
        if let Some(memory) = change.memory.filter(|_| !change.force) {
            admission::memory_at_all(memory, host_memory::now())?;
        }
        let work_disk = self.files.work_disk();
        let before = self.record();
        let (changed, grown) = verb::changed(&before, change, work_disk.exists(), now())?;
        self.save(changed.clone(), true).await?;
        if let Some(size) = grown {
            let grow = blocking(move || {
                disk::grow_disk(&work_disk, size).map_err(|error| disk_refusal(&error))
            });
            if let Err(refusal) = grow.await {
                self.save(before, true).await?;
                return Err(refusal);
            }
        }
        tracing::info!(vm = %changed.name, ?change, "changed");
        self.publish(changed);
        Ok(self.view())
    }
}
