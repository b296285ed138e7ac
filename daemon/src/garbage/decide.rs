//! What is garbage, and why: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use banger_proto::{Garbage, GarbageFate, GarbagePlace, VmId};

use super::found::{Found, FoundFile, FoundProcess, FoundVm, Holder, RunsFor, What};
use crate::spawn::ProcessId;

/// How the kinds of what is half made begin.
const HALF_MADE: &str = "half-made";
/// What was removed, and is still there.
const REMOVED: &str = "removed";

/// Something that has no owner, and how it goes away.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What people are told of it.
    pub garbage: Garbage,
    /// How it goes away.
    pub action: Action,
}

impl Finding {
    /// Whether it is what a daemon that ended was making or removing: its successor may
    /// clear it away without being asked.
    #[must_use]
    pub fn is_unfinished_work(&self) -> bool {
        match &self.action {
            Action::DeleteBuild(_) | Action::KillGroup(_) => true,
            Action::Delete(_) => {
                self.garbage.kind.starts_with(HALF_MADE) || self.garbage.kind == REMOVED
            }
            Action::Kill(_) | Action::Discard(_) | Action::RemoveVm(_) | Action::LeaveAlone => {
                false
            }
        }
    }

    /// The file or folder that goes.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.garbage.place {
            GarbagePlace::Path(path) => Some(path),
            GarbagePlace::Process(_) | GarbagePlace::Object(_) => None,
        }
    }
}

/// How garbage goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A file or folder is deleted.
    Delete(PathBuf),
    /// The folder of a build, parts of which belong to the users of its namespace.
    DeleteBuild(PathBuf),
    /// The folder of a VM loses its name, and then its content.
    Discard(VmId),
    /// A VM is removed as by `rm --force`.
    RemoveVm(VmId),
    /// A process of a VM is killed.
    Kill(ProcessId),
    /// A process that an ended daemon has left is killed with its process group.
    KillGroup(ProcessId),
    /// Nothing is done: it may be somebody's.
    LeaveAlone,
}

/// Judges what was found. `claimed` is what the daemon is making or removing now.
#[must_use]
pub fn decide(found: &Found, claimed: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let vms: BTreeMap<VmId, &FoundVm> = found
        .files
        .iter()
        .filter_map(|file| match &file.what {
            What::Vm(id, vm) => Some((*id, vm)),
            _ => None,
        })
        .collect();
    let files = found.files.iter().filter(|file| !claimed.contains(&file.path));
    let processes = found.processes.iter();
    // Processes first: they may write to the files.
    processes
        .filter_map(|process| judge_process(process, &vms, claimed))
        .chain(files.filter_map(judge_file))
        .collect()
}

fn judge_file(file: &FoundFile) -> Option<Finding> {
    let path = file.path.clone();
    let delete = Action::Delete(path.clone());
    let (kind, reason, action) = match &file.what {
        What::HalfMade(what) => {
            (format!("{HALF_MADE} {what}"), "who was making it has ended".to_owned(), delete)
        }
        What::Removed => (
            REMOVED.to_owned(),
            "it was removed, and its space was not given back".to_owned(),
            delete,
        ),
        What::Build => (
            "half-made image".to_owned(),
            "the build that installed packages there has ended".to_owned(),
            Action::DeleteBuild(path),
        ),
        What::DeadSocket => ("socket".to_owned(), "nobody listens there".to_owned(), delete),
        What::SpareImageFile => (
            "file of an image".to_owned(),
            "the image's record says that it has no such file".to_owned(),
            delete,
        ),
        What::Vm(id, FoundVm::Missing) => {
            ("VM folder".to_owned(), "there is no record in it".to_owned(), Action::Discard(*id))
        }
        What::Vm(id, FoundVm::Readable { name, holder: Some(Holder::Ended), .. }) => (
            "VM".to_owned(),
            format!("{name} was to be removed with the command that made it, which has ended"),
            Action::RemoveVm(*id),
        ),
        What::Vm(_, FoundVm::Readable { .. }) => return None,
        What::Vm(id, FoundVm::Unreadable(reason)) => (
            "VM".to_owned(),
            format!("{reason}; remove it with: banger vm rm --force {id}"),
            Action::LeaveAlone,
        ),
        What::BrokenImage(reason) => (
            "image".to_owned(),
            format!("{reason}; remove it with: banger image rm {}", last(&path)),
            Action::LeaveAlone,
        ),
        What::Unknown => {
            ("unknown".to_owned(), "banger makes no such thing".to_owned(), Action::LeaveAlone)
        }
    };
    let place = GarbagePlace::Path(file.path.clone());
    Some(finding(kind, place, (file.bytes, file.changed_at), reason, action))
}

fn judge_process(
    process: &FoundProcess,
    vms: &BTreeMap<VmId, &FoundVm>,
    claimed: &BTreeSet<PathBuf>,
) -> Option<Finding> {
    let id = process.id.clone();
    let (reason, action) = match &process.runs_for {
        RunsFor::Vm(vm) => match vms.get(vm) {
            None => (format!("it runs for a VM that is gone ({vm})"), Action::Kill(id)),
            Some(FoundVm::Missing) => {
                (format!("it runs for a VM without a record ({vm})"), Action::Kill(id))
            }
            Some(FoundVm::Unreadable(_)) => {
                ("the record of its VM cannot be read".to_owned(), Action::LeaveAlone)
            }
            Some(FoundVm::Readable { runs: true, .. }) => return None,
            Some(FoundVm::Readable { name, .. }) => {
                (format!("it runs for {name}, which does not run"), Action::Kill(id))
            }
        },
        RunsFor::Import(folder) | RunsFor::Build(folder)
            if process.has_daemon || claimed.contains(folder) =>
        {
            return None;
        }
        RunsFor::Probe if process.has_daemon => return None,
        RunsFor::Import(_) => {
            ("it fills an image that nobody waits for".to_owned(), Action::KillGroup(id))
        }
        RunsFor::Build(_) => {
            ("it builds an image that nobody waits for".to_owned(), Action::KillGroup(id))
        }
        RunsFor::Probe => ("nobody waits for its answer".to_owned(), Action::KillGroup(id)),
    };
    let place = GarbagePlace::Process(process.id.pid);
    let kind = format!("process {}", process.program);
    Some(finding(kind, place, (0, process.started_at), reason, action))
}

