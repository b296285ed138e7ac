//! `vm ssh` and `vm exec`: how to reach a running VM's sshd.

use banger_proto::{Code, Refusal, SshIdentity, SshTarget};

use crate::vm::Handle;

/// Where the VM's sshd is, and with which keys.
///
/// # Errors
/// [`Code::FailedPrecondition`] when it does not run.
pub fn ssh_target(vm: &Handle) -> Result<SshTarget, Refusal> {
    let record = vm.record();
    let runtime = record.phase.runtime().ok_or_else(|| {
        let name = &record.name;
        Refusal::new(Code::FailedPrecondition, format!("{name} is {}", record.phase.state()))
            .hint(format!("start it first: banger vm start {name}"))
    })?;
    let sshd = runtime.machine.sshd().ok_or_else(|| {
        Refusal::new(
            Code::FailedPrecondition,
            format!("{} has no network: no ssh leads there", record.name),
        )
        .hint(format!("use its console: banger console {}", record.name))
    })?;
    let SshIdentity { user, identity_file, known_hosts_file, host_key_alias } = ssh_identity(vm);
    Ok(SshTarget {
        host: sshd.ip().to_string(),
        port: sshd.port(),
        user,
        identity_file,
        known_hosts_file,
        host_key_alias,
    })
}

/// The VM's keys.
#[must_use]
pub fn ssh_identity(vm: &Handle) -> SshIdentity {
    SshIdentity {
        user: "root".into(),
        identity_file: vm.files().identity(),
        known_hosts_file: vm.files().known_hosts(),
        host_key_alias: vm.id(),
    }
}
