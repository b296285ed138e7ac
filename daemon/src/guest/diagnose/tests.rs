//! Consoles of guests, and what they mean.

use super::*;

/// The firmware of QEMU says so much before any guest.
const FIRMWARE: &str = "SeaBIOS (version 1.16.2-debian-1.16.2-1)\nBooting from ROM...\n";
const UP: &str = "banger-network: up: eth0 has 10.0.2.15, and its way out is 10.0.2.2\n";

fn runs(console: &str) -> Diagnosis {
    diagnose(console, Vmm::Runs)
}

#[test]
fn a_panic_is_a_panic_whatever_else_is_said() {
    let killed = "[    4.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n\
        [    4.2] CPU: 0 PID: 1 Comm: init\n[    4.3] Rebooting in 1 seconds..\n";
    let reason = "Attempted to kill init! exitcode=0x00000100";
    for vmm in [Vmm::Runs, Vmm::Ended(""), Vmm::Ended("qemu: terminating on signal 15")] {
        let before = format!("{FIRMWARE}{UP}[FAILED] Failed to start x.\n{killed}");
        assert_eq!(diagnose(&before, vmm), Diagnosis::Panicked(reason.into()));
    }
    let twice = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n\
        ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---";
    let reason = "VFS: Unable to mount root fs on unknown-block(0,0)";
    assert_eq!(runs(twice), Diagnosis::Panicked(reason.into()));
}

#[test]
fn what_led_to_a_panic_is_shown_and_not_its_addresses() {
    let before: String = (0..30).map(|n| format!("before {n}\n\n")).collect();
    let after: String = (0..30).map(|n| format!("[   14.06] addr {n}\n")).collect();
    let line = "[   14.05] Kernel panic - not syncing: Attempted to kill init!\n";
    let shown = panic(&format!("{before}{line}{after}"), 20);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[10]), (20, "before 20", line.trim_end()));
    assert_eq!(panic(line, 20), line.trim_end());
    assert_eq!(panic("a\nb\n", 20), "a\nb");
}

/// As Debian 12 said it.
#[test]
fn consoles_of_real_guests() {
    let no_init = "initramfs: No working init found. Try passing init= option to kernel. See \
        Linux's Documentation/init.txt for guidance.\ninitramfs: Will cause kernel panic in \
        10s...\n[   14.059912] Kernel panic - not syncing: Attempted to kill init! \
        exitcode=0x00000100\n[   14.060714] CPU: 1 PID: 1 Comm: init Not tainted\n";
    let reason = "Attempted to kill init! exitcode=0x00000100";
    assert_eq!(runs(&format!("{FIRMWARE}{no_init}")), Diagnosis::Panicked(reason.into()));
    let no_sshd = "[FAILED] Failed to start ssh.servic - OpenBSD Secure Shell server.\n";
    assert_eq!(runs(&format!("{FIRMWARE}{UP}{no_sshd}{no_sshd}")), Diagnosis::NoSshd);
    let no_network = "banger-network: failed: neither ip nor ifconfig is there\n\
        [    7.226948] systemd[1]: Failed to start banger-network.service - Network of this \
        banger VM.\n[FAILED] Failed to start banger-net\u{2026} - Network of this banger VM.\n";
    let why = "neither ip nor ifconfig is there".to_owned();
    assert_eq!(runs(&format!("{FIRMWARE}{no_network}")), Diagnosis::NoNetwork(why));
}

#[test]
fn what_the_first_process_says_is_the_reason_unless_there_was_another_one() {
    let panic =
        "[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n";
    let module = "banger-init: cannot load the module crc16: not permitted\n";
    let root = "banger-init: cannot mount the root filesystem /dev/vda as ext4: it is damaged\n";
    let why = "it cannot mount the root filesystem /dev/vda as ext4: it is damaged";
    let console = format!("{module}{root}{panic}");
    assert_eq!(runs(&console), Diagnosis::NoInit(why.into()));
    assert_eq!(diagnose(&console, Vmm::Ended("")), Diagnosis::NoInit(why.into()));
    // A module may be of no use, and a guest may live to panic.
    assert_eq!(runs(module), Diagnosis::InKernel);
    let later = runs(&format!("{module}{UP}[  OK  ] Started x\n{panic}"));
    assert!(matches!(later, Diagnosis::Panicked(_)), "{later:?}");
}

