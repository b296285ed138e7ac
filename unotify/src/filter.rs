//! The filter, in the kernel's BPF: one command of ioctl(2) is told of, everything else allowed.

use libc::sock_filter;

/// The processor's name in what a filter is shown.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// x86_64 has a second table of calls, from this number on.
const X32: u32 = 0x4000_0000;

/// Where the fields of `struct seccomp_data` are, in bytes. Arguments are of 8, lower half first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const COMMAND: u32 = 16 + 8;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The kernel takes an ioctl's command as 32 bits, and so is it compared.
pub(super) fn notify_of_ioctl(command: u32) -> Vec<sock_filter> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| sock_filter { code: code as u16, jt, jf, k };
    vec![
        step(LOAD, ARCH, 0, 0),
        // Another architecture's calls have other numbers.
        step(IS, ARCHITECTURE, 0, 7),
        step(LOAD, NUMBER, 0, 0),
        step(AT_LEAST, X32, 5, 0),
        step(IS, libc::SYS_ioctl as u32, 0, 3),
        step(LOAD, COMMAND, 0, 0),
        step(IS, command, 0, 1),
        step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
    ]
}
