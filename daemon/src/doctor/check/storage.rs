//! Where VMs and images lie: room, and what the filesystem can do.

use banger_proto::{Check, CheckState};

use super::super::facts::{Facts, Filesystem, Storage};
use super::{failed, ok, warning};
use crate::figure;

const GROUP: &str = "storage";
/// Below this nothing is started any more, in bytes: a work disk and logs need some.
const LITTLE: u64 = 256 << 20;
/// Inodes that a few VMs take.
const FEW_INODES: u64 = 1_000;

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    let storage = &facts.storage;
    let mut checks = vec![folder("VMs", &storage.state, storage)];
    // On one filesystem its room is told once.
    if !storage.same || storage.data.trouble.is_some() {
        checks.push(folder("images", &storage.data, storage));
    }
    checks.extend([growth(storage), clones(storage)]);
    checks
}

/// What a filesystem is not good for, when it is one of those.
fn unfit(kind: &str) -> Option<&'static str> {
    match kind {
        "nfs" | "cifs" | "smb" | "fuse" => {
            Some("it is of the network or FUSE: disks are slow there, and locks may not hold")
        }
        "9p" => Some("it is another system's: disks are slow there, and modes may not hold"),
        "tmpfs" => Some("it is memory: what is there goes with the next start of the computer"),
        "vfat" | "exfat" | "ntfs" => Some("it has no private files and no sparse ones"),
        _ => None,
    }
}

fn elsewhere() -> [String; 1] {
    ["# set XDG_STATE_HOME and XDG_DATA_HOME to folders on a disk of this computer".to_owned()]
}

fn folder(what: &str, filesystem: &Filesystem, storage: &Storage) -> Check {
    let name = (GROUP, what);
    let why = "a full filesystem stops every VM that writes";
    let path = filesystem.folder.display();
    if let Some(trouble) = &filesystem.trouble {
        let step = format!("mkdir -p {path}; sudo chown -R $USER {path}; chmod 0700 {path}");
        return failed(name, why, trouble.clone()).remedy([step]);
    }
    let room =
        format!("{} of {} free", figure::bytes(filesystem.free), figure::bytes(filesystem.total));
    let kind = match filesystem.kind {
        "other" => String::new(),
        kind => format!(", {kind}"),
    };
    let found = format!("{room}{kind}, {path}");
    let tidy = ["banger gc", "banger ls; banger rm VM", "banger image ls; banger image rm IMAGE"];
    if filesystem.free_inodes.is_some_and(|inodes| inodes < FEW_INODES) {
        return warning(name, why, format!("{found}: it has hardly any inodes left")).remedy(tidy);
    }
    if filesystem.free < LITTLE {
        return failed(name, why, format!("{found}: too little to start anything")).remedy(tidy);
    }
    let copy = if storage.clones == Some(true) { 0 } else { storage.largest_image };
    if filesystem.free < copy + LITTLE {
        let copy = figure::bytes(copy);
        return failed(name, why, format!("{found}: a first start copies up to {copy}"))
            .remedy(tidy);
    }
    match unfit(filesystem.kind) {
        Some(reason) => warning(name, why, format!("{found}: {reason}")).remedy(elsewhere()),
        None => ok(name, why, found),
    }
}

fn growth(storage: &Storage) -> Check {
    let name = (GROUP, "growth");
    let why = "disks are sparse: they grow with what guests write";
    let free = storage.state.free;
    if storage.disks == 0 {
        return ok(name, why, "no VM has disks yet");
    }
    let found = format!(
        "{} disks may grow by {}, {} are free",
        storage.disks,
        figure::bytes(storage.growth),
        figure::bytes(free)
    );
    if storage.growth <= free {
        return ok(name, why, found);
    }
    warning(name, why, found).remedy(["banger ls; banger rm VM"])
}

fn clones(storage: &Storage) -> Check {
    let name = (GROUP, "clones");
    let why = "a first start shares the image's blocks where it can";
    let (state, found) = match storage.clones {
        Some(true) => (CheckState::Ok, "files can share their blocks"),
        // Copies work everywhere, and are no reason to worry.
        Some(false) if storage.same => {
            (CheckState::Ok, "no, it copies them; btrfs, and XFS with reflink, can")
        }
        Some(false) => (CheckState::Ok, "no: VMs and images lie on two filesystems"),
        None => (CheckState::Skipped, "cannot be tried there"),
    };
    Check::new(name, why, state, found)
}
