//! The engine, called as the daemon calls it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, FileDisk, Filesystem, Flush, FormatOptions, ImagePath, Ownership,
    ReadAhead, TarStream, Timestamp, copy_subtree,
};

use crate::Result;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

pub fn create(path: &Path, size: u64) -> Result<Arc<dyn Disk>> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.set_len(size)?;
    Ok(Arc::new(FileDisk::new(file)?))
}

pub fn open(path: &Path) -> Result<Arc<dyn Disk>> {
    Ok(Arc::new(FileDisk::new(File::options().read(true).write(true).open(path)?)?))
}

pub fn options() -> FormatOptions {
    let mut options = FormatOptions::new([7; 16], [9; 16], Timestamp::now());
    // The file was made a moment ago.
    options.zeroed = true;
    options
}

/// A work disk from its seed.
pub fn disk(seed: &Path, disk: Arc<dyn Disk>) -> Result<()> {
    let seed = Arc::new(FileDisk::new(File::open(seed)?)?);
    let seed = Filesystem::open(Arc::new(ReadAhead::new(seed)))?;
    let mut batch = Batch::create(disk, &options())?;
    let mut content = copy_subtree(&seed, &ImagePath::root());
    batch.ingest(&ImagePath::root(), &mut content, Ownership::Root)?;
    batch.fix_root()?;
    batch.commit(Flush::ProcessSafe)?;
    Ok(())
}

/// Files into an image that exists, atomically and safe from a power cut.
pub fn put(disk: Arc<dyn Disk>, folder: &Path) -> Result<()> {
    let mut batch = Batch::open(disk)?;
    let mut content = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let path = ImagePath::new([b"/etc/", name.as_encoded_bytes()].concat())?;
        // As the floor reads them: nobody is asked how long they are.
        content.clear();
        File::open(entry.path())?.take(u64::MAX).read_to_end(&mut content)?;
        batch.write_file(&path, FILE, &content)?;
    }
    match batch.commit(Flush::PowerSafe)?.atomic {
        true => Ok(()),
        false => Err("the batch was not atomic".into()),
    }
}

/// A root filesystem from its tar.
pub fn import(tar: &Path, disk: Arc<dyn Disk>) -> Result<()> {
    let mut batch = Batch::create(disk, &options())?;
    let mut source = TarStream::new(File::open(tar)?);
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep)?;
    batch.commit(Flush::ProcessSafe)?;
    Ok(())
}

/// Empty files with new names.
pub fn insert(disk: Arc<dyn Disk>, names: u32) -> Result<()> {
    let mut batch = Batch::open(disk)?;
    for n in 0..names {
        batch.write_file(&ImagePath::new(format!("/folder/new-{n}"))?, FILE, b"")?;
    }
    batch.commit(Flush::ProcessSafe)?;
    Ok(())
}

pub fn grow(image: &Path, size: u64) -> Result<()> {
    File::options().write(true).open(image)?.set_len(size)?;
    banger_ext4::grow(&open(image)?, true, Flush::PowerSafe)?;
    Ok(())
}
