//! `cp`: what lands where, with the guest's side run by a shell here, and once by busybox.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Stdio;

use crate::guest::{Guest, with_both};

#[test]
fn a_file_lands_as_with_cp() {
    with_both(|guest| {
        guest.write("host/a b", "one");
        guest.cp("a b", "web:new name").unwrap();
        assert_eq!(guest.read("guest/new name"), "one");
        fs::create_dir(guest.path("guest/folder")).unwrap();
        guest.give();
        guest.cp("a b", "web:folder").unwrap();
        assert_eq!(guest.read("guest/folder/a b"), "one");
        guest.cp("./a b", "web:").unwrap();
        assert_eq!(guest.read("guest/a b"), "one");
        // What is there is replaced, a link as well.
        guest.write("guest/secret", "secret");
        symlink("secret", guest.path("guest/link")).unwrap();
        guest.give();
        guest.cp("a b", "web:link").unwrap();
        assert_eq!(
            (guest.read("guest/link"), guest.read("guest/secret")),
            ("one".into(), "secret".into())
        );

        let said = guest.cp("a b", "web:missing/x").unwrap_err();
        assert!(said.contains("there is no folder to hold it"), "{said}");
        let said = guest.cp("a b", "web:missing/").unwrap_err();
        assert!(said.contains("there is no such folder"), "{said}");
        let said = guest.cp("missing", "web:x").unwrap_err();
        assert!(said.contains("cannot read missing") && said.contains("No such file"), "{said}");

        // And back.
        guest.cp("web:new name", "back").unwrap();
        assert_eq!(guest.read("host/back"), "one");
        fs::create_dir(guest.path("host/here")).unwrap();
        guest.give();
        guest.cp("web:new name", "here").unwrap();
        assert_eq!(guest.read("host/here/new name"), "one");
        guest.write("host/back", "older");
        guest.cp("web:new name", "back").unwrap();
        assert_eq!(guest.read("host/back"), "one");
        for (source, target, words) in [
            ("web:missing", "x", "there is no such file or folder"),
            ("web:new name", "missing/x", "there is no folder to hold it"),
            ("web:new name", "missing/", "there is no such folder"),
            ("web:folder", "back", "cannot write"),
        ] {
            let said = guest.cp(source, target).unwrap_err();
            assert!(said.contains(words), "{source} {target}: {said}");
        }
    });
}

#[test]
fn a_folder_lands_as_with_cp() {
    with_both(|guest| {
        let odd = ["-x", "a b", "new\nline", "q'\"$(id)", &"l".repeat(150)];
        for name in odd {
            guest.write(&format!("host/tree/sub/{name}"), name);
        }
        symlink("../no where", guest.path("host/tree/link")).unwrap();
        fs::create_dir(guest.path("host/tree/empty")).unwrap();
        let mode = fs::Permissions::from_mode(0o550);
        fs::set_permissions(guest.path("host/tree/empty"), mode).unwrap();
        guest.give();
        let check = |folder: &str| {
            for name in odd {
                assert_eq!(guest.read(&format!("{folder}/sub/{name}")), name);
            }
            let link = fs::read_link(guest.path(&format!("{folder}/link"))).unwrap();
            assert_eq!(link.as_os_str(), "../no where");
            let empty = guest.path(&format!("{folder}/empty")).metadata().unwrap();
            assert_eq!(empty.permissions().mode() & 0o777, 0o550);
        };
        guest.cp("tree", "web:new").unwrap();
        check("guest/new");
        guest.cp("tree/", "web:new").unwrap();
        check("guest/new/tree");
        fs::create_dir(guest.path("guest/plain")).unwrap();
        guest.give();
        guest.cp("tree/.", "web:plain").unwrap();
        check("guest/plain");
        guest.write("guest/file", "x");
        let said = guest.cp("tree", "web:file").unwrap_err();
        assert!(said.contains("the target is there and is no folder"), "{said}");
        let said = guest.cp("tree", "web:missing/x").unwrap_err();
        assert!(said.contains("No such file") || said.contains("can't create"), "{said}");

        guest.cp("web:new", "back").unwrap();
        check("host/back");
        guest.cp("web:new", "back").unwrap();
        check("host/back/new");
        guest.cp("web:plain/.", ".").unwrap();
        check("host");
    });
}

