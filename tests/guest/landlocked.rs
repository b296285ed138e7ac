//! A guest where bubblewrap does not work: QEMU runs behind Landlock.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use banger_tests::{has_landlock, skip};
use serde_json::Value;

use crate::image::{self, Image};

#[test]
fn a_guest_runs_behind_landlock() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    // A bubblewrap that may not make namespaces, found before the host's own.
    let folder = |name: &str| {
        let path = owner.home().join(name);
        fs::create_dir_all(&path).unwrap();
        owner.give(&path);
        path
    };
    let programs = folder("programs");
    let bwrap = programs.join("bwrap");
    owner.write(&bwrap, b"#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n");
    fs::set_permissions(&bwrap, Permissions::from_mode(0o755)).unwrap();
    folder(".config");
    let list = format!("{}\n", programs.display());
    owner.write(&folder(".config/banger").join("programs"), list.as_bytes());

    let output = owner.run(["vm", "run", "--name", "web", "--", "uname", "-s"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(output.stdout, b"Linux\n");
    let vm: Value = serde_json::from_str(&owner.ok(["vm", "inspect", "--json", "web"])).unwrap();
    let lines = |field: &str| vm["running"][field].to_string();
    owner.ok(["vm", "rm", "--force", "web"]);
    assert!(lines("missing_walls").contains("No permissions"), "{vm}");
    if !has_landlock() {
        skip("this kernel has no Landlock");
        return;
    }
    assert!(said.contains("behind Landlock"), "{said}");
    for wall in ["landlock: no files but", "seccomp", "no_new_privs", "no capabilities"] {
        assert!(lines("confinement").contains(wall), "{wall}: {vm}");
    }
}
