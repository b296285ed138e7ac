//! Real QEMU, bubblewrap and passt, with a guest that halts at once: seconds, no image.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::net::Choice;
use crate::spawn::{Finder, Process};
use crate::vmm::{Stopped, stop};

/// A VM whose kernel does nothing but halt, in a directory of its own.
fn vm(folder: &Path, network: Choice) -> VmmSpec {
    // passt, started as root, becomes nobody before it writes into the directory.
    // bangerd never is root, but who runs these tests may be.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(folder, Some(65534), None).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let kernel = folder.join("kernel");
    // Without the device that would end its QEMU, the probe's guest ends in a halt.
    fs::write(&kernel, include_bytes!("../kvm_guest.bin")).unwrap();
    for disk in ["rootfs", "work, disk"] {
        fs::write(folder.join(disk), [0; 4096]).unwrap();
    }
    VmmSpec {
        id: uuid::Uuid::from_u128(3),
        directory: folder.to_owned(),
        kernel,
        initrd: None,
        append: "quiet".into(),
        rootfs: crate::vmm::Disk::File(folder.join("rootfs")),
        work_disk: folder.join("work, disk"),
        cpus: 1,
        memory_mib: 64,
        network,
        publish: Vec::new(),
        shares: Vec::new(),
        kind: VmmKind::Qemu,
    }
}

async fn host(folder: &Path, finder: Finder) -> Host {
    let state = folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let mut host = Host::probe(finder, &state).await.unwrap();
    host.accelerator = Accelerator::Tcg;
    host
}

/// Programs without bubblewrap and passt.
fn qemu_alone(folder: &Path) -> Finder {
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).unwrap();
    let qemu = Finder::default().find(&crate::spawn::QEMU).unwrap();
    std::os::unix::fs::symlink(qemu, programs.join("qemu-system-x86_64")).unwrap();
    Finder::only(vec![programs])
}

/// No process has `word` on its command line any more.
async fn none_left(word: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left: Vec<_> = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(word))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_vm_runs_walled_and_its_network_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), Finder::default()).await;
    let spec = vm(folder.path(), Choice::Passt);
    let files = Files::of(folder.path());
    let running = start(&host, &spec).await.unwrap();
    let mut qmp = Qmp::connect(&files).await.unwrap();
    assert_eq!(qmp.status().await.unwrap(), "running");
    drop(qmp);

    assert_eq!(running.missing, [""; 0]);
    let walls = running.walls.join("\n");
    assert!(walls.contains("passt: its own seccomp sandbox"), "{walls}");
    for wall in ["user", "mount", "pid", "ipc", "net", "seccomp", "no_new_privs", "no capabilities"]
    {
        assert!(walls.contains(wall), "no {wall} among:\n{walls}");
    }
    // From inside: the VM's directory is not there, and nothing but what was given.
    let root = Path::new("/proc").join(running.vmm.pid.to_string()).join("root");
    let mut seen: Vec<_> = fs::read_dir(root.join("vm"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["console", "kernel", "line.in", "line.out", "root", "work"]);
    assert!(!root.join("home").exists() && !root.join("root").exists());
    assert!(!root.join(folder.path().strip_prefix("/").unwrap()).exists());
    assert!(fs::write(root.join("x"), "").is_err(), "its root is read-only");

    // Its command line is in a record that a restarted daemon reads again.
    let text = serde_json::to_string(&running).unwrap();
    let running: Running = serde_json::from_str(&text).unwrap();
    let network = Process::find(running.network_process.as_ref().unwrap()).unwrap().unwrap();
    let port = running.ssh_port.unwrap();
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();

    // It does not listen to its power button, so that it is killed at the deadline.
    let began = Instant::now();
    let stopped = stop(&running, &files, Duration::from_millis(300)).await.unwrap();
    assert_eq!(stopped, Stopped::Killed);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(network.has_ended());
    assert_eq!(stop(&running, &files, Duration::ZERO).await.unwrap(), Stopped::Already);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    none_left(&format!("banger-{}", spec.id)).await;
}

