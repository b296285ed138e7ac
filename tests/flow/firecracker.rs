//! Who asks for Firecracker gets it or is told why not; who does not ask gets what runs.

use crate::place::Place;

const ALONE: [&str; 5] = ["create", "--net", "none", "--isolation", "rootless"];

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ALONE[..], more].concat()
}

#[test]
fn whoever_asks_for_firecracker_is_told_what_keeps_it_from_running() {
    let Some(place) = Place::with_image() else { return };
    let fails = |more: &[&str]| {
        let said = place.fails(&create(&[&["--vmm", "firecracker"], more].concat()));
        assert!(said.contains("--vmm qemu"), "what to do is said: {said}");
        said
    };
    assert!(fails(&[]).contains("firecracker is needed to run"), "it is not installed");
    place.program("firecracker", include_str!("fake-firecracker.py"));
    place.mode("version=1.14.3");
    assert!(fails(&[]).contains("get out of Firecracker 1.14.3 (CVE-2026-5747)"));
    place.mode("version=1.16.1");
    // The fake QEMU says of KVM that it does not work.
    assert!(fails(&[]).contains("Firecracker needs KVM"));
    assert!(fails(&["--cpus", "33", "--force"]).contains("32 processors"));
    let user = place.fails(&["create", "--vmm", "firecracker", "--isolation", "rootless"]);
    assert!(user.contains("--net none"), "{user}");
    let said = place.fails(&create(&["--vmm", "xen"]));
    assert!(said.contains("use auto, qemu or firecracker"), "{said}");
    assert_eq!(place.owner.ok(["ls", "--quiet"]), "", "nothing was made");
}

#[test]
fn whoever_does_not_ask_gets_what_runs() {
    let Some(place) = Place::with_image() else { return };
    place.program("firecracker", include_str!("fake-firecracker.py"));
    for choice in ["auto", "qemu"] {
        place.owner.ok(create(&["--name", choice, "--vmm", choice]));
        assert_eq!(place.vm(choice)["vmm"], "qemu");
    }
    let configuration = place.owner.home().join(".config/banger/config.toml");
    place.owner.write(&configuration, b"[vm]\nvmm = \"firecracker\"\n");
    assert!(place.fails(&create(&["--name", "configured"])).contains("Firecracker needs KVM"));
    place.owner.ok(create(&["--name", "said", "--vmm", "qemu"]));
    place.owner.write(&configuration, b"[vm]\nvmm = \"xen\"\n");
    let said = place.fails(&create(&["--name", "wrong"]));
    assert!(said.contains("use auto, qemu or firecracker"), "{said}");
}
