//! Guests that cannot become what was asked for, and what the start says of each.

use std::fs::File;
use std::sync::Arc;

use banger_ext4::{Attributes, Batch, FileDisk, Flush, ImagePath};
use banger_tests::owner::Owner;

use crate::image::{self, Image};

/// An owner whose image lacks these programs: files that nothing can run are in their place.
fn without(programs: &[&str]) -> Option<Owner> {
    let whole = image::owner(Image::Plain)?;
    let owner = Owner::new()?;
    let (from, to) = (whole.images().join("debian"), owner.images());
    let copied = owner
        .command("sh")
        .arg("-c")
        .arg("umask 077; mkdir -p \"$2\" && cp -r --sparse=always --reflink=auto \"$1\" \"$2\"")
        .arg("sh")
        .args([&from, &to])
        .status();
    assert!(copied.unwrap().success());
    let rootfs = to.join("debian/rootfs.ext4");
    let file = File::options().read(true).write(true).open(rootfs).unwrap();
    let mut batch = Batch::open(Arc::new(FileDisk::new(file).unwrap())).unwrap();
    for program in programs {
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        batch.write_file(&ImagePath::new(program).unwrap(), attributes, b"").unwrap();
    }
    batch.commit(Flush::PowerSafe).unwrap();
    Some(owner)
}

/// What a start says that must fail.
fn fails(owner: &Owner, timeout: &str) -> String {
    owner.ok(["vm", "create", "--name", "web"]);
    let output = owner.run(["vm", "start", "--timeout", timeout, "web"]);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_kernel_that_panics_is_noticed_at_once_and_told() {
    let Some(owner) = without(&["/usr/lib/systemd/systemd", "/bin/bash", "/bin/dash"]) else {
        return;
    };
    let begun = std::time::Instant::now();
    let said = fails(&owner, "240s");
    assert!(begun.elapsed().as_secs() < 200, "{:?}", begun.elapsed());
    assert!(said.contains("the guest's kernel panicked"), "{said}");
    assert!(said.contains("console ends with") && said.contains("Kernel panic"), "{said}");
    assert!(said.contains("banger logs web"), "{said}");
}

#[test]
fn a_guest_without_sshd_is_told_from_one_without_a_network() {
    let Some(owner) = without(&["/usr/sbin/sshd"]) else { return };
    let said = fails(&owner, "60s");
    assert!(said.contains("its network came up, but its sshd did not answer"), "{said}");
    assert!(said.contains("openssh-server"), "{said}");
    assert!(owner.ok(["vm", "logs", "web"]).contains("banger-network: up: eth0 has"));
}
