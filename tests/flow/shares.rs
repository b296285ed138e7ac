//! Folders of the host: real file servers behind real walls, and a fake VMM that holds the other
//! ends of their sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger_tests::owner::Owner;
use banger_tests::skip;

use crate::place::{Place, Tar};

/// A place whose image `sharing` has a kernel with virtiofs, and where bubblewrap works; `None`,
/// with the skip noted, where no file server can run.
pub fn place() -> Option<Place> {
    let place = Place::new()?;
    if !can_serve(&place.owner) {
        skip("folders cannot be shared here: bubblewrap, virtiofsd, newuidmap, subordinate ids");
        return None;
    }
    fs::remove_file(place.programs().join("bwrap")).unwrap();
    place.import_tiny();
    sharing(&place);
    Some(place)
}

/// Makes the image `sharing`, whose kernel has virtiofs.
pub fn sharing(place: &Place) {
    let kernel = Tar::kernel("6.1.0-25");
    let modules = b"kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko\n";
    let tar = place.tar(&Tar::of(&[
        ("boot/", b""),
        ("boot/vmlinuz-6.1.0-25", &kernel),
        ("etc/", b""),
        ("etc/hostname", b"x\n"),
        ("opt/", b""),
        ("opt/taken", b"a file"),
        ("lib/", b""),
        ("lib/modules/", b""),
        ("lib/modules/6.1.0-25/", b""),
        ("lib/modules/6.1.0-25/modules.dep", modules),
        ("root/", b""),
    ]));
    place.owner.ok(["image", "import", "sharing", tar.to_str().unwrap(), "--size", "64M"]);
}

/// Whether the owner has what a file server needs, by what the owner's programs say.
pub fn can_serve(owner: &Owner) -> bool {
    let known = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/bin/virtiofsd"];
    let mut unshare = owner.command("unshare");
    unshare.args(["--user", "--map-auto", "--map-root-user", "--", "true"]);
    banger_tests::root::has("bwrap")
        && known.iter().any(|path| fs::exists(path).unwrap_or(false))
        && unshare.output().is_ok_and(|output| output.status.success())
}

/// A folder of the owner's, with a file.
fn folder(place: &Place, name: &str) -> PathBuf {
    let path = place.owner.home().join(name);
    fs::create_dir_all(&path).unwrap();
    place.owner.give(&path);
    place.owner.write(&path.join("file"), b"of the host");
    path
}

/// The file servers of the owner's that run, and what is around them.
fn servers(place: &Place) -> Vec<(u32, String)> {
    let line = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains("virtiofsd").then_some((pid, line))
    };
    place.owner.processes().into_iter().filter_map(line).collect()
}

/// The file servers themselves.
fn server(place: &Place) -> Vec<u32> {
    let alone = |(_, line): &(u32, String)| !line.contains("bwrap") && !line.contains("setpriv");
    servers(place).into_iter().filter(alone).map(|(pid, _)| pid).collect()
}

pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn share(folder: &Path, rest: &str) -> String {
    format!("{}:{rest}", folder.display())
}

