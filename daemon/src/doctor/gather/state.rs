//! What banger itself has put on the disk: records, images, leftovers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use banger_proto::paths::Paths;
use banger_proto::{GarbageFate, GarbagePlace, ImageName};

use super::super::facts::{Image, Leftover, Records};
use crate::garbage;
use crate::store::{Images, Instance, Vms, allocated_bytes};

/// The records, the disks there are, and the latest moment that a record knows of.
pub(super) fn records(vms: &Vms) -> (Records, Vec<PathBuf>, i64) {
    let (whole, broken) = match vms.load() {
        Ok((whole, broken)) => {
            let told = broken.iter().map(|vm| format!("of {}: {}", vm.label(), vm.reason));
            (whole, told.collect())
        }
        Err(error) => (Vec::new(), vec![with_causes(&error)]),
    };
    let mut disks = Vec::new();
    let mut newest = 0;
    for record in &whole {
        let files = vms.files(record.id);
        disks.extend([files.rootfs(), files.work_disk()].into_iter().filter(|disk| disk.exists()));
        let started = record.phase.runtime().map_or(0, |runtime| runtime.started_at);
        newest = newest.max(record.created_at).max(started);
    }
    (Records { whole: whole.len(), broken }, disks, newest)
}

fn with_causes(error: &crate::store::StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The images with what they lack, the bytes of the largest root filesystem, and when the
/// newest was made.
pub(super) fn images(paths: &Paths, images: &Images) -> (Vec<Image>, u64, i64) {
    let folder = paths.data.join("images");
    let mut names: Vec<ImageName> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    names.sort_unstable();
    let (mut largest, mut newest) = (0, 0);
    let found = names.into_iter().map(|name| {
        let files = images.files(&name);
        let missing = match images.get(&name) {
            Ok(Some(record)) => {
                newest = newest.max(record.created_at);
                let mut needed = vec![files.rootfs(), files.kernel()];
                needed.extend(record.has_initrd.then(|| files.initrd()));
                needed.extend((record.work_seed_mib > 0).then(|| files.work_seed()));
                needed.iter().filter(|path| !has_content(path)).map(|p| file_name(p)).collect()
            }
            Ok(None) => vec![file_name(&files.record())],
            Err(error) => vec![with_causes(&error)],
        };
        largest = largest.max(allocated_bytes(files.directory()));
        Image { name: name.to_string(), missing }
    });
    let found = found.collect();
    (found, largest, newest)
}

fn has_content(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What has no owner any more, as `gc --dry-run` lists it. What is half made while a daemon
/// runs is that daemon's work.
pub(super) fn leftovers(paths: &Paths) -> Vec<Leftover> {
    let works = Instance::is_held(&paths.state);
    let found = garbage::decide(&garbage::survey(paths), &BTreeSet::new());
    let idle = found.into_iter().filter(|finding| !(works && finding.is_unfinished_work()));
    idle.map(|finding| {
        let place = match finding.garbage.place {
            GarbagePlace::Path(path) => path.display().to_string(),
            GarbagePlace::Process(pid) => format!("process {pid}"),
            GarbagePlace::Object(name) => name,
        };
        let (kind, reason) = (finding.garbage.kind, finding.garbage.reason);
        Leftover {
            words: format!("{kind} ({place}): {reason}"),
            bytes: finding.garbage.bytes,
            removable: finding.garbage.fate == GarbageFate::Removable,
        }
    })
    .collect()
}
