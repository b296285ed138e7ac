//! What `packaging/helper.sh` installs, on a system that runs it.

use std::collections::BTreeSet;

use banger_tests::testbed::inside_with_packaging as inside;

use crate::login::user;
use crate::sh;

/// Installs what the payload holds, where that was not done before the machine was saved.
pub fn install() {
    sh("[ -e /usr/libexec/banger ] || /payload/packaging/helper.sh install '' /payload/bin 2>&1");
}

/// The files of the system, as they are: not what is made anew at each boot.
fn files() -> BTreeSet<String> {
    let found = sh(
        "find / -xdev \\( -path /var/log -o -path /tmp -o -path /var/tmp -o -path /root \\) -prune \
         -o \\( -type d -printf '%p/ %m %U:%G\\n' -o -printf '%p %m %U:%G %s %l\\n' \\)",
    );
    found.lines().map(str::to_owned).collect()
}

#[test]
fn the_helper_is_installed_for_its_group_and_uninstalled_without_a_trace() {
    inside(|| {
        // The testbed has no manual pages of its own.
        sh("mkdir -p /usr/share/man/man8");
        let before = files();
        install();
        let group = sh("getent group banger");
        assert!(group.starts_with("banger:x:"), "{group}");
        let worker = sh("getent passwd banger-worker");
        assert!(worker.ends_with(":/usr/sbin/nologin"), "{worker}");
        sh("systemctl enable --now banger-roothelper.socket");
        assert_eq!(sh("stat -c '%a %U:%G' /run/banger/roothelper.sock"), "660 root:banger");
        assert_eq!(sh("stat -c '%a %U:%G' /run/banger"), "755 root:root");
        assert_eq!(sh("systemctl is-enabled banger-roothelper.socket"), "enabled");

        sh("/payload/packaging/helper.sh uninstall '' 2>&1");
        assert_eq!(sh("systemctl list-unit-files 'banger*' --no-legend || true"), "");
        assert_eq!(sh("systemctl list-units --all 'banger*' --no-legend"), "");
        assert_eq!(sh("systemctl is-system-running"), "running");
        assert!(!std::fs::exists("/run/banger/roothelper.sock").unwrap());
        let after = files();
        // Accounts are kept, so that their numbers never become another's.
        let accounts = |line: &&String| {
            let names = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];
            !names.iter().any(|name| line.starts_with(&format!("/etc/{name}")))
        };
        let left: Vec<_> = after.symmetric_difference(&before).filter(accounts).collect();
        assert!(left.is_empty(), "{left:#?}");
    });
}

#[test]
fn systemd_reads_the_units_without_a_word_and_finds_them_confined() {
    inside(|| {
        install();
        let folder = "/usr/lib/systemd/system";
        let said = sh(&format!(
            "systemd-analyze verify {folder}/banger-roothelper.socket {folder}/banger-roothelper.service 2>&1 || true"
        ));
        // A second wall that systemd has since 255, and that 252 ignores; and there is no man here.
        let known = ["'PollLimit", "Command 'man banger-roothelper(8)' failed"];
        let others: Vec<_> =
            said.lines().filter(|line| !known.iter().any(|known| line.contains(known))).collect();
        assert!(others.is_empty(), "{others:#?}");
        let score = sh("systemd-analyze security --no-pager banger-roothelper.service | tail -n 1");
        let number = score.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(number.parse::<f32>().unwrap() <= 2.5, "{score}");
    });
}

#[test]
fn polkit_grants_the_group_its_actions_and_asks_others_for_a_password() {
    inside(|| {
        install();
        user("ann");
        user("ben");
        sh("gpasswd --add ann banger");
        // polkit notices new files by itself, but not at once.
        let listed =
            sh("for i in $(seq 50); do pkaction | grep -q dev.banger && break; sleep 0.2; done; \
             pkaction | grep dev.banger");
        let actions: Vec<_> = listed.lines().collect();
        assert_eq!(actions.len(), 4, "{actions:?}");
        let ask = |user: &str, action: &str| {
            sh(&format!(
                "setpriv --reuid={user} --regid={user} --init-groups \
                 sh -c 'pkcheck --action-id {action} --process $$; echo status $?' 2>&1"
            ))
        };
        for action in actions {
            assert_eq!(ask("ann", action), "status 0", "{action}");
            let answer = ask("ben", action);
            assert!(answer.ends_with("status 2"), "{action}: {answer}");
        }
    });
}

/// A filesystem with this uuid on a file, as everybody would look for it.
const UUID: &str = "0b5e55ed-0000-4000-8000-00000000b10c";

fn filesystem(file: &str) {
    sh(&format!("truncate -s 8M {file}; mkfs.ext4 -q -U {UUID} {file}"));
}

#[test]
fn nobody_looks_at_what_is_on_a_device_of_a_vm() {
    inside(|| {
        let link = format!("/dev/disk/by-uuid/{UUID}");
        let there = || std::fs::symlink_metadata(&link).is_ok();
        filesystem("/var/tmp/file");
        install();
        let under = sh("losetup --find --show --read-only /var/tmp/file");
        sh("udevadm settle");
        assert!(there(), "udev links what is not ours");
        sh(&format!("losetup --detach {under}; udevadm settle"));
        assert!(!there());

        // Not through a loop device, which udev would look at itself.
        sh("losetup /dev/loop1000000 /var/tmp/file; udevadm settle");
        assert!(!there(), "a loop device of ours is not looked at");
        assert_eq!(sh("stat -c '%a %U:%G' /dev/loop1000000"), "600 root:root");

        let uuid = "BANGER-1-u1000-0b5e55ed-0000-4000-8000-000000000001-root";
        sh(&format!(
            "dmsetup create banger-u1000-test --uuid {uuid} --table '0 16384 linear /dev/loop1000000 0'; \
             udevadm settle"
        ));
        assert!(!there(), "a device of ours is not looked at");
        let node = sh("readlink -f /dev/mapper/banger-u1000-test");
        assert_eq!(sh(&format!("stat -c '%a %U:%G' {node}")), "600 root:root");

        // Lent, and still lent after whatever makes udev look again.
        user("ann");
        sh(&format!("chown ann {node}; udevadm trigger --settle --action=change {node}"));
        assert_eq!(sh(&format!("stat -c '%a %U' {node}")), "600 ann");
        sh(&format!("dd if=/dev/zero of={node} bs=512 count=1 conv=notrunc,fsync; udevadm settle"));
        assert_eq!(sh(&format!("stat -c '%a %U' {node}")), "600 ann");
        assert!(!there());

        // The same device under a name that is not ours.
        sh("dmsetup remove --retry banger-u1000-test; udevadm settle");
        filesystem("/var/tmp/other");
        sh("losetup /dev/loop5 /var/tmp/other; \
            dmsetup create other --table '0 16384 linear /dev/loop5 0'; udevadm settle");
        assert!(there(), "udev looks at devices that are not ours");
    });
}
