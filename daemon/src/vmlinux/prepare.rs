//! The daemon's end: an image's kernel unpacked beside it with what it needs, once, and made again when absent
//! or when what it is made from has changed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{Code, Refusal};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::boots::{Boots, boots};
use super::worker::{ARGUMENT, INITRD, MADE, ROOTFS, Told};
use crate::context::Context;
use crate::initrd::INIT;
use crate::spawn::{Attempt, Launch};
use crate::store::{Claim, ImageFiles, OwnInitrd};
use crate::verb::{OnHost, blocking};

/// How long a worker may take. A kernel takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of what it says that are read.
const LONGEST: u64 = 64 << 10;
/// Names of what is not whole yet. There is one of each at most, whatever is killed.
const UNFINISHED: [&str; 3] = [".new-vmlinux", ".new-vmlinux.initrd", ".new-vmlinux.json"];
/// Another one for each change in how either is made.
const MANNER: &[u8] = b"1";

/// One kernel is unpacked at a time.
#[derive(Debug, Default)]
pub(crate) struct Bench(Mutex<()>);

/// What is known of a kernel that is unpacked; it stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unpacked {
    /// What it is made from.
    made_from: String,
    /// How it comes to find its disks.
    boots: Boots,
}

impl Unpacked {
    /// What an earlier time left, when it would be the same now.
    pub(crate) fn of(image: &ImageFiles, own: OwnInitrd) -> Option<Self> {
        let known = Self::read(image)?;
        let is_whole = image.vmlinux().is_file()
            && (known.boots != Boots::Made || image.vmlinux_initrd().is_file());
        (is_whole && sources(image, own).is_ok_and(|now| now == known.made_from)).then_some(known)
    }

    fn read(image: &ImageFiles) -> Option<Self> {
        serde_json::from_slice(&fs::read(image.vmlinux_facts()).ok()?).ok()
    }

    /// The files of an image that an earlier time made, and that are in use.
    pub(crate) fn files(image: &ImageFiles) -> Vec<PathBuf> {
        let made = Self::read(image).is_some_and(|known| known.boots == Boots::Made);
        let initrd = made.then(|| image.vmlinux_initrd());
        [image.vmlinux(), image.vmlinux_facts()].into_iter().chain(initrd).collect()
    }

    /// Why a guest with this kernel would not find its disks, when that is so.
    pub(crate) fn trouble(&self) -> Option<&str> {
        if let Boots::Not(why) = &self.boots { Some(why) } else { None }
    }

    /// The initial RAM disk that it is started with, where there is one.
    ///
    /// # Errors
    /// [`Code::FailedPrecondition`] where it would not find its disks.
    pub(crate) fn initrd(&self, image: &ImageFiles) -> Result<Option<PathBuf>, Refusal> {
        match &self.boots {
            Boots::Alone => Ok(None),
            Boots::Made => Ok(Some(image.vmlinux_initrd())),
            Boots::Own => Ok(Some(image.initrd())),
            Boots::Not(why) => {
                let message = "the guest would not find its disks under Firecracker";
                let refusal = Refusal::new(Code::FailedPrecondition, message);
                Err(Refusal { chain: vec![why.clone()], ..refusal }
                    .hint("make a VM that runs with QEMU: banger create --vmm qemu"))
            }
        }
    }
}

/// Unpacks the kernel of an image and makes what it needs, unless that was done.
///
/// # Errors
/// [`Code::FailedPrecondition`] for a kernel that cannot be unpacked; nothing is kept of it.
pub(crate) async fn prepare(
    context: &Context,
    image: &ImageFiles,
    own: OwnInitrd,
) -> Result<Unpacked, Refusal> {
    let _alone = context.bench.0.lock().await;
    if let Some(unpacked) = Unpacked::of(image, own) {
        return Ok(unpacked);
    }
    let new = New::begin(context, image);
    unpack(image, own, new).await
}

/// What is being made, under names that are not its last. What is left of it goes with it.
struct New {
    kernel: PathBuf,
    initrd: PathBuf,
    facts: PathBuf,
    _claims: Vec<Claim>,
}

