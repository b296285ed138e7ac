//! The proof: a guest of a few bytes, started exactly as a VM is: network, walls, QEMU.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::causes::with_causes;
use crate::net::{Backend, Choice};
use crate::spawn::{Missing, Process};
use crate::vmm::{self, Accelerator, Files, Host, VmmSpec, console};

/// The guest, assembled from `proof_guest.s`.
const GUEST: &[u8] = include_bytes!("proof_guest.bin");
/// What the guest says.
const WORDS: &str = "banger: a guest runs";
/// Its command line, by which a fake knows it.
const APPEND: &str = "banger-doctor";
/// How long it may take: it needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a guest that was too fast is started anew.
const ATTEMPTS: usize = 3;

/// What came of it.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// Nobody asked for it.
    Skipped,
    /// There is no QEMU to try it with.
    Impossible,
    /// The guest ran.
    Ran {
        accelerator: Accelerator,
        network: Backend,
        /// Why it was not passt.
        notices: Vec<String>,
        walls: Vec<String>,
        took: Duration,
    },
    /// It did not.
    Failed { reason: String, log: String },
}

/// Starts the guest and waits until it has ended. Nothing of it stays.
pub(super) async fn run(host: Result<Host, Missing>, state: &Path, quick: bool) -> Proof {
    if quick {
        return Proof::Skipped;
    }
    let Ok(host) = host else { return Proof::Impossible };
    // In the owner's folder, where `gc` finds what a killed doctor leaves.
    let place = if state.is_dir() { state.to_owned() } else { std::env::temp_dir() };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let folder = match tempfile::Builder::new().prefix(".new-").tempdir_in(&place) {
            Ok(folder) => folder,
            Err(error) => return failed(&error, ""),
        };
        let files = Files::of(folder.path());
        let begun = Instant::now();
        match start(&host, folder.path(), &files).await {
            Ok(running) if has_spoken(&files) => {
                return Proof::Ran {
                    accelerator: running.accelerator,
                    network: running.network,
                    notices: running.notices,
                    walls: running.walls,
                    took: begun.elapsed(),
                };
            }
            Ok(_) => {
                return Proof::Failed {
                    reason: "the guest did not say what it should".to_owned(),
                    log: last_words(&files),
                };
            }
            // On a busy host the guest may be done before its VMM was asked how it is.
            Err(_) if has_spoken(&files) && attempt < ATTEMPTS => {}
            Err(error) => return failed(error.as_ref(), &last_words(&files)),
        }
    }
}

fn has_spoken(files: &Files) -> bool {
    console::tail(files, 50).contains(WORDS)
}

fn last_words(files: &Files) -> String {
    let vmm = console::tail_of(&files.vmm_log(), 4);
    if vmm.is_empty() { console::tail(files, 4) } else { vmm }
}

fn failed(error: &(dyn std::error::Error + 'static), log: &str) -> Proof {
    Proof::Failed { reason: with_causes(error), log: log.to_owned() }
}

/// Starts the VMM, waits for its end, and clears up.
async fn start(
    host: &Host,
    folder: &Path,
    files: &Files,
) -> Result<vmm::Running, Box<dyn std::error::Error>> {
    let kernel = folder.join("kernel");
    std::fs::write(&kernel, GUEST)?;
    let disk = |name: &str| -> io::Result<_> {
        let path = folder.join(name);
        File::create_new(&path)?.set_len(1 << 20)?;
        Ok(path)
    };
    let spec = VmmSpec {
        id: Uuid::new_v4(),
        directory: folder.to_owned(),
        kernel,
        initrd: None,
        append: APPEND.to_owned(),
        rootfs: vmm::Disk::File(disk("root")?),
        work_disk: disk("work")?,
        cpus: 1,
        memory_mib: 64,
        network: Choice::Automatic,
        publish: Vec::new(),
        shares: Vec::new(),
        kind: banger_proto::VmmKind::Qemu,
    };
    let running = vmm::start(host, &spec).await?;
    let ended = async {
        if let Some(vmm) = Process::find(&running.vmm)? {
            vmm.ended().await?;
        }
        io::Result::Ok(())
    };
    let waited = tokio::time::timeout(PATIENCE, ended).await;
    vmm::stop(&running, files, Duration::ZERO).await?;
    waited.map_err(|_| io::Error::other("the guest did not end in time"))??;
    Ok(running)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor/proof_guest.s");
        let (object, image) = (folder.path().join("guest.o"), folder.path().join("guest.bin"));
        let assembled = Command::new("as").args(["--64", "-o"]).args([&object, &source]).status();
        match assembled {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skip::skip("no assembler is installed");
                return;
            }
            status => assert!(status.unwrap().success()),
        }
        let flags = ["-m", "elf_x86_64", "-Ttext=0x100000", "--oformat", "binary", "-o"];
        let linked = Command::new("ld").args(flags).args([&image, &object]).status();
        assert!(linked.unwrap().success());
        assert_eq!(std::fs::read(image).unwrap(), GUEST);
    }
}
