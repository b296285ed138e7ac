//! An owner whose QEMU is a fake, and whose images are small.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_tests::owner::Owner;
use serde_json::Value;

/// An owner with a fake VMM.
pub struct Place {
    pub owner: Owner,
}

impl Place {
    /// A place; `None`, with the skip noted, where there can be none.
    pub fn new() -> Option<Self> {
        let owner = Owner::new()?;
        let place = Self { owner };
        let programs = place.programs();
        place.folder(&programs);
        place.program("qemu-system-x86_64", include_str!("fake-qemu.py"));
        // Without walls and without passt: a fake needs neither.
        for absent in ["bwrap", "passt"] {
            place.program(absent, "#!/bin/sh\necho 'not here' >&2\nexit 1\n");
        }
        place.mode("");
        place.folder(&place.owner.home().join(".config"));
        place.folder(&place.owner.home().join(".config/banger"));
        let list = format!("{}\n", programs.display());
        place.owner.write(&place.owner.home().join(".config/banger/programs"), list.as_bytes());
        Some(place)
    }

    /// A place with the image `tiny`.
    pub fn with_image() -> Option<Self> {
        let place = Self::new()?;
        place.import_tiny();
        Some(place)
    }

    /// Makes the image `tiny`.
    pub fn import_tiny(&self) {
        let tar = self.tar(&Tar::tiny());
        self.owner.ok(["image", "import", "tiny", tar.to_str().unwrap(), "--size", "64M"]);
    }

    /// Kills every `banger` of the owner's.
    pub fn kill_command_lines(&self) {
        for pid in self.owner.processes() {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.trim() == "banger" {
                self.kill(pid);
            }
        }
    }

    /// The folder of fakes.
    pub fn programs(&self) -> PathBuf {
        self.owner.home().join("programs")
    }

    fn folder(&self, path: &std::path::Path) {
        fs::create_dir_all(path).unwrap();
        self.owner.give(path);
    }

    /// Writes a fake.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.programs().join(name);
        self.owner.write(&path, text.as_bytes());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// What fakes that are started from now on do beyond the ordinary.
    pub fn mode(&self, words: &str) {
        self.owner.write(&self.programs().join("mode"), words.as_bytes());
    }

    /// What guests that are started from now on say on their consoles.
    pub fn console(&self, words: &str) {
        self.owner.write(&self.programs().join("console"), words.as_bytes());
    }

    /// Writes a tar file of the owner's.
    pub fn tar(&self, tar: &Tar) -> PathBuf {
        let path = self.owner.home().join("image.tar");
        self.owner.write(&path, &tar.0);
        path
    }

    /// Runs `banger`, which must fail, and gives what it said.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.owner.run(arguments);
        assert!(!output.status.success(), "banger {arguments:?} did not fail");
        String::from_utf8(output.stderr).unwrap()
    }

    /// What `vm inspect` says.
    pub fn vm(&self, name: &str) -> Value {
        let text = self.owner.ok(["vm", "inspect", "--json", name]);
        serde_json::from_str(&text).expect("inspect prints JSON")
    }

    /// The state of a VM.
    pub fn state(&self, name: &str) -> String {
        self.vm(name)["state"].as_str().expect("a VM has a state").to_owned()
    }

    /// Waits until a VM is in a state.
    pub fn wait_for(&self, name: &str, state: &str) {
        let begun = Instant::now();
        while self.state(name) != state {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{name} is {} and not {state}",
                self.vm(name)
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The process id of bangerd, when it runs.
    pub fn daemon(&self) -> Option<u32> {
        let text = fs::read_to_string(self.owner.state().join("bangerd.lock")).ok()?;
        let pid = text.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "bangerd").then_some(pid)
    }

    /// Kills bangerd as if by the kernel, and waits until it is gone.
    pub fn kill_daemon(&self) {
        let Some(pid) = self.daemon() else { return };
        self.kill(pid);
        while self.daemon() == Some(pid) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills a process of the owner's.
    pub fn kill(&self, pid: u32) {
        let _gone = Command::new("kill").args(["-KILL", &pid.to_string()]).output().unwrap();
    }

    /// The fake VMMs that run.
    pub fn vmms(&self) -> Vec<u32> {
        let runs = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("qemu-system-x86_64"))
        };
        self.owner.processes().into_iter().filter(runs).collect()
    }

    /// All that there is of the owner's: files but the daemon's log, what they take on the
    /// host in KiB, records and processes but the daemon. What is removed is freed in the
    /// background, and is waited for.
    pub fn traces(&self) -> (Vec<PathBuf>, u64, Vec<u32>) {
        assert!(self.leftovers().is_empty(), "{:?}", self.leftovers());
        let (mut files, mut kib) = (Vec::new(), 0);
        let mut open = vec![self.owner.state(), self.owner.images().with_file_name("")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    open.push(entry.path());
                } else if entry.file_name() != "bangerd.log" {
                    kib += metadata.blocks() / 2;
                    files.push(entry.path());
                }
            }
        }
        files.sort_unstable();
        let daemon = self.daemon();
        let others = self.owner.processes().into_iter().filter(|pid| Some(*pid) != daemon);
        (files, kib, others.collect())
    }

    /// Names of unfinished things anywhere below the state and data folders, when they
    /// stay: what is removed is freed in the background.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let begun = Instant::now();
        loop {
            let found = self.unfinished();
            if found.is_empty() || begun.elapsed() > Duration::from_secs(3) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Names of unfinished things there are now.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let images = self.owner.images();
        let mut open = vec![self.owner.state(), images.with_file_name("")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(".new-") || folder.ends_with("gone") {
                    found.push(entry.path());
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(entry.path());
                }
            }
        }
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let log = fs::read_to_string(self.owner.state().join("bangerd.log")).unwrap_or_default();
        let wrong = log.contains("an impossible transition");
        assert!(!wrong || std::thread::panicking(), "{log}");
    }
}

/// A tar in memory.
pub struct Tar(pub Vec<u8>);

impl Tar {
    /// What looks like a kernel to whoever looks at its first bytes.
    pub fn kernel(release: &str) -> Vec<u8> {
        let mut kernel = vec![0; 0x1000];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        kernel[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        kernel
    }

    /// A tar of these files, owned by 1000:1000.
    pub fn of(files: &[(&str, &[u8])]) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_uid(1000);
            header.set_gid(1000);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
            } else {
                header.set_mode(0o644);
            }
            // Not by append_data, which refuses what a hostile tar may hold.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        Self(builder.into_inner().unwrap())
    }

    /// A tiny root filesystem with two kernels.
    pub fn tiny() -> Self {
        let (old, new) = (Self::kernel("6.1.0-9"), Self::kernel("6.1.0-25"));
        Self::of(&[
            ("boot/", b""),
            ("boot/vmlinuz-6.1.0-9", &old),
            ("boot/initrd.img-6.1.0-9", b"the old initrd"),
            ("boot/vmlinuz-6.1.0-25", &new),
            ("boot/initrd.img-6.1.0-25", b"the new initrd"),
            ("etc/", b""),
            ("etc/fstab", b"# the image's own\n/dev/sda1 /home ext4 defaults 0 2\n"),
            ("etc/ssh/", b""),
            ("etc/ssh/sshd_config", b"PasswordAuthentication yes\n"),
            ("root/", b""),
            ("root/.profile", b"# of root\n"),
        ])
    }
}
