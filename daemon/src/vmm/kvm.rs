//! Whether KVM really runs a guest.
//!
//! That `/dev/kvm` can be opened proves little: under some nested hypervisors it
//! opens, answers, and stops at the first instruction that its emulator does not
//! know. So a small guest is run (`kvm_guest.s`): it enters 64-bit mode, does
//! what kernels do early, and ends QEMU with a code that nothing else ends it with.
//! The answer is remembered for this run of the kernel and this QEMU.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::spec::Accelerator;
use crate::spawn::{Finder, Launch, ProcessId, QEMU};

/// The guest, assembled from `kvm_guest.s`.
const GUEST: &[u8] = include_bytes!("kvm_guest.bin");
/// What QEMU ends with when the guest says that all went well: 2 * 0x2a + 1.
const WELL: i32 = 85;
/// How long the guest may take. It needs a fifth of a second even when emulated; QEMU itself needs
/// seconds on a host that is emulated.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the answer is remembered, in the state directory.
const REMEMBERED: &str = "kvm-probe.json";

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Guests run.
    Works,
    /// They do not, for this reason.
    Fails(String),
}

/// An answer and what it holds for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    key: Key,
    verdict: Verdict,
}

/// Another kernel, another start of the machine or another QEMU ask anew.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    kernel_release: String,
    boot_id: String,
    qemu: std::path::PathBuf,
    qemu_inode: u64,
    qemu_size: u64,
    qemu_modified: i64,
}

impl Key {
    fn now(qemu: &Path) -> io::Result<Self> {
        let file = fs::metadata(qemu)?;
        Ok(Self {
            kernel_release: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            boot_id: ProcessId::boot_id()?,
            qemu: qemu.to_owned(),
            qemu_inode: file.ino(),
            qemu_size: file.size(),
            qemu_modified: file.mtime(),
        })
    }
}

/// Says whether KVM runs guests, from memory where it was tried before.
///
/// Whether this user may open `/dev/kvm` is asked every time and not remembered, and
/// neither is a guest that did not end in time.
/// An answer that cannot be remembered is given all the same.
pub async fn probe(finder: &Finder, state: &Path) -> Verdict {
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/kvm") {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied {
            "; to use it, join its group: sudo usermod -aG kvm $USER, then log in again"
        } else {
            ""
        };
        return Verdict::Fails(format!("/dev/kvm cannot be opened: {error}{hint}"));
    }
    let key = finder.find(&QEMU).ok().and_then(|qemu| Key::now(&qemu).ok());
    let file = state.join(REMEMBERED);
    let remembered =
        fs::read(&file).ok().and_then(|b| serde_json::from_slice::<Remembered>(&b).ok());
    if let (Some(key), Some(remembered)) = (&key, remembered)
        && remembered.key == *key
    {
        return remembered.verdict;
    }
    let outcome = run_guest(finder, Accelerator::Kvm, state).await;
    let lasting = !matches!(outcome, Err(Failure::NoEnd | Failure::Probe(_)));
    let verdict = match outcome {
        Ok(()) => Verdict::Works,
        Err(failure) => Verdict::Fails(failure.to_string()),
    };
    if lasting
        && let Some(key) = key
        && let Err(error) = remember(state, &file, &Remembered { key, verdict: verdict.clone() })
    {
        tracing::warn!(%error, "the answer of the KVM probe cannot be remembered");
    }
    verdict
}

/// Says whether KVM runs guests now: tried, and not remembered.
pub async fn try_now(finder: &Finder, state: &Path) -> Verdict {
    match run_guest(finder, Accelerator::Kvm, state).await {
        Ok(()) => Verdict::Works,
        Err(failure) => Verdict::Fails(failure.to_string()),
    }
}

fn remember(state: &Path, file: &Path, answer: &Remembered) -> io::Result<()> {
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(state)?;
    serde_json::to_writer(&mut new, answer)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// Why the guest did not end well.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// QEMU said so, or ended otherwise.
    #[error("a guest does not run: {0}")]
    Guest(String),
    /// It was not heard of again. The host may just have been busy.
    #[error("a guest does not end within {} s", PATIENCE.as_secs())]
    NoEnd,
    /// Nothing was tried.
    #[error("the probe could not run: {0}")]
    Probe(String),
}

