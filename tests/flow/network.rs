//! Published ports, and VMs without a network.

use std::net::{TcpListener, TcpStream};

use crate::place::Place;

/// A port that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_port_is_published_while_its_vm_runs_and_is_one_vms() {
    let Some(place) = Place::with_image() else { return };
    let port = free_port();
    let publish = format!("{port}:80");
    place.owner.ok(["create", "--name", "web", "-p", &publish, "-p", "81", "-p", "53/udp"]);
    place.owner.ok(["create", "--name", "other", "--publish", &format!("0.0.0.0:{port}:80")]);
    assert!(place.fails(&["port", "web"]).contains("start it first"));
    place.owner.ok(["start", "web"]);
    assert_eq!(place.owner.ok(["port", "web", "80"]), format!("127.0.0.1:{port}\n"));
    let lines = place.owner.ok(["port", "web"]);
    assert_eq!(lines.lines().count(), 3, "a port of the host is chosen for each: {lines}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(place.owner.ok(["ls"]).contains(&format!("{port}->80")));

    let said = place.fails(&["start", "other"]);
    assert!(
        said.contains(&format!("0.0.0.0:{port} of this host is taken by the VM web")),
        "{said}"
    );
    assert_eq!(place.state("other"), "created", "nothing has become of it");
    // A daemon that comes later knows whose it is too.
    place.kill_daemon();
    let said = place.fails(&["start", "other"]);
    assert!(said.contains("taken by the VM web"), "{said}");
    assert_eq!(place.vmms().len(), 1);
    place.owner.ok(["stop", "web"]);
    place.owner.ok(["start", "other"]);
    place.owner.ok(["rm", "--force", "other"]);
    place.owner.ok(["start", "web"]);
}

#[test]
fn a_port_of_another_program_is_refused_with_its_number() {
    let Some(place) = Place::with_image() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    place.owner.ok(["create", "--name", "web", "-p", &format!("{port}:80")]);
    let said = place.fails(&["start", "web"]);
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    assert!(
        said.contains("in use by another program") && said.contains("try: see which"),
        "{said}"
    );
    assert_eq!(place.state("web"), "created");
    assert!(place.vmms().is_empty());
    drop(taken);
    place.owner.ok(["start", "web"]);
}

#[test]
fn without_a_network_a_start_waits_for_the_guests_word() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "alone", "--net", "none"]);
    place.owner.ok(["start", "alone"]);
    let vm = place.vm("alone");
    assert_eq!((&vm["state"], &vm["running"]["network"]), (&"running".into(), &"none".into()));
    assert!(vm["running"]["ssh_port"].is_null() && vm["running"]["address"].is_null());
    for arguments in [&["ssh", "alone"][..], &["exec", "alone", "true"], &["ip", "alone"]] {
        let said = place.fails(arguments);
        assert!(said.contains("banger console alone"), "{said}");
    }
    assert!(place.fails(&["wait", "alone", "--for", "ssh"]).contains("--for running"));
    place.owner.ok(["stop", "alone"]);
    place.mode("no-ssh");
    let said = place.fails(&["start", "alone", "--timeout", "1s"]);
    assert!(said.contains("did not say on its console"), "{said}");
    assert!(place.vmms().is_empty());
    let said = place.fails(&["create", "--net", "none", "-p", "80"]);
    assert!(said.contains("without a network publishes none"), "{said}");
}