impl New {
    fn begin(context: &Context, image: &ImageFiles) -> Self {
        let [kernel, initrd, facts] = UNFINISHED.map(|name| image.directory().join(name));
        let claims = context.images.claims();
        let claimed = [&kernel, &initrd, &facts].map(|path| claims.claim(path));
        Self { kernel, initrd, facts, _claims: claimed.into() }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        for path in [&self.kernel, &self.initrd, &self.facts] {
            let _has_its_name = fs::remove_file(path);
        }
    }
}

/// Files that a worker writes.
struct Outputs {
    kernel: File,
    initrd: File,
}

async fn unpack(image: &ImageFiles, own: OwnInitrd, new: New) -> Result<Unpacked, Refusal> {
    // Before any of them is read: what changes from then on is seen the next time.
    let made_from = sources(image, own).on_host("look at the image's files")?;
    let open = |path: PathBuf, what| File::open(path).on_host(what);
    let kernel = open(image.kernel(), "read the image's kernel")?;
    let rootfs = open(image.rootfs(), "read the image's root filesystem")?;
    let outputs = Outputs {
        kernel: private(&new.kernel).on_host("make the unpacked kernel")?,
        initrd: private(&new.initrd).on_host("make the initial RAM disk")?,
    };
    let again = |file: &File| file.try_clone().on_host("make the unpacked kernel");
    let mut launch = Launch::this_program("bangerd")
        .arguments([ARGUMENT])
        .stdin(kernel)
        .stdout(again(&outputs.kernel)?)
        .stderr(Stdio::piped())
        .descriptor(ROOTFS, rootfs.into())
        .descriptor(MADE, again(&outputs.initrd)?.into());
    if own != OwnInitrd::None {
        let initrd = open(image.initrd(), "read the image's initial RAM disk")?;
        launch = launch.descriptor(INITRD, initrd.into());
    }
    let started = launch.start().map_err(|error| Refusal::from_error(Code::Internal, &error))?;
    let mut worker = Attempt { started, succeeded: false };
    let boots = tokio::time::timeout(PATIENCE, hear(&mut worker, own))
        .await
        .unwrap_or_else(|_| Err(odd("it did not end in time".to_owned())))?;
    worker.succeeded = true;
    let (image, unpacked) = (image.clone(), Unpacked { made_from, boots });
    let known = unpacked.clone();
    blocking(move || finish(&image, &new, &outputs, &known).on_host("keep the unpacked kernel"))
        .await?;
    Ok(unpacked)
}

/// A new file, in the place of one that somebody did not finish.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Gives them their names when they are whole, and only then says that they are there.
fn finish(image: &ImageFiles, new: &New, outputs: &Outputs, known: &Unpacked) -> io::Result<()> {
    if known.boots == Boots::Made {
        outputs.initrd.sync_all()?;
        fs::rename(&new.initrd, image.vmlinux_initrd())?;
    } else {
        // One of an earlier time is nobody's any more.
        match fs::remove_file(image.vmlinux_initrd()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    outputs.kernel.sync_all()?;
    fs::rename(&new.kernel, image.vmlinux())?;
    fs::write(&new.facts, serde_json::to_vec(known)?)?;
    fs::rename(&new.facts, image.vmlinux_facts())
}

/// What the unpacked kernel and the initial RAM disk are made from, in a few words: an image's files as they
/// are now, and what this bangerd adds.
fn sources(image: &ImageFiles, own: OwnInitrd) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(MANNER);
    hash.update(INIT);
    hash.update(format!("{own:?}"));
    let initrd = (own != OwnInitrd::None).then(|| image.initrd());
    for path in [image.kernel(), image.rootfs()].into_iter().chain(initrd) {
        let about = path.metadata()?;
        hash.update(format!(" {} {}.{}", about.len(), about.mtime(), about.mtime_nsec()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the worker ended with.
async fn hear(worker: &mut Attempt, own: OwnInitrd) -> Result<Boots, Refusal> {
    use tokio::io::AsyncReadExt;
    let mut said = Vec::new();
    if let Some(stderr) = worker.started.child.stderr.take() {
        let read = stderr.take(LONGEST).read_to_end(&mut said).await;
        read.on_host("hear who unpacks the kernel")?;
    }
    let status = worker.started.child.wait().await.on_host("wait for the kernel")?;
    match serde_json::from_slice(&said) {
        Ok(Told::Done { bytes, seen, missing }) if status.success() => {
            tracing::info!(bytes, ?seen, ?missing, "unpacked a kernel");
            Ok(boots(own, seen))
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

#[cfg(test)]
mod tests;
