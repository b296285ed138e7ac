//! What `packaging/helper.sh install` puts below a folder, `uninstall` takes away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use banger_tests::{owner, repository};
use tempfile::TempDir;

use crate::install::files;

/// A folder with what is built: which programs they are, the script does not ask.
fn built() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["banger-roothelper", "libnss_banger.so"] {
        fs::copy("/bin/true", folder.path().join(name)).unwrap();
    }
    folder
}

fn helper(verb: &str, root: &Path) -> Output {
    helper_of(&repository(), verb, root, None)
}

/// The same of another checkout, as another user.
fn helper_of(checkout: &Path, verb: &str, root: &Path, as_user: Option<u32>) -> Output {
    let built = built();
    let mut command = Command::new(checkout.join("packaging/helper.sh"));
    command.arg(verb).arg(root).arg(built.path()).current_dir("/");
    if let Some(uid) = as_user {
        command.uid(uid).gid(uid);
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a verb said that succeeded.
fn done(verb: &str, root: &Path) -> String {
    let output = helper(verb, root);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

#[test]
fn all_of_the_helper_that_is_installed_is_uninstalled() {
    let root = tempfile::tempdir().unwrap();
    let said = done("install", root.path());
    assert!(said.contains("systemctl enable --now banger-roothelper.socket"), "{said}");
    assert!(said.contains("usermod -aG banger USER"), "{said}");
    // Nothing is enabled: that would be a link below /etc.
    let expected = [
        "etc/banger/roothelper.toml",
        "usr/lib/sysctl.d/60-banger.conf",
        "usr/lib/systemd/system/banger-roothelper.service",
        "usr/lib/systemd/system/banger-roothelper.socket",
        "usr/lib/sysusers.d/banger.conf",
        "usr/lib/tmpfiles.d/banger.conf",
        "usr/lib/udev/rules.d/56-banger-dm.rules",
        "usr/lib/udev/rules.d/59-banger-loop.rules",
        "usr/lib/x86_64-linux-gnu/libnss_banger.so.2",
        "usr/libexec/banger/banger-roothelper",
        "usr/share/man/man8/banger-roothelper.8",
        "usr/share/polkit-1/actions/dev.banger.roothelper.policy",
        "usr/share/polkit-1/rules.d/dev.banger.roothelper.rules",
    ];
    assert_eq!(files(root.path()), expected);
    for name in expected {
        let mode = fs::metadata(root.path().join(name)).unwrap().permissions().mode() & 0o7777;
        let program = name.contains("libexec");
        assert_eq!(mode, if program { 0o755 } else { 0o644 }, "{name}");
    }
    // A second time is the same.
    done("install", root.path());
    assert_eq!(files(root.path()), expected);
    let uninstalled = Command::new("make")
        .args(["--silent", "PREFIX=/opt", "uninstall"])
        .arg(format!("DESTDIR={}", root.path().display()))
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(uninstalled.status.success(), "{}", String::from_utf8_lossy(&uninstalled.stderr));
    assert_eq!(files(root.path()), [""; 0]);
}

#[test]
fn what_the_administrator_wrote_is_kept() {
    let root = tempfile::tempdir().unwrap();
    done("install", root.path());
    let file = root.path().join("etc/banger/roothelper.toml");
    fs::write(&file, "[quota]\nvms = 3\n").unwrap();
    let said = done("install", root.path());
    assert!(said.contains("roothelper.toml is kept as it is"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "[quota]\nvms = 3\n");
    let said = done("uninstall", root.path());
    assert!(said.contains("roothelper.toml was changed, and stays"), "{said}");
    assert_eq!(files(root.path()), ["etc/banger/roothelper.toml"]);
}

#[test]
fn the_name_service_knows_vms_behind_the_files_and_no_more_when_they_are_uninstalled() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let file = root.path().join("etc/nsswitch.conf");
    let text = |hosts: &str| format!("passwd: files banger\n{hosts}\nnetworks: files\n");
    let table = [
        ("hosts:          files dns", "hosts:          files banger dns"),
        ("hosts: files", "hosts: files banger"),
        (
            "hosts:\tmymachines files [SUCCESS=return] resolve [!UNAVAIL=return] dns",
            "hosts:\tmymachines files [SUCCESS=return] banger resolve [!UNAVAIL=return] dns",
        ),
        ("hosts: dns", "hosts: banger dns"),
        ("hosts: files myfiles bangers", "hosts: files banger myfiles bangers"),
        ("# no hosts", "# no hosts"),
    ];
    for (before, after) in table {
        fs::write(&file, text(before)).unwrap();
        for _time in 0..2 {
            done("install", root.path());
            assert_eq!(fs::read_to_string(&file).unwrap(), text(after));
        }
        done("uninstall", root.path());
        assert_eq!(fs::read_to_string(&file).unwrap(), text(before));
    }
}

#[test]
fn the_helper_is_roots_to_install() {
    let user = if rustix::process::geteuid().is_root() {
        let Some(account) = owner::account() else { return };
        Some(account.uid)
    } else {
        None
    };
    // Another user may have no way into the checkout.
    let copy = tempfile::tempdir().unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for part in ["packaging", "scripts"] {
        let copied = Command::new("cp")
            .args(["--recursive", "--preserve=mode"])
            .arg(repository().join(part))
            .arg(copy.path())
            .status();
        assert!(copied.unwrap().success());
    }
    for verb in ["install", "uninstall"] {
        let output = helper_of(copy.path(), verb, Path::new(""), user);
        let said = said(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("only root may change /usr and /etc"), "{said}");
        assert!(said.contains(&format!("make {verb}-programs PREFIX=$HOME/.local")), "{said}");
    }
}