#[test]
fn an_end_is_the_guests_or_the_vmms() {
    let ended = |console| diagnose(console, Vmm::Ended("qemu: out of memory\n"));
    assert_eq!(ended("[   12.3] reboot: Power down\n"), Diagnosis::ShutDown);
    assert_eq!(ended("[   12.3] reboot: Restarting system\n"), Diagnosis::ShutDown);
    assert_eq!(ended(UP), Diagnosis::VmmDied("qemu: out of memory".into()));
    assert!(diagnose("", Vmm::Ended("")).causes()[0].contains("killed"));
}

#[test]
fn how_far_a_guest_came_is_told_from_what_it_said() {
    assert_eq!(runs(""), Diagnosis::Silent);
    assert_eq!(runs(FIRMWARE), Diagnosis::Silent);
    let kernel = "[    0.000000] Linux version 6.1.0-25-cloud-amd64\n";
    assert_eq!(runs(&format!("{FIRMWARE}{kernel}")), Diagnosis::InKernel);
    let initrd = "ALERT!  UUID=0 does not exist.  Dropping to a shell!\n(initramfs) ";
    assert_eq!(runs(&format!("{kernel}{initrd}")), Diagnosis::InInitrd);
    let systemd = "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.\n";
    assert_eq!(runs(&format!("{UP}{systemd}")), Diagnosis::NoSshd);
    assert!(matches!(runs(systemd), Diagnosis::NoNetwork(why) if why.contains("has not run")));
    let emergency = "You are in emergency mode. After logging in, type \"journalctl -xb\"\n";
    assert_eq!(runs(&format!("{UP}{emergency}")), Diagnosis::Emergency);
}

#[test]
fn what_the_guest_says_of_its_network_is_heard() {
    let failed = "banger-network: failed: neither ip nor ifconfig is there\n";
    let why = "neither ip nor ifconfig is there";
    assert_eq!(runs(failed), Diagnosis::NoNetwork(why.into()));
    assert_eq!(flaw(failed).as_deref(), Some(why));
    let no_way = "[    3.1] x\u{fffd}banger-network: no way out: eth0 has 10.0.2.15: RTNETLINK\n";
    assert_eq!(runs(no_way), Diagnosis::NoSshd);
    assert_eq!(flaw(no_way).as_deref(), Some("eth0 has 10.0.2.15: RTNETLINK"));
    // The last word counts: the script may run again.
    assert_eq!(flaw(&format!("{failed}{UP}")), None);
    assert_eq!(flaw("banger-network: \n"), None);
    assert_eq!(flaw("banger-network: up"), None);
}

#[test]
fn every_diagnosis_says_what_and_what_to_do() {
    let all = [
        Diagnosis::Panicked("x".into()),
        Diagnosis::NoInit("z".into()),
        Diagnosis::ShutDown,
        Diagnosis::VmmDied("a\nb".into()),
        Diagnosis::Silent,
        Diagnosis::InKernel,
        Diagnosis::InInitrd,
        Diagnosis::Emergency,
        Diagnosis::NoNetwork("y".into()),
        Diagnosis::NoSshd,
        Diagnosis::NotReady,
    ];
    let told: Vec<_> = all
        .iter()
        .map(|found| {
            let causes = found.causes().join("; ");
            let mark = if found.is_final() { "!" } else { "~" };
            format!("{mark} {} [{causes}] -> {}", found.message("60 s"), found.hint("web"))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
