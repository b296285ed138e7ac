//! Folders of the host in a real guest: read and written there, and nothing beside them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_tests::owner::Owner;
use banger_tests::skip;

use crate::image::{self, Image};

/// Whether file servers can run here, by what the doctor says.
fn can_share(owner: &Owner) -> bool {
    let output = owner.run(["doctor", "--quick", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = said["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "shared folders").unwrap();
    if check["state"] != "ok" {
        skip(&format!("folders cannot be shared here: {}", check["found"]));
    }
    check["state"] == "ok"
}

/// A folder of the owner's with a file of this name in it.
fn folder(owner: &Owner, name: &str) -> PathBuf {
    let path = owner.home().join(name);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    owner.give(&path);
    owner.write(&path.join("name"), name.as_bytes());
    path
}

fn volume(folder: &Path, rest: &str) -> String {
    format!("{}:{rest}", folder.display())
}

#[test]
fn a_guest_has_the_folders_that_are_shared_and_nothing_beside_them() {
    let Some(owner) = image::owner(Image::Plain) else { return };
    if !can_share(&owner) {
        return;
    }
    let (source, data) = (folder(&owner, "my src"), folder(&owner, "data"));
    let secret = owner.home().join("secret");
    owner.write(&secret, b"nobody's");
    // What leads out of the folder on the host leads nowhere but into the guest.
    symlink("/etc/hostname", source.join("absolute")).unwrap();
    symlink("../secret", source.join("relative")).unwrap();
    symlink(&secret, source.join("to the secret")).unwrap();
    let (first, second) = (volume(&source, "/src"), volume(&data, "/root/deep/data:ro"));
    owner.ok(["create", "--name", "box", "-v", &first, "-v", &second]);
    owner.ok(["start", "box"]);
    used(&owner, &source, &data);
    // The second start is as the first.
    owner.ok(["restart", "box"]);
    assert_eq!(owner.ok(["exec", "box", "--", "cat", "/src/name"]), "my src");
    assert_eq!(owner.ok(["exec", "box", "--", "cat", "/root/deep/data/name"]), "data");
    owner.ok(["rm", "--force", "box"]);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "nobody's");
    without_a_network(&owner, &source);
}

fn used(owner: &Owner, source: &Path, data: &Path) {
    let guest = |script: &str| {
        let output = owner.run(["exec", "box", "--", "sh", "-c", script]);
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(guest("cat /src/name; stat -c ' %u:%g' /src/name"), "my src 0:0\n");
    // What root makes there is the owner's here, with its mode; and the other way round at once.
    guest("umask 027; mkdir -p /src/made/deep; echo from the guest >/src/made/deep/file");
    let made = source.join("made/deep/file");
    assert_eq!(fs::read_to_string(&made).unwrap(), "from the guest\n");
    let metadata = made.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (owner.account().uid, 0o640));
    owner.write(&source.join("late"), b"from the host");
    assert_eq!(guest("cat /src/late"), "from the host");
    guest("mv /src/late '/src/made/odd \"name\"' && ln /src/name /src/hard && rm /src/hard");
    assert_eq!(fs::read_to_string(source.join("made/odd \"name\"")).unwrap(), "from the host");
    // Other users of the guest are nobody here.
    assert_eq!(guest("chown 5:5 /src/name 2>/dev/null; echo $?"), "1\n");

    // Read-only is the host's word, and not the guest's.
    let refused = "{ echo x >/root/deep/data/name; } 2>/dev/null; echo $?";
    assert_ne!(guest(refused), "0\n");
    guest("mount -o remount,rw /root/deep/data");
    for attempt in [
        "echo x >/root/deep/data/name",
        "touch /root/deep/data/new",
        "rm /root/deep/data/name",
        "chmod 777 /root/deep/data/name",
        "mv /root/deep/data/name /root/deep/data/other",
    ] {
        assert_ne!(guest(&format!("{{ {attempt}; }} 2>/dev/null; echo $?")), "0\n", "{attempt}");
    }
    assert_eq!(fs::read_to_string(data.join("name")).unwrap(), "data");
    assert_eq!(fs::read_dir(data).unwrap().count(), 1);

    // Links and `..` are the guest's to follow, and it has nothing of the host but the folder.
    assert_eq!(guest("cat /src/absolute"), "box\n");
    assert_eq!(guest("cat /src/../etc/hostname"), "box\n");
    for way in ["/src/relative", "'/src/to the secret'", "/src/../secret", "/secret"] {
        assert_eq!(guest(&format!("cat {way} 2>/dev/null; echo $?")), "1\n", "{way}");
    }
    guest(
        "ln -s /etc/shadow /src/planted && ln -s ../secret /src/made/out && test -s /src/planted",
    );
    assert_eq!(guest("{ mknod /src/disk b 8 0; } 2>/dev/null; echo $?"), "1\n");
    // A link that a guest planted is a link here, for whoever follows it.
    let planted = source.join("planted").symlink_metadata().unwrap();
    assert!(planted.is_symlink() && planted.uid() == owner.account().uid);
}

/// Nothing but the console leads there, and the folder is there all the same.
fn without_a_network(owner: &Owner, source: &Path) {
    owner.ok(["create", "--name", "alone", "--net", "none", "-v", &volume(source, "/mnt/src")]);
    owner.ok(["start", "alone"]);
    let mut console = owner.banger(["console", "-n", "0", "alone"]);
    let mut console = console.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut keys = console.stdin.take().unwrap();
    let typed = source.join("typed");
    let begun = Instant::now();
    // The login comes last of all: what is typed too early is lost.
    while !typed.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{}", owner.ok(["logs", "alone"]));
        keys.write_all(b"\rtouch /mnt/src/typed\r").unwrap();
        std::thread::sleep(Duration::from_secs(2));
    }
    console.kill().unwrap();
    console.wait().unwrap();
    owner.ok(["rm", "--force", "alone"]);
}
