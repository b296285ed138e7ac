//! Looks at what there is, and changes nothing.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use banger_proto::paths::{Paths, SocketAddress};
use banger_proto::{ImageName, VmId};

use super::builds::BuildFolder;
use super::found::{Found, FoundFile, FoundVm, Holder, What};
use super::processes::{VmProcesses, running};
use crate::causes::with_causes;
use crate::context::now;
use crate::spawn::ProcessId;
use crate::store::{
    DocumentError, GONE, ImageFiles, ImageRecord, Images, NEW, VmRecord, Vms, read,
};
use crate::vmlinux::Unpacked;

/// Seconds after which a temporary file that nobody claims is nobody's: those of the
/// state folder itself are written in milliseconds.
const SETTLED: i64 = 60;

/// Everything of banger's in the owner's folders, and among the processes. What cannot be
/// looked at is left out.
#[must_use]
pub fn survey(paths: &Paths) -> Found {
    // Processes first: a record that is read later and says that its VM does not run is
    // newer than they are.
    let processes = running(&VmProcesses::of(paths));
    let mut files = Vec::new();
    vms(&Vms::in_state(&paths.state), &mut files);
    images(&Images::in_data(&paths.data), &mut files);
    for gone in [paths.state.join(GONE), paths.data.join(GONE)] {
        files.extend(entries(&gone).map(|path| file(path, What::Removed)));
    }
    files.extend(
        BuildFolder::of(&paths.state).existing().into_iter().map(|path| file(path, What::Build)),
    );
    for path in entries(&paths.state).filter(|path| is_new(path)) {
        let file = file(path, What::HalfMade("file"));
        let age = now() - file.changed_at;
        if !(0..SETTLED).contains(&age) {
            files.push(file);
        }
    }
    files.extend(sockets(paths));
    Found { files, processes }
}

fn vms(vms: &Vms, files: &mut Vec<FoundFile>) {
    for path in entries(vms.folder()) {
        let name = name_of(&path);
        let what = if is_new(&path) {
            What::HalfMade("VM")
        } else if let Ok(id) = name.parse::<VmId>()
            && path.is_dir()
        {
            What::Vm(id, vm(vms, id))
        } else {
            What::Unknown
        };
        files.push(file(path, what));
    }
}

fn vm(vms: &Vms, id: VmId) -> FoundVm {
    match vms.read(id) {
        Ok(Some(VmRecord { name, phase, ephemeral, holder, .. })) => FoundVm::Readable {
            name,
            runs: phase.is_starting() || phase.runtime().is_some(),
            holder: ephemeral.then(|| held(holder.as_ref())),
        },
        Ok(None) => FoundVm::Missing,
        Err(reason) => FoundVm::Unreadable(reason),
    }
}

fn held(holder: Option<&ProcessId>) -> Holder {
    match holder.map(ProcessId::runs) {
        Some(Ok(false)) => Holder::Ended,
        _ => Holder::Lives,
    }
}

fn images(images: &Images, files: &mut Vec<FoundFile>) {
    for path in entries(images.folder()) {
        if is_new(&path) {
            files.push(file(path, What::HalfMade("image")));
            continue;
        }
        if name_of(&path).parse::<ImageName>().is_err() || !path.is_dir() {
            files.push(file(path, What::Unknown));
            continue;
        }
        let image = ImageFiles::in_directory(&path);
        match read::<ImageRecord>(&image.record()) {
            Ok(record) => files.extend(image_parts(&image, &record)),
            Err(DocumentError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                files.push(file(path, What::BrokenImage("it has no record".to_owned())));
            }
            Err(error) => files.push(file(path, What::BrokenImage(with_causes(&error)))),
        }
    }
}

/// The files of an image that its record does not speak of.
fn image_parts(image: &ImageFiles, record: &ImageRecord) -> Vec<FoundFile> {
    let mut wanted = vec![image.record(), image.rootfs(), image.kernel()];
    wanted.extend(Unpacked::files(image));
    let mut spare = vec![image.vmlinux_initrd()];
    for (path, is_wanted) in
        [(image.initrd(), record.has_initrd), (image.work_seed(), record.work_seed_mib != 0)]
    {
        if is_wanted { &mut wanted } else { &mut spare }.push(path);
    }
    entries(image.directory())
        .filter(|path| !wanted.contains(path))
        .map(|path| {
            let what = if spare.contains(&path) || is_new(&path) {
                What::SpareImageFile
            } else {
                What::Unknown
            };
            file(path, what)
        })
        .collect()
}

/// Sockets of ours at which nobody listens.
fn sockets(paths: &Paths) -> Vec<FoundFile> {
    // The second is a socket's name until it listens.
    let ours = [paths.socket(), paths.socket().with_extension("new")];
    let dead = |path: &PathBuf| {
        let is_socket = path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
        is_socket
            && SocketAddress::of(path).is_ok_and(|address| {
                std::os::unix::net::UnixStream::connect(address.path())
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
            })
    };
    ours.into_iter().filter(dead).map(|path| file(path, What::DeadSocket)).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths.into_iter()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_new(path: &Path) -> bool {
    name_of(path).starts_with(NEW)
}

fn file(path: PathBuf, what: What) -> FoundFile {
    let changed_at = path.symlink_metadata().map_or(0, |metadata| metadata.mtime());
    // What is in order need not be measured.
    let bytes = if matches!(what, What::Vm(_, FoundVm::Readable { holder: None, .. })) {
        0
    } else {
        allocated(&path)
    };
    FoundFile { path, bytes, changed_at, what }
}

/// Bytes that a file, or a folder with all that is in it, takes on the host's disk.
fn allocated(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        bytes += Metadata::blocks(&metadata) * 512;
        if metadata.is_dir() {
            open.extend(entries(&path));
        }
    }
    bytes
}
