//! What a worker has, as the kernel tells it, and what becomes of one that tries for more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_roothelper::worker::{Death, NotRead};

use super::place::{GROUP, Place, WORKER, path, run, small_filesystem};

/// The number of the system call filter's verdict.
const SIGSYS: i32 = 31;

/// Processes whose parent this is and that shut themselves in, once there are some.
fn confined_children_of(parent: u32) -> Vec<u32> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found: Vec<u32> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| {
                let status = status(pid).unwrap_or_default();
                status.get("PPid") == Some(&parent.to_string())
                    && status.get("Seccomp").is_some_and(|mode| mode == "2")
            })
            .collect();
        if !found.is_empty() || Instant::now() > end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn status(pid: u32) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Some(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

/// Looks at a worker that is held behind its walls.
fn look_at_one_that(waits: &Place, writes: bool, look: impl FnOnce(u32)) {
    let workers = waits.workers("wait");
    run(async {
        let device = waits.device();
        let asked = tokio::spawn(async move {
            if writes {
                let batch = vec![super::place::file("/etc/hostname", "new\n")];
                drop(workers.write(device, batch).await);
            } else {
                drop(workers.read(device, vec![path("/etc")], 100).await);
            }
        });
        // The worker begins when this task waits for the first time.
        tokio::task::yield_now().await;
        let own = std::process::id();
        let found = tokio::task::spawn_blocking(move || confined_children_of(own)).await.unwrap();
        let &[worker] = &found[..] else { panic!("workers: {found:?}") };
        look(worker);
        let pid = rustix::process::Pid::from_raw(worker.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        asked.await.unwrap();
    });
}

#[test]
fn a_worker_has_its_device_and_nothing_else() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    for writes in [false, true] {
        look_at_one_that(&place, writes, |pid| {
            let status = status(pid).unwrap();
            let is = |name: &str, value: &str| {
                assert_eq!(
                    status[name].split_whitespace().collect::<Vec<_>>().join(" "),
                    value,
                    "{name}"
                );
            };
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                is(set, "0000000000000000");
            }
            is("Uid", &[WORKER; 4].map(|id| id.to_string()).join(" "));
            is("Gid", &[GROUP; 4].map(|id| id.to_string()).join(" "));
            is("Groups", "");
            is("NoNewPrivs", "1");
            is("Seccomp", "2");
            is("Threads", "1");
            is("Umask", "0777");
            is("Name", "banger-worker");
            // What belongs to one that is not dumpable is root's.
            let of = fs::metadata(format!("/proc/{pid}/mem")).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&of), 0, "it is not dumpable");
            let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
            assert_eq!(score.trim(), "1000");
            assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
            assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
            let open = |number: u32| {
                let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
                link.to_string_lossy().into_owned()
            };
            let numbers: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert_eq!(numbers.into_iter().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
            assert!(open(0).starts_with("socket:"), "{}", open(0));
            assert_eq!((open(1), open(2)), ("/dev/null".to_owned(), "/dev/null".to_owned()));
            assert_eq!(open(3), place.image().to_string_lossy());
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/3")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert_eq!(flags & 3, if writes { 2 } else { 0 }, "read alone, or both: {flags:o}");
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let limit = |name: &str| {
                let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
                let soft = line[name.len()..].split_whitespace().next().unwrap();
                soft.parse::<u64>().unwrap()
            };
            let size = place.image().metadata().unwrap().len();
            assert_eq!(limit("Max file size"), if writes { size } else { 0 });
            assert_eq!(limit("Max open files"), 4);
            assert_eq!(limit("Max processes"), 0);
            assert_eq!(limit("Max core file size"), 0);
            assert_eq!(limit("Max address space"), 128 << 20);
            assert_eq!(limit("Max cpu time"), 62);
        });
    }
    assert_eq!(place.content("/etc/hostname").unwrap(), b"old\n");
}

