//! The processes of this user that run for VMs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::decide::VmProcess;
use crate::spawn::{BWRAP, PASST, Process, QEMU};

/// All of them; what ends while it is looked at is left out.
pub(super) fn ours() -> Vec<VmProcess> {
    let us = rustix::process::geteuid().as_raw();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == us))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let process = Process::hold(pid).ok()?;
            let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            runs_for_vms(&command_line)
                .then(|| VmProcess { id: process.id().clone(), command_line })
        })
        .collect()
}

/// Whether it is one of the programs that VMs are made of; a script in place of one is
/// named by its interpreter's first word.
fn runs_for_vms(command_line: &[u8]) -> bool {
    let programs = [QEMU.name, PASST.name, BWRAP.name];
    command_line.split(|byte| *byte == 0).take(2).any(|word| {
        let name = std::str::from_utf8(word).ok().and_then(|word| Path::new(word).file_name());
        name.and_then(|name| name.to_str()).is_some_and(|name| {
            // passt runs as passt.avx2 where the processor has it.
            programs.contains(&name.split('.').next().unwrap_or(name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_vms_count() {
        assert!(runs_for_vms(b"qemu-system-x86_64\0-name\0x\0"));
        assert!(runs_for_vms(b"/usr/bin/passt.avx2\0--foreground\0"));
        assert!(runs_for_vms(b"/bin/sh\0/opt/fakes/bwrap\0--x\0"));
        assert!(!runs_for_vms(b"ssh\0-o\0HostKeyAlias=bwrap\0"));
        assert!(!runs_for_vms(b"vi\0-x\0/home/a/passt\0"));
        assert!(!runs_for_vms(b""));
    }
}
