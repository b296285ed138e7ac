//! Ways into a guest: ssh, what it writes, its serial line; and the hold on an ephemeral VM.

use futures_util::{Stream, StreamExt};

use super::{Answers, Client, Result, reference};
use crate::wire::daemon as wire;
use crate::{Refusal, SshIdentity, SshTarget, VmRef};

/// What a guest wrote on its serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleChunk {
    /// The bytes, as they are.
    pub data: Vec<u8>,
    /// Whether they were written before anybody attached here.
    pub replay: bool,
}
/// An ephemeral VM lives as long as this.
#[derive(Debug)]
pub struct Hold {
    _stream: tonic::Streaming<wire::HoldEvent>,
}

impl Client {
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
