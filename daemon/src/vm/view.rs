//! A VM as people see it, made from its record.

use std::net::Ipv4Addr;

use banger_proto::{Running, Share, Vm};

use crate::net::{AddressPlan, Backend, Tap};
use crate::share::Served;
use crate::store::{Runtime, VmFiles, VmRecord, allocated_bytes};
use crate::vmm;

/// What people see of a VM.
pub(super) fn view(record: &VmRecord, files: &VmFiles) -> Vm {
    Vm {
        id: record.id,
        name: record.name.clone(),
        image: record.image.name.clone(),
        state: record.phase.state(),
        state_reason: record.phase.reason().to_owned(),
        isolation: record.isolation,
        vmm: record.vmm,
        cpus: record.cpus,
        memory: record.memory,
        disk: record.disk,
        created_at: record.created_at,
        ephemeral: record.ephemeral,
        expires_at: record.expires_at,
        network: record.network,
        publish: record.publish.clone(),
        shares: record.shares.clone(),
        running: record.phase.runtime().map(|Runtime { started_at, given, machine }| Running {
            started_at: *started_at,
            cpus: given.map_or(record.cpus, |given| given.cpus),
            memory: given.map_or(record.memory, |given| given.memory),
            vmm_pid: machine.vmm.pid,
            ssh: machine.sshd(),
            ports: machine.ports.clone(),
            address: address(machine),
            accelerator: machine.accelerator.name().to_owned(),
            network: machine.network.name().to_owned(),
            tap: machine.tap.as_ref().map(|tap| tap.name.clone()).unwrap_or_default(),
            confinement: machine.walls.clone(),
            missing_walls: machine.missing.clone(),
            lost_shares: lost(machine),
        }),
        directory: files.directory().to_owned(),
        allocated_bytes: allocated_bytes(files.directory()),
    }
}

/// The guest's own address.
fn address(machine: &vmm::Running) -> Option<Ipv4Addr> {
    match (&machine.tap, machine.network) {
        (Some(Tap { card, .. }), _) => Some(card.address),
        (None, Backend::None) => None,
        (None, _) => Some(AddressPlan::USER_MODE.address),
    }
}

/// The shares whose file server does not run any more.
fn lost(machine: &vmm::Running) -> Vec<Share> {
    // Where it cannot be told, nothing is said.
    let ended = |served: &&Served| !served.server.runs().unwrap_or(true);
    machine.shares.iter().filter(ended).map(|served| served.share.clone()).collect()
}
