//! What is read, and what is not.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use banger_ext4::{Attributes, ImagePath, Node};
use banger_proto::roothelper::{Ext4Found, WriteOutcome};
use banger_roothelper::worker::{Account, Blame, NotRead, Program, Workers};
use banger_tests::fsck;

use super::place::{
    GROUP, Loop, Place, ROOT, WORKER, device, file, owner, path, run, small_filesystem,
};
use crate::dirty::killed;

fn image(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

#[test]
fn every_type_is_told_and_only_files_and_directories_are_read() {
    as_root!();
    let bytes = small_filesystem(|batch| {
        let set = Attributes { mode: 0o4750, uid: 70_000, gid: u32::MAX - 1 };
        batch.write_file(&image("/etc/empty"), set, b"").unwrap();
        batch.symlink(&image("/l"), b"etc/hostname", 0, 0).unwrap();
        batch.symlink(&image("/up"), b"../../../../etc/hostname", 0, 0).unwrap();
        batch.symlink(&image("/shadow"), b"/etc/../../../etc/shadow", 0, 0).unwrap();
        batch.symlink(&image("/nowhere"), b"/no/such", 0, 0).unwrap();
        batch.symlink(&image("/loop"), b"/loop2", 0, 0).unwrap();
        batch.symlink(&image("/loop2"), b"loop", 0, 0).unwrap();
        batch.symlink(&image("/self"), b"self/self", 0, 0).unwrap();
        for (name, node) in [
            ("/char", Node::CharDevice(1, 3)),
            ("/block", Node::BlockDevice(7, 0)),
            ("/fifo", Node::Fifo),
            ("/socket", Node::Socket),
        ] {
            batch.make_node(&image(name), ROOT, node).unwrap();
        }
    });
    let place = Place::new(&bytes);
    let old = Ext4Found::File { content: b"old\n".to_vec(), owner: owner(0o644, 0, 0) };
    let empty = Ext4Found::File { content: vec![], owner: owner(0o4750, 70_000, u32::MAX - 1) };
    let asked = [
        ("/etc/hostname", old.clone()),
        ("/l", old.clone()),
        ("/up", old),
        ("/etc/empty", empty),
        ("/shadow", Ext4Found::Nothing),
        ("/nowhere", Ext4Found::Nothing),
        ("/loop", Ext4Found::Nothing),
        ("/self", Ext4Found::Nothing),
        ("/etc/hostname/below", Ext4Found::Nothing),
        ("/no/such", Ext4Found::Nothing),
        ("/char", Ext4Found::Special),
        ("/block", Ext4Found::Special),
        ("/fifo", Ext4Found::Special),
        ("/socket", Ext4Found::Special),
    ];
    let paths = asked.iter().map(|(at, _)| path(at)).collect();
    let found = run(place.workers("good").read(place.device(), paths, 1 << 20)).unwrap();
    for ((at, expected), found) in asked.iter().zip(found) {
        assert_eq!(found, *expected, "{at}");
    }
    let Ext4Found::Directory { mut names, owner: of } = place.found("/etc") else { panic!() };
    names.sort();
    assert_eq!((names, of), (vec![b"empty".to_vec(), b"hostname".to_vec()], owner(0o755, 0, 0)));
}

#[test]
fn a_loop_device_is_read_and_one_without_a_filesystem_is_refused() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let attached = Loop::of(&place.image());
    let good = place.workers("good");
    let read = |workers: &Workers, at: &Path| {
        run(workers.read(device(at, ()), vec![path("/etc/hostname")], 9))
    };
    assert!(matches!(read(&good, attached.path()).unwrap()[0], Ext4Found::File { .. }));
    let zeros = place.folder().join("zeros");
    File::create(&zeros).unwrap().set_len(1 << 20).unwrap();
    let refused = read(&good, &zeros);
    let Err(NotRead::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.blame, Blame::Damage, "{refusal:?}");
}

#[test]
fn the_helpers_own_program_is_its_worker() {
    as_root!();
    let own = std::env::current_exe().unwrap();
    let helper = own.parent().and_then(Path::parent).unwrap().join("banger-roothelper");
    let place = Place::new(&small_filesystem(|_| {}));
    let account = Account::new(WORKER, GROUP).unwrap();
    let workers = Workers::new(Program::at(&helper).unwrap(), account, place.deadlines);
    let changed = run(workers.write(place.device(), vec![file("/etc/hostname", "new\n")]));
    assert_eq!(changed, WriteOutcome::Applied { writes: 1, atomic: true });
    let found = run(workers.read(place.device(), vec![path("/etc/hostname")], 100)).unwrap();
    assert!(matches!(&found[0], Ext4Found::File { content, .. } if content == b"new\n"));
}