/// Runs the guest once.
async fn run_guest(finder: &Finder, accelerator: Accelerator, state: &Path) -> Result<(), Failure> {
    let said = |error: &dyn std::fmt::Display| Failure::Probe(error.to_string());
    // In the owner's folder, where what a killed daemon leaves is found.
    let folder = if state.is_dir() { state.to_owned() } else { std::env::temp_dir() };
    let mut image =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(|e| said(&e))?;
    image.write_all(GUEST).map_err(|e| said(&e))?;
    let processor = match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => "max",
    };
    let mut started = Launch::new(&QEMU, finder)
        .map_err(|e| said(&e))?
        .arguments(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arguments(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny"])
        .arguments(["-machine", "q35", "-m", "32M", "-cpu", processor])
        .arguments(["-accel", accelerator.name()])
        .arguments(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-kernel"])
        .arguments([image.path()])
        .stderr(Stdio::piped())
        .start()
        .map_err(|e| said(&e))?;
    let mut lines = started.child.stderr.take().map(|pipe| BufReader::new(pipe).lines());
    // QEMU pauses a guest that KVM cannot run, and says why; there is nothing to wait for then.
    let mut first = None;
    let complaint = async {
        while let Some(lines) = &mut lines
            && let Ok(Some(line)) = lines.next_line().await
        {
            if line.contains("KVM internal error") {
                return;
            }
            first.get_or_insert(line);
        }
        // It said all it had to say: its end is what counts.
        std::future::pending::<()>().await;
    };
    let status = tokio::select! {
        status = started.child.wait() => Ok(status),
        () = complaint => {
            let reason = first.take().unwrap_or_else(|| "it stops at an ordinary instruction".into());
            Err(Failure::Guest(reason))
        }
        () = tokio::time::sleep(PATIENCE) => Err(Failure::NoEnd),
    };
    match status {
        Ok(Ok(status)) if status.code() == Some(WELL) => Ok(()),
        Ok(Ok(status)) => Err(Failure::Guest(first.unwrap_or(status.to_string()))),
        Ok(Err(error)) => Err(said(&error)),
        Err(failure) => {
            // Taking a KVM guest apart may take as long again; it is not waited for.
            let _gone = started.process.signal(Signal::KILL);
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn the_guest_ends_well_where_its_instructions_are_executed() {
        run_guest(&Finder::default(), Accelerator::Tcg, Path::new("/nonexistent")).await.unwrap();
    }

    #[tokio::test]
    async fn the_answer_is_remembered_and_forgotten_with_another_kernel_run() {
        let state = tempfile::tempdir().unwrap();
        let finder = Finder::default();
        // On a busy machine starting QEMU takes its time too.
        let patience = PATIENCE + Duration::from_secs(5);
        let verdict = tokio::time::timeout(patience, probe(&finder, state.path())).await.unwrap();
        let file = state.path().join(REMEMBERED);
        if let Verdict::Fails(reason) = &verdict
            && (reason.contains("cannot be opened") || reason.contains("does not end within"))
        {
            assert!(!file.exists(), "what may change is not remembered: {reason}");
            return;
        }
        let mut remembered: Remembered = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(remembered.verdict, verdict);
        let other = Verdict::Fails("made up".into());
        remembered.verdict = other.clone();
        remember(state.path(), &file, &remembered).unwrap();
        assert_eq!(probe(&finder, state.path()).await, other, "it comes from memory");
        remembered.key.boot_id = "another".into();
        remember(state.path(), &file, &remembered).unwrap();
        // Not compared with the first answer: a busy host gives its reason in other words.
        assert_ne!(probe(&finder, state.path()).await, other, "it was asked anew");
    }

    #[test]
    fn the_bytes_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vmm/kvm_guest.s");
        let object = folder.path().join("guest.o");
        let image = folder.path().join("guest.bin");
        let run = |program: &str, arguments: &[&str], last: &[&Path]| {
            Command::new(program).args(arguments).args(last).status()
        };
        match run("as", &["--64", "-o"], &[&object, &source]) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skip::skip("no assembler is installed");
                return;
            }
            status => assert!(status.unwrap().success()),
        }
        let flags = ["-m", "elf_x86_64", "-Ttext=0x100000", "--oformat", "binary", "-o"];
        assert!(run("ld", &flags, &[&image, &object]).unwrap().success());
        assert_eq!(fs::read(image).unwrap(), GUEST);
    }
}
