//! The root helper as it is installed, asked by users of the system.

use banger_tests::testbed::inside_with_helper as inside;

use crate::login::{over_ssh, user};
use crate::sh;

/// Ann is of the group, and ben is not.
fn serve() {
    user("ben");
}

/// What a user is answered, and how the client ended.
fn ask(user: &str, what: &str) -> String {
    sh(&format!(
        "setpriv --reuid={user} --regid={user} --init-groups /payload/bin/banger-ask {what} || echo status $?"
    ))
}

/// The journal's entries of this decision: uid, verb, reason.
fn log(decision: &str) -> Vec<String> {
    let fields = "BANGER_UID,BANGER_VERB,BANGER_REASON";
    let said = sh(&format!(
        "journalctl --sync; journalctl --quiet --output=json --output-fields={fields} \
         BANGER_DECISION={decision} _SYSTEMD_UNIT=banger-roothelper.service"
    ));
    let field = |line: &str, name: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        entry[name].as_str().unwrap_or("-").to_owned()
    };
    said.lines()
        .map(|line| fields.split(',').map(|name| field(line, name)).collect::<Vec<_>>().join(" "))
        .collect()
}

fn state() -> String {
    sh("systemctl show banger-roothelper.service --property=ActiveState --value")
}

#[test]
fn who_is_of_the_group_is_answered_and_polkit_finds_the_process() {
    inside(|| {
        serve();
        assert_eq!(state(), "inactive");
        let answer = ask("ann", "check");
        // It answers as soon as it can, and systemd may hear a little later that it is up.
        sh(
            "timeout 20 sh -c 'until systemctl is-active --quiet banger-roothelper; do sleep 0.1; done'",
        );
        // ProtectProc hides the client's process from the helper, and not from polkit.
        for action in ["manage-snapshots", "edit-files", "discard-overlays", "manage-network"] {
            let line = format!("action dev.banger.roothelper.{action} Yes");
            assert!(answer.contains(&line), "{answer}");
        }
        for facility in ["Kernel", "DeviceMapper", "Loop", "UdevRules", "Tun", "Overlays"] {
            assert!(answer.contains(&format!("facility {facility} true")), "{answer}");
        }
        let uid = sh("id -u ann");
        assert_eq!(log("allowed"), [format!("{uid} Describe -")]);
        assert_eq!(log("refused"), [""; 0]);
        let pid = sh("systemctl show banger-roothelper.service --property=MainPID --value");
        let show = sh(&format!("grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/{pid}/status"));
        // SYS_ADMIN, NET_ADMIN, CHOWN, SETUID, SETGID, SETPCAP, KILL: 21, 12, 0, 7, 6, 8, 5.
        assert_eq!(show, "CapBnd:\t00000000002011e1\nNoNewPrivs:\t1\nSeccomp:\t2");
    });
}

#[test]
fn a_user_is_shown_the_log_or_what_shows_it() {
    inside(|| {
        serve();
        ask("ann", "describe");
        // Somebody else's entries are not ann's, nor those that only look like the helper's.
        ask("root", "describe");
        let uid = sh("id -u ann");
        sh(&format!(
            "printf 'MESSAGE=x\\nSYSLOG_IDENTIFIER=banger-roothelper\\nBANGER_UID={uid}\\n\
             BANGER_DECISION=forged\\n' | logger --journald; journalctl --sync"
        ));
        let show = |options: &str| {
            sh(&format!(
                "setpriv --reuid=ann --regid=ann {options} /payload/bin/banger helper log 2>&1 || echo status $?"
            ))
        };
        let told = show("--init-groups");
        assert!(told.starts_with("error: the system's journal"), "{told}");
        assert!(told.contains(&format!("sudo journalctl -u banger-roothelper BANGER_UID={uid}")));
        assert!(told.ends_with("status 1"), "{told}");
        let shown = show("--groups=$(getent group systemd-journal | cut -d: -f3)");
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(lines[1].contains("allowed") && lines[1].contains("Describe"), "{shown}");
    });
}

#[test]
fn who_is_not_of_the_group_is_told_how_to_join_it_and_root_is_nobody() {
    inside(|| {
        serve();
        let answer = ask("ben", "describe");
        assert!(answer.starts_with("PermissionDenied: cannot reach the root helper"), "{answer}");
        assert!(answer.contains("Permission denied (os error 13)"), "{answer}");
        assert!(answer.contains("usermod --append --groups banger"), "{answer}");
        assert_eq!(state(), "inactive");
        let answer = ask("root", "describe");
        assert!(answer.contains("root cannot use the helper"), "{answer}");
        assert!(answer.ends_with("status 1"), "{answer}");
        assert_eq!(log("allowed"), [""; 0]);
        let refused = log("refused");
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].starts_with("0 - "), "{refused:?}");
    });
}

#[test]
fn over_ssh_with_nobody_to_ask_it_is_a_refusal_at_once_that_says_what_helps() {
    inside(|| {
        serve();
        sh("rm /usr/share/polkit-1/rules.d/dev.banger.roothelper.rules");
        let uid = sh("id -u ann");
        // The first starts polkit.
        for _ in 0..3 {
            let answer = over_ssh("ann", "/payload/bin/banger-ask detach || true");
            assert!(answer.starts_with("FailedPrecondition: "), "{answer}");
            assert!(answer.contains("dev.banger.roothelper.rules"), "{answer}");
        }
        assert_eq!(log("refused"), [(); 3].map(|()| format!("{uid} DetachSnapshot nobody-to-ask")));
        let took = sh("journalctl --quiet --output=json --output-fields=BANGER_DURATION_USEC \
             BANGER_DECISION=refused | grep -o 'USEC\":\"[0-9]*' | grep -o '[0-9]*$'");
        let least = took.lines().map(|time| time.parse::<u64>().unwrap()).min().unwrap();
        assert!(least < 1_000_000, "{took}");
    });
}

