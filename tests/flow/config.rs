//! Configuration: an edit counts at once, a mistake is told and keeps nobody from cleaning up.

use std::path::{Path, PathBuf};

use banger_proto::paths::Paths;
use serde_json::Value;

use crate::place::Place;

/// Writes the owner's own file.
fn configure(place: &Place, text: &str) -> PathBuf {
    let file = place.owner.home().join(".config/banger/config.toml");
    place.owner.write(&file, text.as_bytes());
    file
}

/// One setting as `config show --json` has it.
fn setting(place: &Place, key: &str) -> Value {
    let shown = place.owner.ok(["config", "show", "--json"]);
    let settings: Vec<Value> = serde_json::from_str(&shown).unwrap();
    settings.into_iter().find(|setting| setting["key"] == key).expect("the key is there")
}

#[test]
fn an_edit_counts_with_the_next_command() {
    let Some(place) = Place::with_image() else { return };
    assert_eq!(setting(&place, "vm.disk")["origin"], "default");
    let file =
        configure(&place, "[vm]\nmemory = \"300M\"\ncpus = 3\ndisk = \"70M\"\nttl = \"1h\"\n");
    place.owner.ok(["create", "--name", "one", "--cpus", "1"]);
    let vm = place.vm("one");
    assert_eq!(
        (&vm["memory_mib"], &vm["cpus"], &vm["disk_mib"]),
        (&300.into(), &1.into(), &70.into())
    );
    assert!(vm["expires_at"].is_u64(), "{vm}");
    place.owner.ok(["create", "--name", "lasting", "--ttl", "never"]);
    assert!(place.vm("lasting")["expires_at"].is_null());
    let memory = setting(&place, "vm.memory");
    assert_eq!((&memory["value"], &memory["line"]), (&"300M".into(), &2.into()));
    assert_eq!(memory["file"], file.to_str().unwrap());

    configure(&place, "vm.memory = 301\nvm.image = 'gone'\n");
    let said = place.fails(&["create", "--name", "two"]);
    assert!(said.contains("no image gone") && said.contains("config.toml:2 names it"), "{said}");
    place.owner.ok(["create", "--name", "two", "--image", "tiny"]);
    assert_eq!(place.vm("two")["memory_mib"], 301);
    assert_eq!(place.vm("one")["memory_mib"], 300, "what a VM is stands in its record");
}

#[test]
fn a_mistake_is_told_with_its_line_and_keeps_nobody_from_cleaning_up() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["start", "web"]);
    place.owner.ok(["create", "--name", "other"]);
    let file = configure(&place, "[vm]\n\nmemroy = \"1G\"\n");
    let told = format!("{}:3: unknown key `memroy`", file.display());
    for refused in [&["create"][..], &["start", "other"], &["config", "show"]] {
        let said = place.fails(refused);
        assert!(said.contains(&told) && said.contains("did you mean `memory`?"), "{said}");
    }
    assert_eq!(place.state("other"), "created", "a mistake in a file is no failure of the VM's");
    assert_eq!(place.owner.ok(["ls", "-q"]), "other\nweb\n");
    let stopped = place.owner.run(["stop", "web"]);
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert!(stopped.status.success() && said.contains("configuration"), "{said}");
    place.owner.ok(["rm", "web", "other"]);

    configure(&place, "");
    let list = place.owner.home().join(".config/banger/programs");
    place.owner.write(&list, b"# nothing\r\n\r\n");
    let said = place.fails(&["create"]);
    assert!(said.contains(list.to_str().unwrap()) && said.contains("no entries"), "{said}");
    place.owner.ok(["ls"]);
}

#[test]
fn programs_that_come_later_are_found_without_a_new_daemon() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    let list = place.owner.home().join(".config/banger/programs");
    let own = std::fs::read_to_string(&list).unwrap();
    let elsewhere = place.owner.home().join("elsewhere");
    std::fs::rename(place.programs(), &elsewhere).unwrap();
    let text = format!("# moved\n{}  # here\r\n{own}", elsewhere.display());
    place.owner.write(&list, text.as_bytes());
    place.owner.ok(["start", "web"]);
    let pid = place.vm("web")["running"]["vmm_pid"].as_u64().unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.contains("elsewhere/qemu-system"), "{line}");
}

#[test]
fn the_deadlines_are_the_configured_ones() {
    let Some(place) = Place::with_image() else { return };
    configure(&place, "[timeouts]\nboot = \"1s\"\nstop = 1\n");
    place.owner.ok(["create", "--name", "web"]);
    place.mode("no-ssh");
    let said = place.fails(&["start", "web"]);
    assert!(said.contains("1 s"), "{said}");
    place.mode("deaf");
    place.owner.ok(["start", "web"]);
    let stopped = place.owner.run(["stop", "web"]);
    let said = String::from_utf8(stopped.stderr).unwrap();
    assert!(stopped.status.success() && said.contains("within 1 s"), "{said}");
}

#[test]
fn the_administrators_files_count_less_than_the_owners() {
    let Some(place) = Place::new() else { return };
    let system = place.owner.home().join("etc");
    std::fs::create_dir(&system).unwrap();
    let write = |name: &str, text: &str| std::fs::write(system.join(name), text).unwrap();
    write("10.toml", "[vm]\ncpus = 5\nmemory = \"5G\"\n");
    // The command line hands the variable on to nobody: the daemon is started by hand.
    let mut daemon = place.owner.command("env");
    daemon.arg(format!("{}={}", Paths::SYSTEM_CONFIG, system.display()));
    let mut daemon = daemon.arg(place.owner.home().join("bin/bangerd")).spawn().unwrap();
    while !place.owner.state().join("run/bangerd.sock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    configure(&place, "[vm]\ncpus = 6\n");
    assert_eq!(setting(&place, "vm.cpus")["value"], "6");
    let memory = setting(&place, "vm.memory");
    assert_eq!(memory["value"], "5G");
    assert_eq!(Path::new(memory["file"].as_str().unwrap()), system.join("10.toml"));
    let shown = place.owner.ok(["config", "show", "--origin"]);
    assert!(shown.contains("etc/10.toml:3"), "{shown}");
    place.owner.ok(["daemon", "stop"]);
    daemon.wait().unwrap();
}
