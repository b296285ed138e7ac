//! What `banger doctor` tells users of a computer with the root helper: each what keeps it from them.

use serde_json::Value;

use crate::owning::{by, with_fake};
use crate::sh;
use crate::vm::inside;

/// The doctor's checks, as this user sees them.
fn doctor(name: &str, arguments: &str) -> Vec<Value> {
    checks(&by(name, &format!("banger doctor --json {arguments} 2>/dev/null || true")))
}

fn checks(text: &str) -> Vec<Value> {
    let said: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    said["checks"].as_array().unwrap().clone()
}

/// State, what was found, and the first thing to do, of one check about the helper.
fn of<'a>(checks: &'a [Value], name: &str) -> (&'a str, &'a str, &'a str) {
    let is = |check: &&Value| check["group"] == "root helper" && check["name"] == name;
    let check = checks.iter().find(is).unwrap_or_else(|| panic!("no check {name}: {checks:#?}"));
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    (text(&check["state"]), text(&check["found"]), text(&check["remedy"][0]))
}

#[track_caller]
fn expect(checks: &[Value], name: &str, state: &str, found: &str, step: &str) {
    let told = of(checks, name);
    assert_eq!(told.0, state, "{name}: {told:?}");
    assert!(told.1.contains(found) && told.2.contains(step), "{name}: {told:?}");
}

const NAMES: [&str; 8] =
    ["installed", "units", "group", "polkit", "udev rules", "bridge", "answer", "overlays"];

/// Entries of the helper's log.
fn entries() -> String {
    sh("journalctl --sync; journalctl -t banger-roothelper --output=cat | wc -l")
}

#[test]
fn the_doctor_tells_each_user_what_keeps_the_helper_from_it() {
    inside(|| {
        // A member has nothing to do; who only looks starts nothing and leaves no entry.
        sh("systemctl stop banger-roothelper.service");
        let before = entries();
        let quick = doctor("ann", "--quick");
        assert_eq!(sh("systemctl is-active banger-roothelper.service || true"), "inactive");
        assert_eq!(entries(), before);
        for name in ["installed", "units", "group", "polkit", "udev rules", "bridge"] {
            expect(&quick, name, "ok", "", "");
        }
        expect(&quick, "answer", "skipped", "not asked", "");
        let told = doctor("ann", "");
        for name in NAMES {
            expect(&told, name, "ok", "", "");
        }
        expect(&told, "polkit", "ok", "yes, without a password: by banger's rule", "");

        // Who is no member, and who became one since logging in.
        with_fake("ben");
        let told = doctor("ben", "--quick");
        expect(&told, "group", "warning", "not in the group", "usermod -aG banger ben");
        expect(&told, "polkit", "warning", "answers for the group `banger` alone", "#");
        sh("gpasswd --add ben banger");
        let told = sh(
            "cd ~ben; setpriv --reuid=ben --regid=ben --clear-groups env -i HOME=$PWD USER=ben \
             PATH=/payload/bin:/usr/bin:/bin banger doctor --json --quick 2>/dev/null || true",
        );
        let told = checks(&told);
        expect(&told, "group", "warning", "this login is older", "banger daemon stop");
        expect(&told, "polkit", "ok", "yes", "");
    });
}

#[test]
fn the_doctor_finds_what_is_not_in_order_about_the_helper() {
    inside(|| {
        // What nobody owns any more is of a VM that nobody knows; another one needs the helper.
        by(
            "ann",
            "banger create --name web; banger start web; banger stop web; banger daemon stop",
        );
        by(
            "ann",
            "rm -r .local/state/banger/vms/*; banger create --name other; banger daemon stop",
        );
        sh("ln -s /dev/null /etc/udev/rules.d/59-banger-loop.rules");
        sh(
            "ip link add wide type dummy; ip address add 172.16.0.77/28 dev wide; ip link set wide up",
        );
        sh("systemctl mask --now polkit.service 2>&1");
        let told = doctor("ann", "");
        expect(&told, "group", "ok", "", "");
        expect(
            &told,
            "udev rules",
            "failed",
            "is turned off",
            "sudo rm /etc/udev/rules.d/59-banger",
        );
        expect(&told, "bridge", "failed", "172.16.0.64/28 through wide", "roothelper.toml");
        expect(&told, "polkit", "failed", "does not answer", "polkit.service");
        expect(&told, "answer", "failed", "59-banger-loop.rules is turned off", "make install");
        let left = told.iter().find(|check| check["name"] == "leftovers").unwrap();
        assert!(left["found"].as_str().unwrap().contains("banger gc --overlays"), "{left}");

        // A rule of the administrator's goes first.
        sh("rm /etc/udev/rules.d/59-banger-loop.rules; ip link delete wide");
        sh(
            "echo 'polkit.addRule(function(a, s) { if (a.id.indexOf(\"dev.banger\") == 0) return \"no\"; });' \
            >/etc/polkit-1/rules.d/10-no.rules; systemctl unmask polkit.service 2>&1",
        );
        expect(&doctor("ann", "--quick"), "polkit", "failed", "says no to everything", "sudo grep");
        sh("rm /etc/polkit-1/rules.d/10-no.rules");

        // Nobody listens; nobody is installed.
        by("ann", "banger rm other");
        sh("systemctl disable --now banger-roothelper.socket 2>&1");
        let told = doctor("ann", "--quick");
        expect(&told, "units", "warning", "does not listen", "systemctl enable --now");
        sh("/payload/packaging/helper.sh uninstall '' 2>&1");
        let told = doctor("ann", "--quick");
        let about: Vec<_> = told.iter().filter(|it| it["group"] == "root helper").collect();
        assert_eq!(about.len(), 1, "{about:#?}");
        expect(&told, "installed", "ok", "VMs run rootless", "");
    });
}