#[test]
fn what_no_guest_may_have_is_refused_and_nothing_is_left() {
    let Some(place) = place() else { return };
    let (home, source) = (place.owner.home().to_owned(), folder(&place, "src"));
    std::os::unix::fs::symlink(place.owner.state(), home.join("link")).unwrap();
    place.owner.write(&home.join("plain"), b"");
    let refused = |directory: &std::path::Path, rest: &str| {
        let volume = share(directory, rest);
        place.fails(&["create", "--image", "sharing", "-v", &volume])
    };
    for (directory, said) in [
        ("/", "all of this computer"),
        ("/proc/self", "the system's own"),
        ("/run", "the system's own"),
        ("/nowhere", "no such folder"),
    ] {
        let told = refused(directory.as_ref(), "/src");
        assert!(told.contains(said), "{directory}: {told}");
    }
    let state = place.owner.state();
    for directory in [home.clone(), home.join(".local"), state.with_file_name("")] {
        let told = refused(&directory, "/src:ro");
        assert!(told.contains("is in it, with disks and keys"), "{told}");
    }
    for directory in [state.clone(), state.join("run"), home.join("link"), home.join("link/run")] {
        let told = refused(&directory, "/src:ro");
        assert!(told.contains("banger's own"), "{told}");
    }
    assert!(refused(&home.join("plain"), "/src").contains("no folder"));
    // What the image has there is in the way.
    assert!(refused(&source, "/opt/taken").contains("something else than a folder"));
    assert!(refused(&source, "/opt/taken/below").contains("something else than a folder"));
    let told = refused(&source, "/boot");
    assert!(told.contains("below /mnt"), "{told}");
    let told = place.fails(&[
        "create",
        "--image",
        "sharing",
        "-v",
        &share(&source, "/a"),
        "-v",
        &share(&source, "/a/b"),
    ]);
    assert!(told.contains("another one has that place"), "{told}");
    let wrong = place.owner.run(["create", "--image", "sharing", "-v", "/a:b:/c"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("a colon"), "{wrong:?}");
    assert_eq!(place.owner.ok(["ls", "--json"]).trim(), "[]");
    assert!(place.leftovers().is_empty());
}

#[test]
fn without_virtiofs_sync_is_named() {
    let Some(place) = place() else { return };
    let source = folder(&place, "my src");
    let volume = share(&source, "/src");
    let create = ["create", "--name", "web", "-v", &volume, "--image"];
    let said = place.fails(&[&create[..], &["tiny"]].concat());
    assert!(said.contains("virtiofs") && said.contains("no /lib/modules of 6.1.0-25"), "{said}");
    let way = format!("banger sync '{}' VM:/src", source.display());
    assert!(said.contains(&way), "{said}");
    let tar = place.tar(&Tar::of(&[
        ("boot/", b""),
        ("boot/vmlinuz-6.1", &Tar::kernel("6.1")),
        ("lib/", b""),
        ("lib/modules/", b""),
        ("lib/modules/6.1/", b""),
        ("lib/modules/6.1/modules.dep", b"kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko\n"),
        ("root/", b""),
    ]));
    place.owner.ok(["image", "import", "without", tar.to_str().unwrap(), "--size", "64M"]);
    let said = place.fails(&[&create[..], &["without"]].concat());
    assert!(said.contains("its kernel 6.1 has no virtiofs") && said.contains(&way), "{said}");
    // Nor without bubblewrap: the way out is the same.
    place.owner.ok(["daemon", "stop"]);
    place.program("bwrap", "#!/bin/sh\necho 'not here' >&2\nexit 1\n");
    let said = place.fails(&[&create[..], &["sharing"]].concat());
    assert!(said.contains("not here") && said.contains(&way), "{said}");
    assert_eq!(place.owner.ok(["ls", "--json"]).trim(), "[]");
}

#[test]
fn a_folder_is_served_while_its_vm_runs() {
    let Some(place) = place() else { return };
    let source = folder(&place, "my src");
    std::os::unix::fs::symlink(&source, place.owner.home().join("link")).unwrap();
    let link = place.owner.home().join("link");
    let (first, second) = (share(&link, "/mnt/a b"), share(&source, "/root/src:ro"));
    place.owner.ok([
        "create", "--name", "web", "--image", "sharing", "--net", "none", "-v", &first, "-v",
        &second, "--disk", "64M",
    ]);
    let vm = place.vm("web");
    assert_eq!(vm["shares"][0]["directory"], source.to_str().unwrap(), "links are resolved");
    assert_eq!(vm["shares"][1]["read_only"], true);
    assert!(vm["shares"][0]["served"].is_null());
    assert!(servers(&place).is_empty(), "nothing is served before it starts");
    place.owner.ok(["start", "web"]);
    assert_eq!(server(&place).len(), 2, "{:?}", servers(&place));
    let served = |number: usize| place.vm("web")["shares"][number]["served"].clone();
    assert_eq!((served(0), served(1)), (true.into(), true.into()));
    let walls = place.vm("web")["running"]["confinement"].to_string();
    for wall in ["no files but that folder\"", "no files but that folder, read-only", "seccomp"] {
        assert!(walls.contains(wall), "{wall} in {walls}");
    }
    // Each has its folder, and the second cannot be written to from there.
    for pid in server(&place) {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let seen: Vec<_> =
            fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(seen, ["file"]);
    }

    // Another daemon knows of them, and a server that dies is told of.
    place.kill_daemon();
    assert_eq!((served(0), served(1)), (true.into(), true.into()));
    let log = || fs::read_to_string(place.owner.state().join("bangerd.log")).unwrap();
    assert!(!log().contains("a file server ended"));
    place.kill(server(&place)[1]);
    until("the second is lost", || served(1) == false);
    assert_eq!(served(0), true);
    assert!(place.owner.ok(["ls"]).contains("share lost"));
    let said = place.owner.ok(["inspect", "web"]);
    assert!(said.contains("hangs; try: banger restart web"), "{said}");
    until("the log says so", || log().contains("a file server ended before its VM"));
    assert_eq!(place.state("web"), "running");

    // They end with the VM, however that ends; and are there again after the next start.
    place.owner.ok(["restart", "web"]);
    assert_eq!((served(0), served(1)), (true.into(), true.into()));
    place.owner.ok(["stop", "web"]);
    assert_eq!(server(&place), [0; 0]);
    place.owner.ok(["start", "web"]);
    for vmm in place.vmms() {
        place.kill(vmm);
    }
    place.wait_for("web", "failed");
    until("the servers end with the VMM", || servers(&place).is_empty());
    assert_eq!(log().matches("a file server ended").count(), 1, "that is as it should be");
    place.owner.ok(["start", "web"]);
    place.owner.ok(["rm", "--force", "web"]);
    assert_eq!(server(&place), [0; 0]);
    until("their walls are gone", || servers(&place).is_empty());
    assert!(place.owner.ok(["gc", "--dry-run", "--json"]).trim() == "[]");
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "of the host");
}