#[test]
fn whoever_tries_for_more_is_ended_by_the_kernel() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let before = fs::read(place.image()).unwrap();
    for attack in [
        "open",
        "list",
        "make",
        "exec",
        "thread",
        "socket",
        "ioctl",
        "signal",
        "user",
        "duplicate",
        "seek",
        "read-the-socket-as-a-file",
        "write-the-device",
        "flush-the-device",
        "sleep",
    ] {
        let read = run(place.workers(attack).read(place.device(), vec![path("/etc")], 100));
        assert!(matches!(read, Err(NotRead::Died(Death::Signal(SIGSYS)))), "{attack}: {read:?}");
    }
    assert!(before == fs::read(place.image()).unwrap(), "nothing was written");
    assert!(!std::path::Path::new("/tmp/banger-worker-was-here").exists());
}

/// Started by the test below, in a process of its own, which is killed.
#[test]
fn as_a_parent_that_is_killed() {
    let Some(folder) = std::env::var_os("BANGER_TEST_WORKERS_PARENT") else { return };
    let place = Place::new(&small_filesystem(|_| {}));
    let workers = place.workers("wait");
    fs::write(std::path::Path::new(&folder).join("image"), place.image().to_str().unwrap())
        .unwrap();
    drop(run(workers.read(place.device(), vec![path("/etc")], 100)));
}

#[test]
fn a_worker_dies_with_its_parent() {
    as_root!();
    let folder = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let mut parent = Command::new(own)
        .args(["--exact", "worker::walls::as_a_parent_that_is_killed", "--nocapture"])
        .env("BANGER_TEST_WORKERS_PARENT", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let workers = confined_children_of(parent.id());
    assert_eq!(workers.len(), 1, "it runs");
    parent.kill().unwrap();
    parent.wait().unwrap();
    let gone = || status(workers[0]).is_none_or(|status| status["State"].starts_with('Z'));
    let end = Instant::now() + Duration::from_secs(20);
    while !gone() {
        assert!(Instant::now() < end, "it lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Its parent did not live to tidy up.
    let image = fs::read_to_string(folder.path().join("image")).unwrap();
    fs::remove_dir_all(std::path::Path::new(&image).parent().unwrap()).unwrap();
}

#[test]
fn a_worker_leaves_no_descriptor_and_no_process() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (good, bad) = (place.workers("good"), place.workers("panic"));
    let device = place.device();
    run(async {
        let ask = async || {
            assert!(good.read(device.clone(), vec![path("/etc/hostname")], 100).await.is_ok());
            assert!(bad.read(device.clone(), vec![path("/etc/hostname")], 100).await.is_err());
        };
        ask().await;
        let before = open();
        for _ in 0..20 {
            ask().await;
        }
        assert_eq!(open(), before);
    });
    let own = std::process::id().to_string();
    let children = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| status(pid).is_some_and(|status| status["PPid"] == own));
    assert_eq!(children.count(), 0);
}

/// Started by the test below, by an ordinary user.
#[test]
fn as_somebody_without_rights() {
    if std::env::var_os("BANGER_TEST_WORKERS_WITHOUT_ROOT").is_none() {
        return;
    }
    let place = Place::new(&small_filesystem(|_| {}));
    let read = run(place.workers("good").read(place.device(), vec![path("/etc")], 100));
    let Err(NotRead::NotShutIn(chain)) = read else { panic!("{read:?}") };
    println!("not shut in: {chain:?}");
}

#[test]
fn a_worker_that_cannot_be_shut_in_looks_at_nothing() {
    as_root!();
    // The build may lie where only root can read.
    let folder = tempfile::tempdir().unwrap();
    let (deps, examples) = (folder.path().join("deps"), folder.path().join("examples"));
    for made in [&deps, &examples] {
        fs::create_dir(made).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(std::path::Path::parent).unwrap().join("examples");
    let name = "worker-under-test";
    fs::copy(built.join(name), examples.join(name)).unwrap();
    fs::copy(own, deps.join("root")).unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new(deps.join("root"))
        .args(["--exact", "worker::walls::as_somebody_without_rights", "--nocapture"])
        .env("BANGER_TEST_WORKERS_WITHOUT_ROOT", "1")
        .current_dir("/")
        .uid(WORKER + 7)
        .gid(GROUP + 7)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("not shut in: [\"cannot empty the bounding set\""), "{output:?}");
}
