//! The everyday commands: what goes to which stream, and which code comes back.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::place::Place;

#[test]
fn results_go_to_one_stream_and_everything_else_to_the_other() {
    let place = Place::new(&[]);
    let ran = place.run(&["create", "--name", "web"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("web\n", ""));
    let ran = place.run(&["start", "web"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.out, "");
    insta::assert_snapshot!(ran.err, @r"
    no KVM here: software emulation
    boot_guest  9.0 s
    web is up: banger ssh web
    ");
    let ran = place.run(&["start", "--quiet", "web"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

#[test]
fn an_error_says_what_because_and_try() {
    let place = Place::new(&["start fails"]);
    let ran = place.run(&["start", "calm-otter"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r"
    error: cannot start calm-otter
      because: the stage boot_guest failed
      because: the guest did not answer
      the guest's console ends with:
          Kernel panic - not syncing
      try: banger logs calm-otter
    ");
}

#[test]
fn lists_are_tables_names_or_json() {
    let place = Place::new(&[]);
    let table = place.run(&["vm", "ls"]).out;
    assert!(table.starts_with("NAME   STATE"), "{table}");
    assert_eq!(table.lines().count(), 3);
    let json: serde_json::Value = serde_json::from_str(&place.run(&["ls", "--json"]).out).unwrap();
    assert_eq!(json[1]["name"], "db");
    assert_eq!(json[1]["running"]["accelerator"], "tcg");
    let json = place.run(&["inspect", "web", "--json"]).out;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["memory_mib"], 1024);
}

#[test]
fn an_empty_list_is_no_output_and_a_word_of_advice() {
    let place = Place::new(&["no VMs"]);
    let ran = place.run(&["ls"]);
    assert_eq!(ran.out, "");
    assert!(ran.err.contains("banger run"), "{}", ran.err);
    assert_eq!(place.run(&["ls", "--json"]).out, "[]\n");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let mut child =
        place.banger(&["ls"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[test]
fn logs_into_a_pipe_are_the_guests_bytes() {
    let place = Place::new(&[]);
    let output = place.banger(&["logs", "-n", "7", "web"]).output().unwrap();
    assert_eq!(output.stdout, b"\x1b[1mboot\x1b[0m\r\n\xff\n");
    assert_eq!(place.calls(), ["started", "logs tail=7"]);
}

#[test]
fn a_deadline_is_given_in_seconds() {
    let place = Place::new(&[]);
    place.run(&["stop", "web"]);
    place.run(&["stop", "--timeout", "0", "web", "db"]);
    let calls = ["started", "stop web None", "stop web Some(0)", "stop db Some(0)"];
    assert_eq!(place.calls(), calls);
}

#[test]
fn a_restart_a_change_and_a_wait_are_asked_as_typed() {
    let place = Place::new(&[]);
    place.run(&["restart", "--timeout", "5", "web"]);
    let ran = place.run(&["set", "web", "--memory", "2G", "--ttl", "never"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    assert!(ran.err.contains("goes on with 2 cpus and 1 GiB until it is restarted"), "{}", ran.err);
    assert_eq!(place.run(&["set", "web"]).code, Some(2), "nothing to set");
    assert_eq!(place.run(&["wait", "web", "--for", "ssh", "--timeout", "1m"]).code, Some(0));
    let ran = place.run(&["wait", "web"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("still running"), "{}", ran.err);
    assert_eq!(place.run(&["wait", "web", "--for", "lunch"]).code, Some(2));
    let calls = place.calls();
    assert_eq!(calls[1], "restart web Some(5000)");
    assert!(calls[2].contains("memory: Some(Mib(2048))"), "{}", calls[2]);
    assert!(calls[2].contains("lifetime: Some(Unlimited)"), "{}", calls[2]);
    assert_eq!(calls[3..], ["wait web ssh Some(60000)", "wait web stopped None"]);
}

#[test]
fn addresses_and_ports_are_lines_for_scripts() {
    let place = Place::new(&[]);
    let ran = place.run(&["ip", "web"]);
    assert_eq!(ran.out, "10.0.2.15\n");
    assert!(ran.err.contains("reached from here by 127.0.0.1:8080 -> 80/tcp"), "{}", ran.err);
    let ran = place.run(&["port", "web"]);
    assert_eq!(ran.out, "127.0.0.1:8080 -> 80/tcp\n0.0.0.0:53 -> 53/udp\n");
    assert_eq!(place.run(&["port", "web", "80"]).out, "127.0.0.1:8080\n");
    let ran = place.run(&["port", "web", "53"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("does not publish its port 53/tcp"), "{}", ran.err);
    let json: serde_json::Value =
        serde_json::from_str(&place.run(&["port", "web", "53/udp", "--json"]).out).unwrap();
    assert_eq!(json[0]["host_port"], 53);
}

#[test]
fn without_a_network_run_is_refused_before_anything_is_made() {
    let place = Place::new(&[]);
    let ran = place.run(&["run", "--net", "none", "--", "true"]);
    assert_eq!(ran.code, Some(125));
    assert!(ran.err.contains("try: banger create --net none"), "{}", ran.err);
    assert!(!place.calls().iter().any(|call| call.starts_with("create")));
    assert_eq!(place.run(&["create", "-p", "80:0"]).code, Some(2));
}

#[test]
fn an_image_is_read_from_a_file_and_from_a_pipe() {
    let place = Place::new(&[]);
    let tar = place.home().join("a.tar");
    fs::write(&tar, vec![7; 2_500_000]).unwrap();
    let ran = place.run(&["image", "import", "debian", tar.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "debian\n"), "{}", ran.err);
    assert_eq!(ran.err, "import_rootfs  from tar  1.5 s\n");
    let mut command = place.banger(&["image", "import", "other", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&vec![7; 70_000]).unwrap();
    assert!(child.wait().unwrap().success());
    let calls = place.calls();
    assert_eq!(calls[1], "import debian of 2500000: 2500000 whole=true");
    assert_eq!(calls[2], "import other of 0: 70000 whole=true");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = Place::new(&[]);
    for (file, word) in [("/nowhere/a.tar", "No such file"), ("/", "is a directory")] {
        let ran = place.run(&["image", "import", "debian", file]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.starts_with(&format!("error: cannot read {file}\n")), "{}", ran.err);
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    // Opens, and fails at the first read.
    let ran = place.run(&["image", "import", "debian", "/proc/self/mem"]);
    assert!(ran.err.starts_with("error: cannot read /proc/self/mem\n"), "{}", ran.err);
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let place = Place::new(&["no image"]);
    for (line, code) in [
        (&["ls"][..], 0),
        (&["help", "image", "rm"], 0),
        (&["run", "--help"], 0),
        (&["image", "inspect", "nowhere"], 1),
        (&[], 2),
        (&["nonsense"], 2),
        (&["ls", "--nonsense"], 2),
        (&["run", "--rm", "x"], 125),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code, Some(code), "{line:?}: {}", ran.err);
        // Help that was asked for is a result; everything else that went wrong is not.
        assert_eq!(ran.out.is_empty(), code != 0, "{line:?}");
    }
}
