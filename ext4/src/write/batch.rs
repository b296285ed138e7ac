//! Many changes as one unit: beginning, taking trees in, and the commit.

use std::sync::Arc;

use super::commit::{Committed, Flush};
use super::part::Part;
use super::sink::{IngestStats, Ownership, TreeSink};
use super::volume::Volume;
use crate::ingest::Source;
use crate::journal::replay;
use crate::kept::Kept;
use crate::layout::superblock::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock};
use crate::{Disk, Error, Filesystem, FormatOptions, ImagePath, Result, Stat, format};

/// Permission bits and owners of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-id and sticky (`0o7777`); the type is known.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Changes to a filesystem that become real together.
///
/// ```
/// # use std::sync::Arc;
/// # use banger_ext4::{Attributes, Batch, Flush, ImagePath, FileDisk, Result};
/// # fn patch(file: std::fs::File) -> Result<()> {
/// let mut batch = Batch::open(Arc::new(FileDisk::new(file)?))?;
/// let root = Attributes { mode: 0o644, uid: 0, gid: 0 };
/// batch.write_file(&ImagePath::new("/etc/hostname")?, root, b"web\n")?;
/// assert!(batch.commit(Flush::PowerSafe)?.atomic);
/// # Ok(())
/// # }
/// ```
///
/// A new image is [`Batch::create`], [`Batch::ingest`] of a [`crate::TarStream`], a
/// [`crate::HostTree`] or a [`crate::copy_subtree`], and [`Batch::commit`].
///
/// Nothing reaches the device before the commit but the replay of a dirty journal and
/// the content of files that goes into free blocks, and that only where the batch was
/// made so ([`Batch::create`], [`Batch::open_direct`]). A batch that is dropped leaves
/// the filesystem as it was; a new one is then good for nothing. An operation that fails half-way spoils the batch: it
/// cannot be committed then. What is refused before anything is changed (a path that is not
/// there, a wrong type, attributes that do not fit) spoils nothing.
///
/// Blocks that a batch frees are given out again only after its commit: replacing
/// large files on a nearly full disk may take two batches.
///
/// A batch is one transaction of the journal. One that is larger than the journal is
/// refused, or split where the caller says that it may be: see [`Batch::boundary`].
pub struct Batch {
    pub(crate) volume: Volume,
    /// The states at the boundaries.
    parts: Vec<Part>,
    /// Why it must not be committed.
    pub(super) spoilt: Option<String>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("spoilt", &self.spoilt).finish_non_exhaustive()
    }
}

