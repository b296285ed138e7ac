//! Writing: a batch as one transaction, announced before it begins.

use std::sync::Arc;

use banger_ext4::layout::features::Compat;
use banger_ext4::{Attributes, Batch, Disk, Error, Filesystem, Flush, ImagePath, Result};
use banger_proto::roothelper::{Ext4Operation, Ext4Owner, Ext4Write};

use super::answer::Answer;
use super::state::{Touched, state};

/// Parents that are missing become these.
const PARENT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

/// Does all of it or nothing. `tell` is told what is about to be written before it is; an
/// announcement that cannot be made is the end.
pub(super) fn write(
    disk: &Arc<dyn Disk>,
    writes: &[Ext4Write],
    tell: &mut dyn FnMut(&Answer) -> std::io::Result<()>,
) -> Result<Answer> {
    let touched = Touched::of(writes);
    let mut batch = Batch::open(Arc::clone(disk))?;
    // The journal is replayed by now, so the device alone says what is there.
    let before = state(&Filesystem::open(Arc::clone(disk))?, &touched)?;
    for write in writes {
        add(&mut batch, write)?;
    }
    let changed = batch.filesystem()?;
    let atomic = changed.superblock().features().compat.has(Compat::HAS_JOURNAL);
    let after = state(&changed, &touched)?;
    let announced = tell(&Answer::Begins { before, after, atomic });
    announced.map_err(|source| Error::Source {
        what: "the batch: nobody waits for it any more".to_owned(),
        source: Some(source),
    })?;
    let committed = batch.commit(Flush::PowerSafe)?;
    // The last write of a commit is not waited for by itself.
    disk.flush()?;
    Ok(Answer::Written { atomic: committed.atomic })
}

fn add(batch: &mut Batch, write: &Ext4Write) -> Result<()> {
    let path = ImagePath::new(write.path.as_bytes())?;
    match &write.operation {
        Ext4Operation::File { content, owner } => {
            below_parents(batch, &path, |batch| batch.write_file(&path, attributes(owner), content))
        }
        Ext4Operation::Directory(owner) => {
            below_parents(batch, &path, |batch| batch.make_directory(&path, attributes(owner)))
        }
        Ext4Operation::MissingDirectory(owner) => {
            below_parents(batch, &path, |batch| match batch.is_there(&path)? {
                true => Ok(()),
                false => batch.make_directory(&path, attributes(owner)),
            })
        }
        Ext4Operation::Symlink(target) => {
            below_parents(batch, &path, |batch| batch.symlink(&path, target.as_bytes(), 0, 0))
        }
        Ext4Operation::Ownership(owner) => batch.set_attributes(&path, attributes(owner)),
        Ext4Operation::Removed => match batch.remove(&path) {
            Err(Error::NotFound { .. }) => Ok(()),
            removed => removed,
        },
    }
}

/// Does it; where a parent is missing, makes the parents and does it then. (What is refused
/// for a missing parent has changed nothing.)
fn below_parents(
    batch: &mut Batch,
    path: &ImagePath,
    work: impl Fn(&mut Batch) -> Result<()>,
) -> Result<()> {
    match (work(batch), path.parent()) {
        (Err(Error::NotFound { .. }), Some(parent)) => {
            batch.make_directories(&parent, PARENT)?;
            work(batch)
        }
        (done, _) => done,
    }
}

fn attributes(owner: &Ext4Owner) -> Attributes {
    Attributes { mode: owner.mode.bits(), uid: owner.uid, gid: owner.gid }
}