#[test]
fn links_and_streams() {
    with_both(|guest| {
        // Links that are named are followed, both ways; those below stay.
        guest.write("host/tree/real", "content");
        symlink("real", guest.path("host/tree/inner")).unwrap();
        symlink("tree/real", guest.path("host/file")).unwrap();
        symlink("tree", guest.path("host/folder")).unwrap();
        symlink("no where", guest.path("host/dangling")).unwrap();
        guest.give();
        let inner = |folder: &str| {
            assert!(!guest.path(folder).is_symlink());
            assert_eq!(guest.read(&format!("{folder}/real")), "content");
            let link = fs::read_link(guest.path(&format!("{folder}/inner"))).unwrap();
            assert_eq!(link.as_os_str(), "real");
        };
        guest.cp("file", "web:").unwrap();
        assert_eq!(guest.read("guest/file"), "content");
        for (source, target) in [("folder", "a"), ("folder/", "b"), ("folder/.", "c")] {
            guest.cp(source, &format!("web:{target}")).unwrap();
            inner(&format!("guest/{target}"));
        }
        symlink("a/real", guest.path("guest/named")).unwrap();
        symlink("a", guest.path("guest/there")).unwrap();
        symlink("no where", guest.path("guest/dangling")).unwrap();
        guest.give();
        guest.cp("web:named", ".").unwrap();
        assert_eq!(guest.read("host/named"), "content");
        for (source, target) in [("there", "d"), ("there/", "e"), ("there/.", "f")] {
            guest.cp(&format!("web:{source}"), target).unwrap();
            inner(&format!("host/{target}"));
        }
        guest.cp("web:there", ".").unwrap();
        inner("host/there");
        for (source, target) in [("dangling", "web:x"), ("web:dangling", "x")] {
            let said = guest.cp(source, target).unwrap_err();
            assert!(said.contains("it is a link that leads nowhere"), "{said}");
        }

        let mut command = guest.place.banger(&["cp", "-", "web:piped"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&[0xff; 300_000]).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::read(guest.path("guest/piped")).unwrap(), [0xff; 300_000]);
        let output = guest.place.banger(&["cp", "web:piped", "-"]).output().unwrap();
        assert_eq!(output.stdout, [0xff; 300_000]);
        let ran = guest.place.run(&["cp", "web:missing", "-"]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("missing"), "{}", ran.err);
    });
}

#[test]
fn a_stream_that_is_cut_leaves_what_was_there() {
    let guest = Guest::new(false);
    guest.write("host/new", &"x".repeat(200_000));
    guest.write("guest/file", "before");
    // A connection that is lost in the middle: the guest's side sees the end of its input.
    guest.place.program(
        "ssh",
        "for last; do :; done; cd \"$HOME/guest\" && head -c 1000 | sh -c \"$last\"",
    );
    let said = guest.cp("new", "web:file").unwrap_err();
    assert!(said.contains("it did not come whole"), "{said}");
    assert_eq!(guest.read("guest/file"), "before");
}

#[test]
fn what_cannot_be_copied_is_told() {
    let guest = Guest::new(false);
    for sides in [["a", "b"], ["web:a", "db:b"], ["-", "-"], ["-", "a"]] {
        let ran = guest.place.run(&["cp", sides[0], sides[1]]);
        assert_eq!(ran.code, Some(2), "{sides:?}: {}", ran.err);
        assert!(ran.err.contains("VM:PATH"), "{}", ran.err);
    }
    let pipe = guest.path("host/tree/pipe");
    guest.write("host/tree/file", "x");
    let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status.success());
    if rustix::process::geteuid().is_root() {
        chown(&pipe, Some(65_534), None).unwrap();
    }
    let mut command = guest.place.banger(&["cp", "tree", "web:tree"]);
    let output = command.current_dir(guest.path("host")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left out, being neither file nor folder: tree/pipe"), "{said}");
    assert_eq!(guest.read("guest/tree/file"), "x");
    let said = guest.cp("tree/pipe", "web:x").unwrap_err();
    assert!(said.contains("neither a file nor a folder"), "{said}");
    let status = std::process::Command::new("mkfifo").arg(guest.path("guest/pipe")).status();
    assert!(status.unwrap().success());
    guest.give();
    let said = guest.cp("web:pipe", "x").unwrap_err();
    assert!(said.contains("neither a file nor a folder"), "{said}");
    // A guest without a tar.
    let programs = "PATH=/nowhere";
    guest.place.program(
        "ssh",
        &format!("for last; do :; done; cd \"$HOME/guest\"; {programs} exec /bin/sh -c \"$last\""),
    );
    for (source, target) in [("tree", "web:x"), ("web:tree", "x")] {
        let said = guest.cp(source, target).unwrap_err();
        assert!(said.contains("the guest has no tar"), "{said}");
    }
}
