//! A batch on every kind of filesystem that distributions make, and on seldom ones.

use std::path::Path;

use banger_ext4::{Batch, Flush};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::profile::{PROFILES, Profile, Writing};
use banger_tests::{engine, kernel, root};

use crate::edit::{SEED, change};
use crate::needs_kernel;

/// The kinds of which this part of the test takes every `of`th.
fn exercise(part: usize, of: usize) {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for profile in Profile::written().skip(part).step_by(of) {
        println!("{}", profile.name);
        let image = folder.path().join("image");
        profile.make(&image, 64 << 20);
        kernel::mounted(&image, "rw", |top| root::script(SEED, &[top.as_os_str()]));
        batch(&image, profile);
    }
}

fn batch(image: &Path, profile: &Profile) {
    let mut batch = Batch::open(disk(image)).unwrap();
    change(&mut batch).unwrap();
    assert_eq!(batch.read_file(&path("/etc/hostname"), 100).unwrap(), b"web\n");
    assert!(!batch.exists(&path("/full")).unwrap());
    let committed = batch.commit(Flush::ProcessSafe).unwrap();
    assert_eq!(committed.atomic, profile.writing == Writing::Atomic);
    let lines = assert_right(image);
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(has("/usr/sbin/banger-network file 0755 0:0 size=10"), "{lines:#?}");
    assert!(has("/sbin link 0777"), "{lines:#?}");
    assert!(has("/usr/sbin dir 0711"));
    assert!(has("/usr/bin/big file 0644 0:0 size=1200000"));
    assert!(has("/usr/bin/tool file 0644 0:0 size=300000"), "the other name keeps its content");
    assert!(has("/etc/resolv.conf file 0644 0:0 size=20"), "a link is replaced");
    assert!(has("/etc/conf1 file 0600 70000:5 size=0"));
    assert!(has("/etc/conf2 file 4755 1:2"));
    assert!(has("/srv/full dir") && has("/srv/a/9 file") && !has("/etc/conf21 "));
    assert!(has("/srv/far block 0644 0:0 size=0") && !has("/var"));
    // The kernel has worked on it meanwhile; we go on in what it left, and take it all away.
    let mut batch = Batch::open(disk(image)).unwrap();
    for top in ["/kernel-wrote", "/etc", "/srv", "/usr", "/run", "/root", "/sbin"] {
        batch.remove_recursive(&path(top)).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    let lines = assert_right(image);
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn every_kind_is_changed_and_stays_right_first_half() {
    exercise(0, 2);
}

#[test]
fn every_kind_is_changed_and_stays_right_second_half() {
    exercise(1, 2);
}

#[test]
fn what_we_would_not_keep_right_is_refused_by_name() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("refused.img");
    for profile in PROFILES {
        let Writing::Refused(word) = profile.writing else { continue };
        profile.make(&image, 64 << 20);
        let before = std::fs::read(&image).unwrap();
        let error = Batch::open(disk(&image)).unwrap_err();
        assert!(error.to_string().contains(word), "{}: {error}", profile.name);
        assert!(std::fs::read(&image).unwrap() == before, "{}", profile.name);
        // Reading it is another matter.
        assert_eq!(engine::tree(&image).len(), 2, "{}", profile.name);
    }
}
