//! Real bubblewrap around a program that speaks as Firecracker does.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::initrd::INIT;
use crate::spawn::{Finder, Process};
use crate::store::ImageFiles;
use crate::vmm::{Disk, Stopped, stop};

const FAKE: &str = include_str!("../../../../../tests/flow/fake-firecracker.py");

struct Place {
    folder: tempfile::TempDir,
    host: Host,
}

impl Place {
    /// A host with KVM and a fake; none where bubblewrap does not work.
    async fn new() -> Option<Self> {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let fake = programs.join("firecracker");
        fs::write(&fake, FAKE).unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        let finder = Finder::default().preferring(vec![programs]);
        let walls = Walls::probe(&finder).await;
        if !matches!(walls, Walls::Bubblewrap { .. }) || !Path::new("/dev/kvm").exists() {
            crate::skip::skip("neither bubblewrap nor /dev/kvm may be missing");
            return None;
        }
        let place = Self { folder, host: Host::of(finder, Accelerator::Kvm, walls) };
        place.mode("");
        Some(place)
    }

    fn mode(&self, words: &str) {
        fs::write(self.folder.path().join("programs/mode"), words).unwrap();
    }

    fn files(&self) -> Files {
        Files::of(self.folder.path())
    }

    fn spec(&self) -> VmmSpec {
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("vmlinux"), b"\x7fELF").unwrap();
        for disk in ["root", "work"] {
            fs::write(at(disk), [0; 4096]).unwrap();
        }
        VmmSpec {
            kind: VmmKind::Firecracker,
            id: uuid::Uuid::from_u128(5),
            directory: self.folder.path().to_owned(),
            kernel: at("vmlinux"),
            initrd: None,
            append: "quiet".into(),
            rootfs: Disk::File(at("root")),
            work_disk: at("work"),
            cpus: 1,
            memory_mib: 64,
            network: Choice::None,
            publish: Vec::new(),
            shares: Vec::new(),
        }
    }

    /// Waits until the console holds `text`.
    async fn console_says(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let said = console::text(&self.files());
            if said.contains(text) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no {text} in {said}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_vm_runs_walled_and_ends_when_it_is_asked() {
    let Some(place) = Place::new().await else { return };
    let running = crate::vmm::start(&place.host, &place.spec()).await.unwrap();
    assert_eq!((running.kind, running.ssh_port), (VmmKind::Firecracker, None));
    let walls = running.walls.join("\n");
    for wall in ["user", "mount", "pid", "ipc", "net", "no_new_privs", "no capabilities"] {
        assert!(walls.contains(wall), "no {wall} among:\n{walls}");
    }
    // A fake has no filters of its own, and that is said.
    assert_eq!(running.missing, ["Firecracker's own seccomp filters"]);
    let root = Path::new("/proc").join(running.vmm.pid.to_string()).join("root");
    let mut seen: Vec<_> = fs::read_dir(root.join("vm"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["configuration.json", "kernel", "log", "root", "sockets", "work"]);
    assert!(fs::write(root.join("x"), "").is_err(), "its root is read-only");
    assert!(!root.join("home").exists() && !root.join("etc/passwd").exists());

    let mut typed = File::options().write(true).open(place.files().console_input()).unwrap();
    typed.write_all(b"hello\n").unwrap();
    place.console_says("<hello>").await;

    // Its record is read again by a daemon that was started anew.
    let text = serde_json::to_string(&running).unwrap();
    let running: Running = serde_json::from_str(&text).unwrap();
    let stopped = stop(&running, &place.files(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(stopped, Stopped::Orderly);
    place.console_says("reboot: Restarting system").await;
    assert!(!place.files().sockets().exists() && !place.files().configuration().exists());
}

#[tokio::test]
async fn a_guest_has_the_initial_ram_disk_that_was_made_for_it() {
    let Some(place) = Place::new().await else { return };
    let image = ImageFiles::in_directory(place.folder.path());
    let spec = VmmSpec { initrd: Some(image.vmlinux_initrd()), ..place.spec() };
    let content = [b"070701 modules/virtio_mmio.ko ", INIT].concat();
    fs::write(image.vmlinux_initrd(), &content).unwrap();
    let running = crate::vmm::start(&place.host, &spec).await.unwrap();
    let told = fs::read_to_string(place.files().configuration()).unwrap();
    assert!(told.contains(r#""initrd_path":"/vm/initrd""#), "{told}");
    let has = format!("/vm/initrd of {} bytes, with virtio_mmio.ko banger-init", content.len());
    place.console_says(&has).await;
    let stopped = stop(&running, &place.files(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(stopped, Stopped::Orderly);
}

#[tokio::test]
async fn one_that_does_not_listen_is_killed_at_the_deadline() {
    let Some(place) = Place::new().await else { return };
    place.mode("deaf");
    let running = crate::vmm::start(&place.host, &place.spec()).await.unwrap();
    let begun = Instant::now();
    let stopped = stop(&running, &place.files(), Duration::from_millis(300)).await.unwrap();
    assert_eq!(stopped, Stopped::Killed);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(Process::find(&running.vmm).unwrap().is_none());
}

#[tokio::test]
async fn one_that_ends_at_once_is_told_with_its_words() {
    let Some(place) = Place::new().await else { return };
    place.mode("ends-at-once");
    let error = crate::vmm::start(&place.host, &place.spec()).await.unwrap_err();
    let StartError::Ended { log } = error else { panic!("{error:?}") };
    assert_eq!(log, "Error: the fake was told to end");
    place.mode("");
    let spec = place.spec();
    fs::write(&spec.kernel, "no kernel").unwrap();
    let error = crate::vmm::start(&place.host, &spec).await.unwrap_err();
    let StartError::Ended { log } = error else { panic!("{error:?}") };
    assert!(log.contains("failed to load"), "{log}");
}

#[tokio::test]
async fn what_it_cannot_run_is_not_started() {
    let Some(place) = Place::new().await else { return };
    let refused = async |host: &Host, spec: &VmmSpec| {
        let error = crate::vmm::start(host, spec).await.unwrap_err();
        let StartError::Unfit { reason } = error else { panic!("{error:?}") };
        reason
    };
    let spec = place.spec();
    let walls = place.host.walls.clone();
    let finder = place.host.finder.clone();
    let emulated = Host::of(finder.clone(), Accelerator::Tcg, walls);
    assert!(refused(&emulated, &spec).await.contains("KVM"));
    let bare = Host::of(finder, Accelerator::Kvm, Walls::Bare("it is missing".into()));
    assert!(refused(&bare, &spec).await.contains("bubblewrap only, and it is missing"));
    let others = [
        VmmSpec { network: Choice::Automatic, ..spec.clone() },
        VmmSpec { cpus: 33, ..spec.clone() },
    ];
    for other in others {
        assert!(refused(&place.host, &other).await.starts_with("Firecracker has no"));
    }
    place.mode("version=1.14.3");
    assert!(refused(&place.host, &spec).await.contains("CVE-2026-5747"));
}
