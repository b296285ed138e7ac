//! The ways into a real guest: console, environment, cp, sync, and plain ssh.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_tests::owner::Owner;

use crate::image::{self, Image};

#[test]
fn every_way_into_a_guest_leads_there() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    owner.ok(["vm", "create", "--name", "ways"]);
    owner.ok(["vm", "start", "ways"]);
    console(&owner);
    setting(&owner);
    copies(&owner);
    sync(&owner);
    plain_ssh(&owner);
    owner.ok(["vm", "rm", "--force", "ways"]);
}

/// Root is logged in after Enter, and what it says comes back.
fn console(owner: &Owner) {
    let mut command = owner.banger(["vm", "console", "-n", "0", "ways"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (sender, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut text = String::new();
    let mut see = |words: &str, again: &mut dyn FnMut()| {
        let begun = Instant::now();
        while !text.contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no {words:?} in {text:?}");
            match seen.recv_timeout(Duration::from_secs(5)) {
                Ok(bytes) => text += &String::from_utf8_lossy(&bytes),
                // The login is started last of all: what comes too early is lost.
                Err(_) => again(),
            }
        }
    };
    keys.write_all(b"\r").unwrap();
    see("automatic login", &mut || keys.write_all(b"\r").unwrap());
    keys.write_all(b"echo \"$(id -un)@$(tty)-$((20 + 3))\"\r").unwrap();
    see("root@/dev/ttyS0-23", &mut || {});
    child.kill().unwrap();
    child.wait().unwrap();
    // The login is heard of in the log as well, whoever reads it.
    assert!(owner.ok(["vm", "logs", "ways"]).contains("root@/dev/ttyS0-23"));
}

fn setting(owner: &Owner) {
    let value = "it's $HOME\n`id` \\ \"q\" ü";
    let variable = format!("ODD={value}");
    let script = "printf '%s|' \"$ODD\" \"$PWD\"; ls -A /run | grep -c banger-env";
    let arguments = ["vm", "exec", "-e", &variable, "-w", "/srv", "ways", "--", "sh", "-c", script];
    let output = owner.run(arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{value}|/srv|0\n"));
    let output = owner.run(["vm", "exec", "-w", "/no/where", "ways", "--", "echo", "ran"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
}

fn copies(owner: &Owner) {
    let tree = owner.home().join("tree");
    fs::create_dir_all(tree.join("sub dir")).unwrap();
    fs::write(tree.join("sub dir/new\nline"), "content").unwrap();
    fs::set_permissions(tree.join("sub dir/new\nline"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink("/etc/hostname", tree.join("link")).unwrap();
    fs::set_permissions(&tree, PermissionsExt::from_mode(0o755)).unwrap();
    for path in [&tree, &tree.join("sub dir"), &tree.join("sub dir/new\nline")] {
        owner.give(path);
    }
    let (tree, back) = (tree.to_str().unwrap(), owner.home().join("back"));
    owner.ok(["vm", "cp", tree, "ways:/srv"]);
    let told = owner.ok([
        "vm",
        "exec",
        "ways",
        "--",
        "stat",
        "-c",
        "%U:%G %a %F",
        "/srv/tree/sub dir/new\nline",
        "/srv/tree/link",
    ]);
    assert_eq!(told, "root:root 640 regular file\nroot:root 777 symbolic link\n");
    owner.ok(["vm", "cp", "ways:/srv/tree", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(back.join("sub dir/new\nline")).unwrap(), "content");
    assert_eq!(fs::read_link(back.join("link")).unwrap().to_str(), Some("/etc/hostname"));
    let metadata = back.join("sub dir/new\nline").metadata().unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o640, owner.account().uid));
    assert_eq!(owner.ok(["vm", "cp", "ways:/etc/hostname", "-"]), "ways\n");
}

fn sync(owner: &Owner) {
    let tree = owner.home().join("tree");
    let arguments = ["vm", "sync", tree.to_str().unwrap(), "ways"];
    let sync = || {
        let output = owner.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(sync().contains("sent 3 ("));
    owner.ok(["vm", "exec", "ways", "--", "test", "-f", "/root/tree/sub dir/new\nline"]);
    assert!(sync().contains("nothing to send"));
}

/// A Host block is all that the system's ssh needs.
fn plain_ssh(owner: &Owner) {
    let config = owner.home().join("ssh config");
    owner.write(&config, owner.ok(["vm", "ssh-config", "ways"]).as_bytes());
    let ssh = || {
        let mut command = owner.command("ssh");
        command.arg("-F").arg(&config).args(["banger-ways", "hostname"]);
        command.output().unwrap()
    };
    let output = ssh();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ways\n", "{output:?}");
    owner.ok(["vm", "stop", "--timeout", "0", "ways"]);
    let output = ssh();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("ways is stopped"), "{said}");
}