/// The VM `web`, which has the folder at `/src`.
fn create(place: &Place, source: &Path) {
    let share = share(source, "/src");
    place.owner.ok(["create", "--name", "web", "--image", "sharing", "-v", &share]);
}

#[test]
fn a_folder_that_is_gone_or_another_is_not_shared() {
    let Some(place) = place() else { return };
    let source = folder(&place, "src");
    create(&place, &source);
    let moved = place.owner.home().join("moved");
    fs::rename(&source, &moved).unwrap();
    let start = |said: &str| {
        let told = place.fails(&["start", "web"]);
        assert!(told.contains(said) && told.contains("banger vm rm web"), "{told}");
        assert_eq!(place.state("web"), "created", "nothing has become of it");
        assert!(servers(&place).is_empty() && place.vmms().is_empty(), "nothing was begun");
    };
    start("no such folder");
    std::os::unix::fs::symlink(place.owner.state(), &source).unwrap();
    start("a link took its place");
    fs::remove_file(&source).unwrap();
    place.owner.write(&source, b"a file");
    start("no folder");
    fs::remove_file(&source).unwrap();
    fs::rename(&moved, &source).unwrap();
    // Between the look at it and its use, somebody puts a link to the secrets in its place.
    let (from, to) = (source.display(), moved.display());
    let swap = format!("mv {from} {to} && ln -s {} {from}", place.owner.state().display());
    let script = format!("case \"$*\" in *--fd=3*) {swap};; esac; exec /usr/bin/setpriv \"$@\"");
    place.program("setpriv", &format!("#!/bin/sh\n{script}\n"));
    let told = place.fails(&["start", "web"]);
    assert!(told.contains("became another one while it was being shared"), "{told}");
    until("its server ends", || servers(&place).is_empty() && place.vmms().is_empty());
    fs::remove_file(place.programs().join("setpriv")).unwrap();
    fs::remove_file(&source).unwrap();
    fs::rename(&moved, &source).unwrap();
    place.owner.ok(["start", "web"]);
    place.owner.ok(["rm", "--force", "web"]);
}

#[test]
fn a_start_that_fails_or_is_cut_off_leaves_no_file_server() {
    let Some(place) = place() else { return };
    let source = folder(&place, "src");
    create(&place, &source);
    place.mode("ends-at-once");
    let said = place.fails(&["start", "web"]);
    assert!(said.contains("the VMM would not start"), "{said}");
    until("the server of a failed start ends", || servers(&place).is_empty());
    place.mode("");
    // One that does nothing but say so.
    let version = "[ \"$1\" = --version ] && exit";
    place.program("virtiofsd", &format!("#!/bin/sh\n{version}\necho 'no way'\nexit 1\n"));
    let said = place.fails(&["start", "web"]);
    assert!(said.contains("would not start") && said.contains("no way"), "{said}");
    assert!(place.vmms().is_empty());
    // One that does not notice that the VMM is gone.
    let version = "import sys, time\nif '--version' in sys.argv: sys.exit()";
    place.program("virtiofsd", &format!("#!/usr/bin/python3\n{version}\ntime.sleep(600)\n"));
    place.mode("no-ssh");
    let mut start = place.owner.banger(["start", "web"]);
    let mut start = start.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("the VMM runs", || !place.vmms().is_empty() && place.state("web") == "starting");
    let deaf = || servers(&place).iter().filter(|(_, l)| l.contains("python3")).count();
    until("the server runs", || deaf() == 1);
    place.kill_daemon();
    start.wait().unwrap();
    assert_eq!(deaf(), 1, "it does not notice");
    // The next daemon ends what nobody knows of.
    assert_eq!(place.state("web"), "failed");
    until("all of it ends", || deaf() == 0 && servers(&place).is_empty());
    assert!(place.vmms().is_empty());
    // One that stays when its VM stops is ended too.
    place.mode("");
    place.owner.ok(["start", "web"]);
    assert_eq!(deaf(), 1);
    place.owner.ok(["stop", "web"]);
    until("it is ended", || deaf() == 0);
}
