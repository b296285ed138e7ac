//! System calls that Firecracker has no use for: a filter under its own, which allows some of them
//! to its threads, or is not there yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, memfd_create};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Descriptor on which bubblewrap reads the filter.
pub(super) const FILTER_DESCRIPTOR: RawFd = 6;

/// Refused whatever their arguments are: what a namespace does not keep from the rest of the
/// host, or has been a way into the kernel again and again.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_fanotify_init,
    libc::SYS_fsopen,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];
/// Made for this host's own family alone: a network namespace keeps no vsock from other guests.
const SOCKETS: &[i64] = &[libc::SYS_socket, libc::SYS_socketpair];

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let other_family = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        libc::AF_UNIX.cast_unsigned().into(),
    )?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().map(|number| (*number, Vec::new())).collect();
    for number in SOCKETS {
        rules.insert(*number, vec![SeccompRule::new(vec![other_family.clone()])?]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, TargetArch::x86_64)?.try_into()
}

/// The filter in a file without a name, as bubblewrap reads it.
pub(super) fn file() -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("seccomp", MemfdFlags::CLOEXEC)?);
    for step in program().map_err(io::Error::other)? {
        let [code, more] = step.code.to_ne_bytes();
        let [a, b, c, d] = step.k.to_ne_bytes();
        file.write_all(&[code, more, step.jt, step.jf, a, b, c, d])?;
    }
    file.rewind()?;
    Ok(file.into())
}
