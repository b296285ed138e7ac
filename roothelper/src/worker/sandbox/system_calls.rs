//! The system calls that are left; any other one ends the worker.

use std::collections::BTreeMap;
use std::io;

use libc::{MAP_ANONYMOUS, PROT_EXEC, SIGABRT};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{NotShutIn, step};
use crate::worker::program::Role;

/// The socket to the parent; what a panic says goes nowhere; the device.
const SOCKET: u64 = 0;
const NOWHERE: u64 = 2;
const DEVICE: u64 = 3;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

pub(super) fn shut(role: Role) -> Result<(), NotShutIn> {
    filter(role)
        .and_then(|filter| seccompiler::apply_filter(&filter))
        .map_err(io::Error::other)
        .map_err(step("give up system calls"))
}

fn filter(role: Role) -> Result<BpfProgram, seccompiler::Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let kill = SeccompAction::KillProcess;
    let filter = SeccompFilter::new(rules(role)?, kill, SeccompAction::Allow, arch)?;
    Ok(filter.try_into()?)
}

fn rules(role: Role) -> Result<Rules, seccompiler::Error> {
    let mut rules: Rules = [
        // Memory, but for what may become code (below).
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // The time, where it takes a call; what maps are seeded with.
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        // The end, in order or by a panic.
        libc::SYS_exit_group,
        libc::SYS_exit,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_gettid,
        libc::SYS_getpid,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    rules.insert(libc::SYS_read, vec![with([is(0, SOCKET)?])?]);
    rules.insert(libc::SYS_write, vec![with([is(0, SOCKET)?])?, with([is(0, NOWHERE)?])?]);
    rules.insert(libc::SYS_pread64, vec![with([is(0, DEVICE)?])?]);
    if role == Role::Write {
        rules.insert(libc::SYS_pwrite64, vec![with([is(0, DEVICE)?])?]);
        rules.insert(libc::SYS_fdatasync, vec![with([is(0, DEVICE)?])?]);
    }
    let no_code = || bits(2, PROT_EXEC, 0);
    let anonymous = bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS)?;
    rules.insert(libc::SYS_mmap, vec![with([no_code()?, anonymous])?]);
    rules.insert(libc::SYS_mprotect, vec![with([no_code()?])?]);
    // Abort, of nobody but itself.
    let own = u64::from(std::process::id());
    rules.insert(
        libc::SYS_tgkill,
        vec![with([is(0, own)?, is(2, SIGABRT.cast_unsigned().into())?])?],
    );
    Ok(rules)
}

fn with<const N: usize>(
    conditions: [SeccompCondition; N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}

/// The argument, of 32 bits, is this.
fn is(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// Of the bits in `mask`, the argument has these.
fn bits(
    argument: u8,
    mask: i32,
    value: i32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask.cast_unsigned().into());
    let value = value.cast_unsigned().into();
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}