fn finding(
    kind: String,
    place: GarbagePlace,
    (bytes, since): (u64, i64),
    reason: String,
    action: Action,
) -> Finding {
    let fate = match action {
        Action::LeaveAlone => GarbageFate::LeftAlone,
        _ => GarbageFate::Removable,
    };
    Finding { garbage: Garbage { kind, place, bytes, since, reason, fate }, action }
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn id() -> VmId {
        ID.parse().unwrap()
    }

    fn file(path: &str, what: What) -> FoundFile {
        FoundFile { path: path.into(), bytes: 4096, changed_at: 7, what }
    }

    fn vm(vm: FoundVm) -> FoundFile {
        file("/s/vms/1", What::Vm(id(), vm))
    }

    fn readable(runs: bool, holder: Option<Holder>) -> FoundVm {
        FoundVm::Readable { name: "web".parse().unwrap(), runs, holder }
    }

    fn process(runs_for: RunsFor, has_daemon: bool) -> FoundProcess {
        let id = ProcessId { pid: 9, start_ticks: 1, boot_id: "b".into() };
        FoundProcess { id, program: "qemu".into(), started_at: 8, runs_for, has_daemon }
    }

    fn told(files: Vec<FoundFile>, processes: Vec<FoundProcess>, claimed: &[&str]) -> Vec<String> {
        let claimed = claimed.iter().map(PathBuf::from).collect();
        decide(&Found { files, processes }, &claimed)
            .into_iter()
            .map(|Finding { garbage, action }| {
                let how = format!("{action:?}");
                let how = how.split(['(', ' ']).next().unwrap();
                format!("{how}: {}: {}", garbage.kind, garbage.reason)
            })
            .collect()
    }

    #[test]
    fn every_kind_of_thing_is_judged() {
        let files = vec![
            file("/s/vms/.new-1", What::HalfMade("VM")),
            file("/s/gone/1", What::Removed),
            vm(FoundVm::Missing),
            vm(FoundVm::Unreadable("of version 9".into())),
            vm(readable(true, None)),
            vm(readable(false, Some(Holder::Lives))),
            vm(readable(true, Some(Holder::Ended))),
            file("/d/images/x", What::BrokenImage("it has no record".into())),
            file("/d/images/y/initrd", What::SpareImageFile),
            file("/var/tmp/b", What::Build),
            file("/r/s.sock", What::DeadSocket),
            file("/s/vms/notes.txt", What::Unknown),
        ];
        insta::assert_snapshot!(told(files, Vec::new(), &[]).join("\n"), @r"
        Delete: half-made VM: who was making it has ended
        Delete: removed: it was removed, and its space was not given back
        Discard: VM folder: there is no record in it
        LeaveAlone: VM: of version 9; remove it with: banger vm rm --force 67e55044-10b1-426f-9247-bb680e5fe0c8
        RemoveVm: VM: web was to be removed with the command that made it, which has ended
        LeaveAlone: image: it has no record; remove it with: banger image rm x
        Delete: file of an image: the image's record says that it has no such file
        DeleteBuild: half-made image: the build that installed packages there has ended
        Delete: socket: nobody listens there
        LeaveAlone: unknown: banger makes no such thing
        ");
    }

    #[test]
    fn what_is_being_made_is_nobodys_garbage() {
        let half = file("/s/vms/.new-1", What::HalfMade("VM"));
        assert_eq!(told(vec![half.clone()], Vec::new(), &["/s/vms/.new-1"]), [""; 0]);
        assert_eq!(told(vec![half], Vec::new(), &["/s/vms/.new-2"]).len(), 1);
        let worker = process(RunsFor::Import("/d/images/.new-1".into()), false);
        assert_eq!(told(Vec::new(), vec![worker.clone()], &["/d/images/.new-1"]), [""; 0]);
        assert_eq!(told(Vec::new(), vec![worker], &[]).len(), 1);
    }

    #[test]
    fn a_process_has_the_owner_that_its_vm_has() {
        let run = || process(RunsFor::Vm(id()), false);
        let of = |file: Option<FoundVm>| {
            told(file.map(vm).into_iter().collect(), vec![run()], &[]).remove(0)
        };
        assert!(of(None).starts_with("Kill: process qemu: it runs for a VM that is gone"));
        assert!(of(Some(FoundVm::Missing)).contains("without a record"));
        assert!(of(Some(readable(false, None))).contains("for web, which does not run"));
        assert!(of(Some(FoundVm::Unreadable("x".into()))).starts_with("LeaveAlone: process"));
        assert_eq!(told(vec![vm(readable(true, None))], vec![run()], &[]), [""; 0]);
    }

    #[test]
    fn what_a_daemon_sees_to_is_left_to_it() {
        let kinds = || [RunsFor::Import("/i".into()), RunsFor::Build("/b".into()), RunsFor::Probe];
        let all = |has_daemon| kinds().map(|kind| process(kind, has_daemon)).to_vec();
        assert_eq!(told(Vec::new(), all(true), &[]), [""; 0]);
        let orphans = told(Vec::new(), all(false), &[]);
        let how: Vec<_> = orphans.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(how, ["KillGroup", "KillGroup", "KillGroup"]);
    }
}