#[test]
fn a_journal_is_replayed_for_the_reader_and_the_image_stays_as_it_is() {
    as_root!();
    crate::needs_kernel!();
    let place = Place::new(&small_filesystem(|_| {}));
    let image = killed(place.folder(), &[]);
    let before = std::fs::read(&image).unwrap();
    let workers = place.workers("good");
    let paths = vec![path("/etc/hostname"), path("/etc/conf3")];
    let found = run(workers.read(device(&image, ()), paths, 1 << 20)).unwrap();
    assert!(matches!(&found[0], Ext4Found::File { content, .. } if content == b"dirtyhost\n"));
    assert_eq!(found[1], Ext4Found::Nothing);
    assert!(before == std::fs::read(&image).unwrap(), "nothing was written");
}

#[test]
fn more_than_was_asked_for_is_refused_before_it_is_read() {
    as_root!();
    let place = Place::new(&small_filesystem(|batch| {
        batch.write_file(&image("/ten"), ROOT, b"0123456789").unwrap();
        batch.make_directory(&image("/names"), ROOT).unwrap();
        for name in ["aa", "bb", "cc"] {
            batch.write_file(&image("/names").join(name).unwrap(), ROOT, b"").unwrap();
        }
    }));
    let workers = place.workers("good");
    let read = |paths: &[&str], limit| {
        run(workers.read(place.device(), paths.iter().map(path).collect(), limit))
    };
    let too_large = |read: Result<Vec<Ext4Found>, NotRead>| matches!(read, Err(NotRead::Refused(refusal)) if refusal.blame == Blame::Limit);
    assert!(read(&["/ten"], 10).is_ok());
    assert!(too_large(read(&["/ten"], 9)));
    assert!(too_large(read(&["/ten", "/ten"], 19)));
    assert!(read(&["/names"], 18).is_ok());
    assert!(too_large(read(&["/names"], 17)));
    // A length of 16 TiB is one in an inode, and nothing else.
    let sparse = place.folder().join("sparse");
    fsck::mke2fs(&sparse, 16 << 20, &["-b", "4096"]);
    let script = "write /dev/null huge\nsif huge size 17592186040320\n";
    let commands = place.folder().join("commands");
    std::fs::write(&commands, script).unwrap();
    let made = fsck::tool("debugfs").args(["-w", "-f"]).arg(&commands).arg(&sparse).output();
    assert!(made.unwrap().status.success());
    let read = run(workers.read(device(&sparse, ()), vec![path("/huge")], u64::MAX));
    // Its limit of memory ends who is allowed to read all of that.
    assert!(matches!(read, Err(NotRead::Died(_) | NotRead::Refused(_))), "{read:?}");
    assert!(too_large(run(workers.read(device(&sparse, ()), vec![path("/huge")], 1 << 20))));
}

#[test]
fn whoever_does_not_answer_as_it_should_is_classified_and_the_next_one_answers() {
    as_root!();
    let mut place = Place::new(&small_filesystem(|_| {}));
    for (scenario, expected) in [
        ("panic", "gave up at roothelper/examples/worker-under-test.rs"),
        ("abort", "signal 6 "),
        ("memory", "signal 6 "),
        ("leak", "signal 6 "),
        ("stack", "signal "),
        ("exit", "exit code 7"),
        ("say-nothing", "exit code 0"),
        ("say-too-long", "too long"),
        ("say-half", "cut short"),
        ("say-another-kind", "no known kind"),
        ("say-other-paths", "beyond its message"),
        ("say-much", "too much"),
        ("say-written", "another question"),
    ] {
        let read = run(place.workers(scenario).read(place.device(), vec![path("/etc")], 100));
        let Err(NotRead::Died(death)) = read else { panic!("{scenario}: {read:?}") };
        assert!(death.to_string().contains(expected), "{scenario}: {death}");
    }
    place.deadlines.read = Duration::from_millis(200);
    for scenario in ["spin", "wait"] {
        let read = run(place.workers(scenario).read(place.device(), vec![path("/etc")], 100));
        let Err(NotRead::Died(death)) = read else { panic!("{scenario}: {read:?}") };
        assert!(death.to_string().contains("at its deadline"), "{scenario}: {death}");
    }
    place.deadlines.read = Duration::from_secs(60);
    assert_eq!(place.content("/etc/hostname").unwrap(), b"old\n");
    let missing = place.folder().join("no-such-program");
    std::fs::write(&missing, "no program").unwrap();
    let account = Account::new(WORKER, GROUP).unwrap();
    let workers = Workers::new(Program::at(&missing).unwrap(), account, place.deadlines);
    let read = run(workers.read(place.device(), vec![path("/etc")], 100));
    assert!(matches!(read, Err(NotRead::NotStarted(_))), "{read:?}");
}