impl Batch {
    /// Begins a batch on an existing filesystem that nobody else uses. A dirty
    /// journal is replayed in place first (repeating that is harmless); orphans are
    /// dealt with inside the batch. Contents are held in memory until the commit.
    ///
    /// # Errors
    /// [`Error::Incompatible`] names a feature that this engine would not keep right
    /// (bigalloc, quota, casefold, encrypt, ...), [`Error::Corrupt`],
    /// [`Error::Io`].
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        Self::begin(disk, false)
    }

    /// As [`Batch::open`], but contents of files are written to free blocks at
    /// once, so that memory stays small however much is taken in.
    ///
    /// # Errors
    /// As [`Batch::open`].
    pub fn open_direct(disk: Arc<dyn Disk>) -> Result<Self> {
        Self::begin(disk, true)
    }

    /// Formats `disk`, whatever it held, and begins a batch on the new filesystem.
    /// Contents are written at once, and metadata before it outgrows some 32 MiB of memory.
    /// The commit is not atomic, since there is nothing
    /// to fall back to: make new images under another name, and rename them.
    ///
    /// # Errors
    /// What [`format()`] and [`Batch::open`] meet.
    pub fn create(disk: Arc<dyn Disk>, options: &FormatOptions) -> Result<Self> {
        let (made, waiting) = format::make(disk, options)?;
        let mut volume = Volume::over(made, true)?;
        volume.fresh = true;
        volume.blocks.write_early();
        for (offset, bytes) in waiting {
            volume.blocks.put(offset / u64::from(volume.geometry.block_size), &bytes)?;
        }
        Ok(Self { volume, parts: Vec::new(), spoilt: None })
    }

    fn begin(disk: Arc<dyn Disk>, direct: bool) -> Result<Self> {
        replay(&disk)?;
        let mut bytes = [0; SUPERBLOCK_SIZE];
        disk.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        let block_size = Superblock::parse(&bytes)?.block_size();
        let mut volume = Volume::open(Arc::new(Kept::new(disk, block_size)), direct)?;
        volume.check_journal()?;
        volume.reap_orphans()?;
        Ok(Self { volume, parts: Vec::new(), spoilt: None })
    }

    /// Runs an operation; one that fails after it began to change things spoils
    /// the batch. What is refused before that does not.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce(&mut Volume) -> Result<T>) -> Result<T> {
        let before = self.volume.blocks.noted_changes();
        let result = work(&mut self.volume);
        if let Err(error) = &result {
            // A device that fails or a filesystem that lies is not to be gone on with.
            let refused = !matches!(error, Error::Io { .. } | Error::Corrupt { .. });
            let harmless = refused && self.volume.blocks.noted_changes() == before;
            if !harmless && self.spoilt.is_none() {
                self.spoilt = Some(error.to_string());
            }
        }
        result
    }

    /// The filesystem as it would be after a commit, for reading. What the batch
    /// changes later is not seen in full: ask again.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`].
    pub fn filesystem(&mut self) -> Result<Filesystem> {
        self.run(|volume| {
            volume.sync()?;
            Filesystem::open_as_is(Arc::clone(volume.blocks.overlay()) as Arc<dyn Disk>)
        })
    }

    /// Whether anything is there, links followed as for reading. "No" is never an
    /// error, and an error never "no".
    ///
    /// # Errors
    /// What reading meets.
    pub fn exists(&mut self, path: &ImagePath) -> Result<bool> {
        self.filesystem()?.exists(path)
    }

    /// The content of a file, links followed, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], and what reading meets.
    pub fn read_file(&mut self, path: &ImagePath, limit: u64) -> Result<Vec<u8>> {
        self.filesystem()?.read_file(path, limit)
    }

    /// What is known of an entry itself, a link in the last place not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what reading meets.
    pub fn lstat(&mut self, path: &ImagePath) -> Result<Stat> {
        self.filesystem()?.lstat(path)
    }

    /// Takes a tree in below the directory `at`. What is there already is replaced
    /// as extracting an archive would: directories are kept and take the entry's
    /// attributes, everything else (an empty directory too) makes way.
    ///
    /// # Errors
    /// What the source and the filesystem meet; the batch is spoilt then.
    pub fn ingest(
        &mut self,
        at: &ImagePath,
        source: &mut dyn Source,
        ownership: Ownership,
    ) -> Result<IngestStats> {
        self.ingest_with_progress(at, source, ownership, &mut |_| {})
    }

    /// As [`Batch::ingest`]; `progress` is called after every entry.
    ///
    /// # Errors
    /// As [`Batch::ingest`].
    pub fn ingest_with_progress(
        &mut self,
        at: &ImagePath,
        source: &mut dyn Source,
        ownership: Ownership,
        progress: &mut dyn FnMut(&IngestStats),
    ) -> Result<IngestStats> {
        let top = self.run(|volume| volume.directory_at(at))?;
        let mut sink = TreeSink::new(&mut self.volume, at, top, ownership, progress);
        let result = source.feed(&mut sink);
        let stats = sink.stats;
        // Whatever stopped it, part of the tree is in.
        if let Err(error) = &result {
            self.spoilt.get_or_insert_with(|| error.to_string());
        }
        result.map(|()| stats)
    }

    /// Names a point at which the batch may be split: what was changed up to here makes
    /// sense without what follows. The batch is still one transaction if the journal can
    /// hold it, and else as few as it takes, each all or nothing, in their order.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn boundary(&mut self) -> Result<()> {
        if !self.volume.fresh {
            let part = self.run(Volume::part)?;
            self.parts.push(part);
            self.volume.hold();
        }
        Ok(())
    }

    /// Brings everything to the device, as one transaction of the journal where there
    /// is one: all of it or none of it survives a crash then, and the result says so, and
    /// when it was split. On a filesystem without a journal the order of writes is the only
    /// protection: a power cut may leave a part of the batch, which `e2fsck -p` repairs mostly
    /// and `e2fsck -y` where that refuses; what the batch does not touch is not lost.
    ///
    /// The result is read back from memory and held against what was there before a byte
    /// is written; that takes as long as reading the inodes, the blocks of directories
    /// and the bitmaps that the batch touched.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when an operation failed half-way, [`Error::TooLarge`]
    /// when the journal cannot hold the batch (make smaller batches, or name boundaries),
    /// [`Error::Corrupt`] when the result would not be right: nothing is written then.
    /// [`Error::Interrupted`] when the device failed; [`Error::outcome`] tells what of the
    /// batch is there after any of these.
    pub fn commit(self, flush: Flush) -> Result<Committed> {
        self.finish(flush, false)
    }

    /// Brings everything to the device in a sensible order, but not as one unit: for
    /// images that nobody depends on yet.
    ///
    /// # Errors
    /// As [`Batch::commit`], but for the size.
    pub fn commit_in_order(self, flush: Flush) -> Result<Committed> {
        self.finish(flush, true)
    }

    fn finish(mut self, flush: Flush, in_order: bool) -> Result<Committed> {
        if let Some(why) = self.spoilt.take() {
            return Err(Error::Unfinished { why });
        }
        if self.volume.fresh {
            return self.volume.finish_fresh(flush);
        }
        self.parts.push(self.volume.part()?);
        let plan = self.volume.plan(&self.parts, in_order)?;
        self.volume.perform(&plan, flush)
    }
}
