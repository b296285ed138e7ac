//! `sync`: only what differs crosses, and only `--delete` removes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::guest::{Guest, with_both};

/// What a sync sent and removed, as it says at its end.
fn counts(said: &str) -> &str {
    said.lines().last().unwrap_or_default()
}

#[test]
fn a_folder_is_brought_up_to_date_again_and_again() {
    with_both(|guest| {
        for name in ["a", "sub/b c", "sub/new\nline", "sub/-x"] {
            guest.write(&format!("host/src/{name}"), name);
        }
        symlink("sub/b c", guest.path("host/src/link")).unwrap();
        guest.give();
        let target = format!("web:{}", guest.path("guest/copy").display());
        let sync = |more: &[&str]| guest.banger(&[&["sync", "src", &target], more].concat());

        let said = sync(&["--dry-run"]).unwrap();
        assert!(said.contains("send    sub/new\\nline\n"), "{said}");
        assert!(!guest.path("guest/copy").exists(), "a dry run does nothing");
        let said = sync(&[]).unwrap();
        assert!(counts(&said).starts_with("sent 6 ("), "{said}");
        for name in ["a", "sub/b c", "sub/new\nline", "sub/-x"] {
            assert_eq!(guest.read(&format!("guest/copy/{name}")), name);
        }
        let link = fs::read_link(guest.path("guest/copy/link")).unwrap();
        assert_eq!(link.as_os_str(), "sub/b c");

        // Nothing is sent twice, but for links where the guest's tar does not keep their times.
        let inode = guest.path("guest/copy/a").metadata().unwrap().ino();
        let said = sync(&[]).unwrap();
        assert!(
            said.contains("nothing to send") || counts(&said).starts_with("sent 1 ("),
            "{said}"
        );
        assert_eq!(guest.path("guest/copy/a").metadata().unwrap().ino(), inode);

        guest.write("host/src/a", "longer");
        guest.write("guest/copy/theirs/x", "kept");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(guest.path("host/src/sub/-x"), mode).unwrap();
        let said = sync(&["-n"]).unwrap();
        assert!(said.contains("send    a\n") && said.contains("send    sub/-x\n"), "{said}");
        assert!(!said.contains("b c") && !said.contains("theirs"), "{said}");
        sync(&[]).unwrap();
        assert_eq!(guest.read("guest/copy/a"), "longer");
        let copied = guest.path("guest/copy/sub/-x").metadata().unwrap();
        assert_eq!(copied.permissions().mode() & 0o777, 0o700);
        assert_eq!(guest.read("guest/copy/theirs/x"), "kept");

        fs::remove_dir_all(guest.path("host/src/sub")).unwrap();
        let said = sync(&["--delete", "--dry-run"]).unwrap();
        assert!(said.starts_with("remove  sub\nremove  theirs\n"), "{said}");
        let said = sync(&["--delete"]).unwrap();
        assert!(counts(&said).ends_with("removed 2"), "{said}");
        let mut left: Vec<_> = fs::read_dir(guest.path("guest/copy"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["a", "link"]);
    });
}

#[test]
fn what_is_of_another_kind_is_not_written_through() {
    with_both(|guest| {
        guest.write("host/src/d/f", "mine");
        guest.write("host/src/f", "file");
        guest.write("guest/outside/f", "theirs");
        fs::create_dir(guest.path("guest/copy")).unwrap();
        symlink("../outside", guest.path("guest/copy/d")).unwrap();
        guest.write("guest/copy/f/inside", "x");
        let target = format!("web:{}", guest.path("guest/copy").display());
        let said = guest.banger(&["sync", "src", &target]).unwrap_err();
        assert!(said.contains("because: f") && said.contains("--delete"), "{said}");
        assert!(guest.path("guest/copy/d").is_symlink(), "nothing was begun");
        guest.banger(&["sync", "--delete", "src", &target]).unwrap();
        assert_eq!(guest.read("guest/copy/f"), "file");
        assert_eq!(guest.read("guest/copy/d/f"), "mine");
        assert_eq!(guest.read("guest/outside/f"), "theirs");
    });
}

#[test]
fn a_change_within_the_same_second_is_not_missed() {
    let guest = Guest::new(false);
    fs::create_dir(guest.path("host/src")).unwrap();
    let target = format!("web:{}", guest.path("guest/copy").display());
    for text in ["one", "two", "six"] {
        fs::write(guest.path("host/src/f"), text).unwrap();
        guest.give();
        guest.banger(&["sync", "src", &target]).unwrap();
        assert_eq!(fs::read_to_string(guest.path("guest/copy/f")).unwrap(), text);
    }
}

#[test]
fn what_cannot_be_is_told_before_anything_is_done() {
    let guest = Guest::new(false);
    guest.write("host/src/f", "x");
    guest.write("guest/file", "x");
    let file = format!("web:{}", guest.path("guest/file").display());
    for (arguments, words) in [
        (&["sync", "missing", "web"][..], "cannot read missing"),
        (&["sync", "src/f", "web"], "cannot read src/f"),
        (&["sync", "src", &file], "the target is there and is no folder"),
        (&["sync", "--delete", "src", "web:/"], "would remove what the guest lives by"),
        (&["sync", "--delete", "src", "web:"], "would remove what the guest lives by"),
        (&["sync", "--delete", "src", "web:/root/"], "would remove what the guest lives by"),
        (&["sync", "src", "No/name"], "is no VM's name"),
    ] {
        let said = guest.banger(arguments).unwrap_err();
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
