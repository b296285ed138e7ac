//! The daemon's end: an image's kernel unpacked beside it, once, and made again when absent.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{Code, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::worker::{ARGUMENT, INITRD, Told};
use crate::spawn::{Attempt, Launch};
use crate::store::ImageFiles;
use crate::verb::{OnHost, blocking};

/// How long a worker may take. A kernel takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of what it says that are read.
const LONGEST: u64 = 64 << 10;
/// Name of a kernel that is not whole yet. There is one at most, whatever is killed.
const UNFINISHED: &str = ".new-vmlinux";

/// One kernel is unpacked at a time.
#[derive(Debug, Default)]
pub(crate) struct Bench(Mutex<()>);

/// What is known of a kernel that is unpacked; it stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unpacked {
    /// It, or its initial RAM disk, finds devices where a VMM without PCI has them.
    pub(crate) mmio: bool,
}

impl Unpacked {
    /// What an earlier time left.
    pub(crate) fn of(image: &ImageFiles) -> Option<Self> {
        let text = fs::read(image.vmlinux_facts()).ok()?;
        let known = serde_json::from_slice(&text).ok()?;
        image.vmlinux().is_file().then_some(known)
    }
}

/// Unpacks the kernel of an image, unless that was done.
///
/// # Errors
/// [`Code::FailedPrecondition`] for a kernel that cannot be unpacked; nothing is kept of it.
pub(crate) async fn prepare(
    bench: &Bench,
    image: &ImageFiles,
    has_initrd: bool,
) -> Result<Unpacked, Refusal> {
    let _alone = bench.0.lock().await;
    if let Some(unpacked) = Unpacked::of(image) {
        return Ok(unpacked);
    }
    let new = image.directory().join(UNFINISHED);
    let done = unpack(image, has_initrd, &new).await;
    if done.is_err() {
        let _never_made = fs::remove_file(&new);
    }
    done
}

async fn unpack(image: &ImageFiles, has_initrd: bool, new: &Path) -> Result<Unpacked, Refusal> {
    let kernel = File::open(image.kernel()).on_host("read the image's kernel")?;
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).on_host("remove a kernel that is not whole");
        }
        _ => {}
    }
    let output = private(new).on_host("make the unpacked kernel")?;
    let kept = output.try_clone().on_host("make the unpacked kernel")?;
    let mut launch = Launch::this_program("bangerd")
        .arguments([ARGUMENT])
        .stdin(kernel)
        .stdout(output)
        .stderr(Stdio::piped());
    if has_initrd {
        let initrd = File::open(image.initrd()).on_host("read the image's initial RAM disk")?;
        launch = launch.descriptor(INITRD, initrd.into());
    }
    let started = launch.start().map_err(|error| Refusal::from_error(Code::Internal, &error))?;
    let mut worker = Attempt { started, succeeded: false };
    let mmio = tokio::time::timeout(PATIENCE, hear(&mut worker))
        .await
        .unwrap_or_else(|_| Err(odd("it did not end in time".to_owned())))?;
    worker.succeeded = true;
    let (image, new) = (image.clone(), new.to_owned());
    let unpacked = Unpacked { mmio };
    blocking(move || finish(&image, &new, &kept, unpacked).on_host("keep the unpacked kernel"))
        .await?;
    Ok(unpacked)
}

fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Gives it its name when it is whole, and only then what says that it is there.
fn finish(image: &ImageFiles, new: &Path, kernel: &File, unpacked: Unpacked) -> io::Result<()> {
    let facts = image.directory().join(".new-vmlinux.json");
    kernel.sync_all()?;
    fs::rename(new, image.vmlinux())?;
    fs::write(&facts, serde_json::to_vec(&unpacked)?)?;
    fs::rename(facts, image.vmlinux_facts())
}

/// What the worker ended with.
async fn hear(worker: &mut Attempt) -> Result<bool, Refusal> {
    use tokio::io::AsyncReadExt;
    let mut said = Vec::new();
    if let Some(stderr) = worker.started.child.stderr.take() {
        let read = stderr.take(LONGEST).read_to_end(&mut said).await;
        read.on_host("hear who unpacks the kernel")?;
    }
    let status = worker.started.child.wait().await.on_host("wait for the kernel")?;
    match serde_json::from_slice(&said) {
        Ok(Told::Done { bytes, mmio, missing }) if status.success() => {
            tracing::info!(bytes, mmio, ?missing, "unpacked a kernel");
            Ok(mmio)
        }
        Ok(Told::Failed { chain, by_host: false }) => {
            let refusal = Refusal::new(
                Code::FailedPrecondition,
                "the image's kernel is none that Firecracker starts",
            );
            Err(Refusal { chain, ..refusal }.hint("run it with QEMU: banger create --vmm qemu"))
        }
        Ok(Told::Failed { chain, .. }) => Err(Refusal {
            chain,
            ..Refusal::new(Code::Internal, "the image's kernel cannot be unpacked")
        }),
        _ => Err(odd(format!("who unpacks it ended with {status}"))),
    }
}

fn odd(reason: String) -> Refusal {
    let refusal = Refusal::new(Code::Internal, "the image's kernel cannot be unpacked");
    Refusal { chain: vec![reason], ..refusal }.hint("where does the image come from?")
}
