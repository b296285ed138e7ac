//! A descriptor that is no base image is refused at once, told once, and closed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_proto::roothelper::{AttachSnapshot, Interaction, Snapshot};
use banger_proto::{Code, Refusal, VmId};

use super::stage::{ALICE, Stage, asks, base_image};
use crate::authority::simulated::Simulated;

/// What becomes of an attach with this descriptor.
fn attach(stage: &Stage, vm: VmId, base: impl Into<OwnedFd>) -> Result<Snapshot, Refusal> {
    let base = Arc::new(base.into());
    let interaction = Interaction::Never;
    let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
    asks(ALICE, &stage.socket(), async |helper| helper.attach_snapshot(request, base).await)
}

/// How many descriptors of this file the process has: those of others' connections come and go.
fn open(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|entry| {
        std::fs::read_link(entry.path())
            .is_ok_and(|to| to.to_string_lossy().starts_with(&*path.to_string_lossy()))
    })
    .count()
}

#[test]
fn what_is_no_base_image_is_refused_before_anybody_is_asked_and_closed() {
    let stage = Stage::new(Simulated::yes());
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (writable, deleted) = (base_image(), base_image());
    let deleted_path = deleted.path().to_owned();
    let deleted_file = File::open(deleted.path()).unwrap();
    drop(deleted);
    let writable_file = writable.as_file().try_clone().unwrap();
    let bad: [(&Path, File, _, _, usize); 3] = [
        (folder.path(), File::open(&folder).unwrap(), Code::InvalidArgument, "no-file", 0),
        (writable.path(), writable_file, Code::InvalidArgument, "writable", 1),
        (&deleted_path, deleted_file, Code::FailedPrecondition, "links", 0),
    ];
    for (index, (path, file, code, word, left)) in bad.into_iter().enumerate() {
        let vm = VmId::random();
        assert_eq!(open(path), left + 1);
        let refusal = attach(&stage, vm, file).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
        assert!(!refusal.hint.is_empty(), "{refusal:?}");
        let entry = stage.log(index + 1).remove(index);
        assert_eq!(entry.reason, format!("base-image-{word}"));
        assert_eq!(entry.vm, Some(vm.to_string()));
        // The connection ends after its client has its answer.
        let begun = Instant::now();
        while open(path) > left && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(open(path), left, "{}", path.display());
    }
    assert_eq!(stage.polkit.questions(), []);

    // A right one goes on to the question, with the one entry of that.
    attach(&stage, VmId::random(), File::open(writable.path()).unwrap()).unwrap();
    assert_eq!(stage.polkit.questions().len(), 1);
    stage.log(4);
}