#[test]
fn without_polkit_everything_is_refused_but_what_asks_nobody() {
    inside(|| {
        serve();
        sh("systemctl mask --runtime --now polkit.service");
        let answer = ask("ann", "detach");
        assert!(answer.starts_with("PermissionDenied: "), "{answer}");
        assert!(answer.contains("try: sudo systemctl"), "{answer}");
        assert!(ask("ann", "describe").starts_with("version "));
        let answer = ask("ann", "check");
        assert_eq!(answer.matches(" Unknown").count(), 4, "{answer}");
    });
}

#[test]
fn it_is_started_again_by_the_next_who_asks_whatever_ended_it() {
    inside(|| {
        serve();
        for _ in 0..3 {
            assert!(ask("ann", "describe").starts_with("version "));
            sh("systemctl stop banger-roothelper.service 2>&1");
            assert_eq!(state(), "inactive");
        }
        // It is killed, and nobody notices but who asked just then.
        assert!(ask("ann", "describe").starts_with("version "));
        sh("systemctl kill --signal=KILL banger-roothelper.service");
        assert!(ask("ann", "describe").starts_with("version "));
        assert_eq!(sh("systemctl is-active banger-roothelper.socket"), "active");
    });
}

#[test]
fn it_ends_when_nobody_has_asked_for_a_minute() {
    inside(|| {
        serve();
        assert!(ask("ann", "describe").starts_with("version "));
        assert_eq!(state(), "active");
        sh(
            "for i in $(seq 100); do systemctl --quiet is-active banger-roothelper.service || break; sleep 1; done",
        );
        assert_eq!(state(), "inactive");
        assert_eq!(
            sh("systemctl show banger-roothelper.service --property=Result --value"),
            "success"
        );
        assert!(ask("ann", "describe").starts_with("version "));
    });
}

/// A tap's flags, its name, and whether `open` is allowed to a user without any capability.
const OPEN: &str = "perl -e 'open(my $tun, \"+<\", \"/dev/net/tun\") or die $!; \
    ioctl($tun, 0x400454ca, pack(\"a16sx22\", $ARGV[0], 0x5002)) or die \"refused: $!\"; print \"opened\"'";

#[test]
fn a_member_has_a_tap_of_its_own_and_an_administrator_says_how_far_it_leads() {
    inside(|| {
        serve();
        let answer = ask("ann", "attach-network");
        let words: Vec<_> = answer.split(' ').collect();
        let ["Created", tap, address, "nat", "false"] = *words else { panic!("{answer}") };
        assert!(address.starts_with("172.16.0.") && address.ends_with("/24"), "{answer}");
        assert_eq!(ask("ann", "attach-network"), answer.replace("Created", "None"));
        // What the helper said to the kernel, and what udev's and sysctl's rules added.
        let said = sh(&format!("ip -details link show {tap}; ip -details link show banger0"));
        let uid = sh("id -u ann");
        for what in [
            &format!("alias banger-u{uid}-"),
            "isolated on",
            "learning off",
            "user ann",
            "stp_state 0",
        ] {
            assert!(said.contains(what), "{what}\n{said}");
        }
        sh("udevadm settle");
        let sysctl = "cd /proc/sys/net; cat ipv4/conf/banger0/accept_redirects ipv6/conf/banger0/disable_ipv6";
        assert_eq!(sh(sysctl), "0\n1");
        let open = |user: &str| {
            sh(&format!(
                "setpriv --reuid={user} --regid={user} --clear-groups --bounding-set=-all {OPEN} {tap} 2>&1 || true"
            ))
        };
        assert_eq!(open("ann"), "opened");
        assert!(open("ben").contains("refused: Operation not permitted"), "{}", open("ben"));
        assert_eq!(sh("nft list tables | sort"), "table bridge banger\ntable inet banger");
        assert_eq!(sh("nft list ruleset | grep -c masquerade || true"), "0");

        // Root's word, and the sysctl that goes with it.
        sh("sed -i 's/^#nat = false/nat = true/' /etc/banger/roothelper.toml; \
            systemctl stop banger-roothelper.service 2>&1; sysctl -q net.ipv4.ip_forward=1");
        assert_eq!(ask("ann", "attach-network"), format!("None {tap} {address} nat true"));
        assert_eq!(sh("nft list ruleset | grep -c masquerade"), "1");

        assert_eq!(ask("ann", "detach-network"), "Removed");
        assert_eq!(ask("ann", "detach-network"), "None");
        assert_eq!(sh("ip -oneline link | grep -c bgr || true"), "0");
        let allowed = log("allowed");
        assert_eq!(
            allowed.iter().filter(|entry| entry.contains("AttachNetwork")).count(),
            3,
            "{allowed:?}"
        );
        // A pool that the host knows a way to is refused with the key that chooses another.
        sh("ip link add wg0 type dummy; ip link set wg0 up; ip route add 172.16.0.0/12 dev wg0");
        let answer = ask("ann", "attach-network");
        assert!(answer.contains("172.16.0.0/12 through wg0"), "{answer}");
        assert!(answer.contains("try: choose another `pool` in the table [network]"), "{answer}");
    });
}
