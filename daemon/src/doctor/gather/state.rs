//! What banger itself has put on the disk: records, images, leftovers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use banger_proto::paths::Paths;
use banger_proto::roothelper::{Fate, Object, ObjectKind, Swept};
use banger_proto::{Garbage, GarbageFate, GarbagePlace, ImageName, Isolation, VmId};

use super::super::facts::{Helper, Image, Leftover, Records, Told};
use crate::causes::with_causes;
use crate::garbage;
use crate::store::{Images, Instance, Vms, allocated_bytes};

/// What the records tell.
pub(super) struct Known {
    pub(super) records: Records,
    pub(super) disks: Vec<PathBuf>,
    /// The latest moment that a record knows of.
    pub(super) newest: i64,
    /// Every VM that there is, also those whose records cannot be read.
    pub(super) ids: Vec<VmId>,
    /// How many run with the root helper.
    pub(super) with_helper: usize,
}

/// The records, and what follows from them.
pub(super) fn records(vms: &Vms) -> Known {
    let (whole, broken, unlisted) = match vms.load() {
        Ok((whole, broken)) => (whole, broken, None),
        Err(error) => (Vec::new(), Vec::new(), Some(with_causes(&error))),
    };
    let told = broken.iter().map(|vm| format!("of {}: {}", vm.label(), vm.reason));
    let mut known = Known {
        records: Records { whole: whole.len(), broken: told.chain(unlisted).collect() },
        disks: Vec::new(),
        newest: 0,
        ids: whole.iter().map(|vm| vm.id).chain(broken.iter().map(|vm| vm.id)).collect(),
        with_helper: whole.iter().filter(|vm| vm.isolation == Isolation::System).count(),
    };
    for record in &whole {
        let files = vms.files(record.id);
        let disks = [files.rootfs(), files.work_disk()];
        known.disks.extend(disks.into_iter().filter(|disk| disk.exists()));
        let started = record.phase.runtime().map_or(0, |runtime| runtime.started_at);
        known.newest = known.newest.max(record.created_at).max(started);
    }
    known
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

/// What has no owner any more, as `gc --dry-run` lists it: of the user's own, and of what root
/// made. What is half made while a daemon runs is that daemon's work.
pub(super) fn leftovers(paths: &Paths, helper: Option<&Helper>, known: &[VmId]) -> Vec<Leftover> {
    let works = Instance::is_held(&paths.state);
    let found = garbage::decide(&garbage::survey(paths), &BTreeSet::new());
    let idle = found.into_iter().filter(|finding| !(works && finding.is_unfinished_work()));
    let objects = match helper.map(|helper| &helper.told) {
        Some(Told::Said { objects, .. }) => objects.as_slice(),
        _ => &[],
    };
    let of_root = of_nobody(objects, known);
    idle.map(|finding| finding.garbage).chain(of_root).map(leftover).collect()
}

/// What root made for a VM that is none of these.
fn of_nobody(objects: &[Object], known: &[VmId]) -> Vec<Garbage> {
    let unknown = objects.iter().filter(|object| !known.contains(&object.vm));
    unknown.map(|object| garbage::of_root(sweep_of(object.clone()), true)).collect()
}

/// What a sweep would do to an object of no VM's.
fn sweep_of(object: Object) -> Swept {
    let stays = match object.kind {
        ObjectKind::Overlay { .. } => Some("it is kept unless that is asked for"),
        ObjectKind::Snapshot { open: true, .. } | ObjectKind::Tap { open: true, .. } => {
            Some("somebody has it open")
        }
        _ => None,
    };
    let fate = stays.map_or(Fate::Removed, |why| Fate::Stays(why.to_owned()));
    Swept { object, fate }
}

fn leftover(garbage: Garbage) -> Leftover {
    let place = match garbage.place {
        GarbagePlace::Path(path) => path.display().to_string(),
        GarbagePlace::Process(pid) => format!("process {pid}"),
        GarbagePlace::Object(name) => name,
    };
    Leftover {
        words: format!("{} ({place}): {}", garbage.kind, garbage.reason),
        bytes: garbage.bytes,
        removable: garbage.fate == GarbageFate::Removable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_made_for_a_vm_that_nobody_knows_is_left_over() {
        let object = |vm, kind| Object { vm, name: "name".into(), since: 0, kind };
        let tap = |open| ObjectKind::Tap { index: 1, open, address: [172, 16, 0, 2].into() };
        let overlay = ObjectKind::Overlay { size_bytes: 9, allocated_bytes: 5, attached: false };
        let (known, unknown) = (VmId::random(), VmId::random());
        let objects = [
            object(known, tap(false)),
            object(unknown, tap(false)),
            object(unknown, tap(true)),
            object(unknown, overlay),
        ];
        let left: Vec<_> = of_nobody(&objects, &[known]).into_iter().map(leftover).collect();
        let removable: Vec<_> = left.iter().map(|left| left.removable).collect();
        assert_eq!(removable, [true, false, false], "{left:?}");
        assert!(left[2].words.contains("banger gc --overlays"), "{left:?}");
        assert_eq!(left[2].bytes, 5);
    }
}