#[tokio::test]
async fn a_vmm_that_is_killed_takes_its_network_along() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), Finder::default()).await;
    let mut spec = vm(folder.path(), Choice::Passt);
    spec.id = uuid::Uuid::from_u128(4);
    let running = start(&host, &spec).await.unwrap();
    let network = Process::find(running.network_process.as_ref().unwrap()).unwrap().unwrap();
    Process::find(&running.vmm).unwrap().unwrap().kill().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), network.ended()).await.unwrap().unwrap();
    // What it left behind does not disturb the next start.
    let running = start(&host, &spec).await.unwrap();
    stop(&running, &Files::of(folder.path()), Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn without_bubblewrap_and_passt_it_runs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), qemu_alone(folder.path())).await;
    let mut spec = vm(folder.path(), Choice::Automatic);
    spec.id = uuid::Uuid::from_u128(5);
    let running = start(&host, &spec).await.unwrap();
    assert_eq!(running.network, Backend::Slirp);
    let notices = running.notices.join("\n");
    assert!(notices.contains("10.0.2.2") && notices.contains("install passt"), "{notices}");
    assert!(notices.contains("without namespaces of its own"), "{notices}");
    let walls = running.walls.join("\n");
    assert!(walls.contains("seccomp") && walls.contains("no_new_privs"), "{walls}");
    assert!(!walls.contains("namespaces"), "{walls}");
    std::net::TcpStream::connect(("127.0.0.1", running.ssh_port.unwrap())).unwrap();
    stop(&running, &Files::of(folder.path()), Duration::ZERO).await.unwrap();
    none_left(&format!("banger-{}", spec.id)).await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), Finder::default()).await;
    let mut spec = vm(folder.path(), Choice::Passt);
    spec.id = uuid::Uuid::from_u128(6);
    fs::write(&spec.kernel, "no kernel").unwrap();
    let error = start(&host, &spec).await.unwrap_err();
    assert!(matches!(&error, StartError::Ended { log } if log.contains("kernel")), "{error:?}");
    none_left(&format!("banger-{}", spec.id)).await;
    none_left(&folder.path().display().to_string()).await;

    spec.kernel = folder.path().join("missing");
    let error = start(&host, &spec).await.unwrap_err();
    assert!(matches!(&error, StartError::Ended { log } if log.contains("missing")), "{error:?}");
    none_left(&folder.path().display().to_string()).await;
}

#[tokio::test]
async fn a_start_that_is_broken_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), Finder::default()).await;
    let mut spec = vm(folder.path(), Choice::Passt);
    spec.id = uuid::Uuid::from_u128(8);
    for after in [5, 20, 40, 80] {
        let patience = Duration::from_millis(after);
        if let Ok(Ok(running)) = tokio::time::timeout(patience, start(&host, &spec)).await {
            stop(&running, &Files::of(folder.path()), Duration::ZERO).await.unwrap();
        }
        none_left(&format!("banger-{}", spec.id)).await;
        none_left(&folder.path().display().to_string()).await;
    }
}

#[tokio::test]
async fn a_disk_is_opened_by_one_vmm_only() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), Finder::default()).await;
    let mut spec = vm(folder.path(), Choice::Slirp);
    spec.id = uuid::Uuid::from_u128(9);
    let running = start(&host, &spec).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let second = VmmSpec {
        directory: other.path().to_owned(),
        id: uuid::Uuid::from_u128(10),
        ..spec.clone()
    };
    let error = start(&host, &second).await.unwrap_err();
    assert!(matches!(&error, StartError::Ended { log } if log.contains("lock")), "{error:?}");
    stop(&running, &Files::of(folder.path()), Duration::ZERO).await.unwrap();
}

/// A kernel that writes R on the serial line, and then back what it reads there.
fn echo() -> Vec<u8> {
    const LOAD: u32 = 0x10_0000;
    let (magic, flags) = (0x1bad_b002_u32, 0x1_0000_u32);
    let check = 0_u32.wrapping_sub(magic + flags);
    let header = [magic, flags, check, LOAD, LOAD, 0, LOAD + 0x1000, LOAD + 32];
    let mut kernel: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    kernel.extend([0xba, 0xf8, 0x03, 0, 0, 0xb0, b'R', 0xee]); // mov edx, 0x3f8; mov al, 'R'; out dx, al
    kernel.extend([0xba, 0xfd, 0x03, 0, 0]); // again: mov edx, 0x3fd
    kernel.extend([0xec, 0xa8, 0x01, 0x74, 0xf6]); // in al, dx; test al, 1; jz again
    kernel.extend([0xba, 0xf8, 0x03, 0, 0, 0xec, 0xee]); // mov edx, 0x3f8; in al, dx; out dx, al
    kernel.extend([0xeb, 0xed]); // jmp again
    kernel
}

#[tokio::test]
async fn the_console_is_logged_without_a_reader_and_takes_what_is_typed() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    for (number, finder) in [(11, Finder::default()), (12, qemu_alone(folder.path()))] {
        let host = host(folder.path(), finder).await;
        let mut spec = vm(folder.path(), Choice::None);
        spec.id = uuid::Uuid::from_u128(number);
        fs::write(&spec.kernel, echo()).unwrap();
        let files = Files::of(folder.path());
        let running = start(&host, &spec).await.unwrap();
        let written = async |words: &str| {
            let begun = Instant::now();
            while !fs::read(files.console()).unwrap().ends_with(words.as_bytes()) {
                let log = String::from_utf8_lossy(&fs::read(files.console()).unwrap()).into_owned();
                assert!(begun.elapsed() < Duration::from_secs(20), "no {words} in {log:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let type_in = |words: &str| {
            let mut line = File::options().write(true).open(files.console_input()).unwrap();
            line.write_all(words.as_bytes()).unwrap();
        };
        written("R").await;
        // Several may type, and go away again.
        for word in ["one", "two"] {
            type_in(word);
            written(word).await;
        }
        // Cut while it is written, the log goes on at its begin.
        console::trim(&files, 3).unwrap();
        type_in("three");
        written("three").await;
        assert_eq!(fs::read(files.console()).unwrap(), b"three");
        assert!(fs::read(files.console_before()).unwrap().ends_with(b"two"));
        stop(&running, &files, Duration::ZERO).await.unwrap();
    }
}
