//! Putting a file or a folder of the host's into an image: one batch, all of it or nothing.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, Error, FileKind, Flush, HostFile, HostTree, ImagePath, Ownership,
    Result, Timestamp,
};
use banger_proto::Ext4Line;

use super::request::Put;

/// What stands for the source in errors: the worker does not know its name.
const SOURCE: &[u8] = b"what is put there";

/// Puts `source` where it was asked for.
pub(super) fn put(disk: Arc<dyn Disk>, source: File, put: &Put) -> Result<Ext4Line> {
    let metadata = source.metadata().map_err(|error| Error::Source {
        what: "what is put into the image".to_owned(),
        source: Some(error),
    })?;
    // Content goes to free blocks at once: memory stays small, and nobody sees it before the
    // commit.
    let mut batch = Batch::open_direct(disk)?;
    let refused = |reason| Err(Error::WrongType { path: put.path.to_string(), reason });
    let there = existing_directory(&mut batch, &put.path)?;
    let (entries, bytes) = if metadata.is_dir() {
        if put.mode.is_some() {
            return refused("a mode is for a single file, and the source is a folder");
        }
        folder(&mut batch, source, there, put)?
    } else if metadata.is_file() {
        let at = match (there, put.name.is_empty()) {
            (Some(_), true) => {
                return refused("it is a directory, and what comes has no name: add one");
            }
            (Some(_), false) => put.path.join(&put.name)?,
            (None, _) => put.path.clone(),
        };
        file(&mut batch, source, &metadata, &at, put)?
    } else {
        return refused("the source is neither a file nor a folder");
    };
    let committed = batch.commit(Flush::PowerSafe)?;
    Ok(Ext4Line::Written { entries, bytes, atomic: committed.atomic })
}

/// The attributes of the directory that a path leads to, if it does.
fn existing_directory(batch: &mut Batch, path: &ImagePath) -> Result<Option<Attributes>> {
    match batch.filesystem()?.stat(path) {
        Ok(stat) if stat.kind == FileKind::Directory => {
            Ok(Some(Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid }))
        }
        Ok(_) | Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn file(
    batch: &mut Batch,
    source: File,
    metadata: &Metadata,
    at: &ImagePath,
    put: &Put,
) -> Result<(u64, u64)> {
    let own = u16::try_from(metadata.mode() & 0o7777).unwrap_or(0o644);
    let (uid, gid) = put.owner;
    let attributes = Attributes { mode: put.mode.unwrap_or(own), uid, gid };
    let len = metadata.len();
    batch.write_file_with(at, attributes, len, &mut HostFile::new(source, SOURCE, len))?;
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    let modified = Timestamp { seconds: metadata.mtime(), nanoseconds };
    batch.set_times(at, modified.into())?;
    Ok((1, len))
}

fn folder(
    batch: &mut Batch,
    source: File,
    there: Option<Attributes>,
    put: &Put,
) -> Result<(u64, u64)> {
    let content_alone = put.name.is_empty();
    let (at, before) = match there {
        Some(attributes) if content_alone => (put.path.clone(), Some(attributes)),
        Some(_) => {
            let at = put.path.join(&put.name)?;
            (at, None)
        }
        None => (put.path.clone(), None),
    };
    let made = Attributes { mode: 0o755, uid: 0, gid: 0 };
    batch.make_directory(&at, before.unwrap_or(made))?;
    let (uid, gid) = put.owner;
    let mut tree = HostTree::of_open(source.into(), SOURCE);
    let stats = batch.ingest(&at, &mut tree, Ownership::To(uid, gid))?;
    if let Some(before) = before {
        // The content of a folder came, and not the folder.
        batch.make_directory(&at, before)?;
    }
    Ok((stats.entries, stats.bytes))
}
