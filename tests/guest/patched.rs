//! What a guest finds inside is what it was promised, whatever its image says.

use banger_tests::owner::Owner;

use crate::image::{self, Image};

/// What the guest prints for a command that must succeed.
fn guest(owner: &Owner, command: &str) -> String {
    owner.ok(["vm", "exec", "promise", "--", "sh", "-c", command])
}

#[test]
fn a_guest_is_what_was_promised_on_an_image_that_says_the_opposite() {
    let Some(owner) = image::owner(Image::Contrary) else { return };
    owner.ok(["vm", "create", "--name", "promise", "--disk", "3G"]);
    owner.ok(["vm", "start", "promise"]);

    assert_eq!(
        guest(&owner, "stat -c '%u:%g %a %n' /root /root/.ssh /root/.ssh/authorized_keys"),
        "0:0 755 /root\n0:0 700 /root/.ssh\n0:0 600 /root/.ssh/authorized_keys\n"
    );

    assert_eq!(guest(&owner, "cat /etc/hostname; hostname"), "promise\npromise\n");
    let hosts = guest(&owner, "cat /etc/hosts");
    assert_eq!(hosts.lines().collect::<Vec<_>>(), ["127.0.0.1 localhost", "127.0.1.1 promise"]);
    let resolv = guest(&owner, "test ! -L /etc/resolv.conf && cat /etc/resolv.conf");
    assert!(resolv.starts_with("nameserver "), "{resolv}");

    fstab(&guest(&owner, "cat /etc/fstab"));
    let mounted = guest(&owner, "findmnt --noheadings --raw --output SOURCE,FSTYPE,TARGET /root");
    let fields: Vec<_> = mounted.split_whitespace().collect();
    assert!(
        matches!(fields[..], [source, "ext4", "/root"] if source.starts_with("/dev/")),
        "{mounted}"
    );
    let size: u64 = guest(&owner, "blockdev --getsize64 $(findmnt -no SOURCE /root)")
        .trim()
        .parse()
        .expect("a number of bytes");
    assert_eq!(size, 3 << 30);
    for (folder, mode) in [("/run", "755"), ("/tmp", "1777")] {
        let told = guest(&owner, &format!("findmnt -no FSTYPE {folder}; stat -c %a {folder}"));
        assert_eq!(told, format!("tmpfs\n{mode}\n"), "{folder}");
    }

    let sshd = guest(&owner, "/usr/sbin/sshd -T");
    for line in [
        "permitrootlogin without-password",
        "pubkeyauthentication yes",
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "authorizedkeysfile /root/.ssh/authorized_keys",
        "strictmodes yes",
    ] {
        assert!(sshd.lines().any(|told| told == line), "no `{line}` in:\n{sshd}");
    }

    // The image's baked host keys are gone and the machine is itself alone.
    let baked = guest(&owner, "cat /etc/ssh/ssh_host_*_key.pub");
    assert!(!baked.contains("baked"), "{baked}");
    let machine_id = guest(&owner, "cat /etc/machine-id");
    assert!(machine_id.trim().len() == 32 && machine_id != image::BAKED_MACHINE_ID, "{machine_id}");
    let failed = guest(&owner, "systemctl --failed --no-legend --plain");
    assert_eq!(failed, "", "units that failed");

    // The image's own /root came along, as root's.
    assert_eq!(
        guest(&owner, "stat -c '%u:%g %a' /root/shipped && cat /root/shipped"),
        "0:0 640\nfrom the image\n"
    );

    owner.ok(["vm", "rm", "--force", "promise"]);
    assert_eq!(owner.processes().len(), 1, "bangerd alone is left");
}

fn fstab(text: &str) {
    let entries: Vec<Vec<_>> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let entry = |target: &str| entries.iter().find(|fields| fields.get(1) == Some(&target));
    assert!(entry("/home").is_none() && entry("/var").is_none(), "{text}");
    assert_eq!(
        entry("/run").map(|fields| fields[2..].join(" ")).as_deref(),
        Some("tmpfs defaults,nodev,nosuid,mode=0755 0 0"),
        "{text}"
    );
    assert_eq!(
        entry("/tmp").map(|fields| fields[2..].join(" ")).as_deref(),
        Some("tmpfs defaults,nodev,nosuid,mode=1777 0 0"),
        "{text}"
    );
    let root = entry("/root").unwrap_or_else(|| panic!("no /root in {text}"));
    assert!(root[0].starts_with("UUID=") && root[2] == "ext4", "{text}");
    // What the image wrote survives to the byte.
    assert!(text.contains(image::FSTAB_COMMENT), "{text}");
    assert!(text.contains(image::FSTAB_KEPT), "{text}");
}
