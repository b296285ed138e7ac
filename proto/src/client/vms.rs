//! A VM's life: made, started, changed, stopped, removed.

use super::{Client, Events, Result, events, reference};
use crate::wire::daemon as wire;
use crate::{BrokenVm, NewVm, Seconds, StartOptions, Vm, VmChange, VmCondition, VmRef};

impl Client {
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
    /// The daemon's refusal; [`crate::Code::DeadlineExceeded`] when the time is over.
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
    /// The daemon's refusal; [`crate::Code::NotFound`] also for a VM in good order.
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

    /// One VM.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn vm(&mut self, vm: &VmRef) -> Result<Vm> {
        let request = wire::GetVmRequest { vm: reference(vm) };
        Ok(self.inner.get_vm(request).await?.into_inner().try_into()?)
    }
}
