//! A device that fails at any one of its writes, flushes and reads: what the error says of
//! the batch is what is found afterwards, and the next to open the filesystem repairs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the result of a proof")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use banger_ext4::journal::JournalLocation;
use banger_ext4::{
    Attributes, Batch, Committed, Disk, Error, Filesystem, Flush, FormatOptions, ImagePath, Inodes,
    Journal, Limits, MemoryDisk, Outcome, Result, Timestamp, check, grow,
};

const ROOT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The n-th write or flush alone.
    Once(u64),
    /// It and all that follow.
    From(u64),
    /// The same, and half of the sectors of the write are written.
    ShortFrom(u64),
    /// The n-th read alone.
    Read(u64),
}

/// A device with a fault, that knows what it would still have after a power cut.
struct Faulty {
    now: MemoryDisk,
    durable: Mutex<Vec<u8>>,
    fault: Fault,
    writes: AtomicU64,
    reads: AtomicU64,
    kind: io::ErrorKind,
}

impl Faulty {
    fn new(content: &[u8], fault: Fault) -> Arc<Self> {
        let n = match fault {
            Fault::None => 0,
            Fault::Once(n) | Fault::From(n) | Fault::ShortFrom(n) | Fault::Read(n) => n,
        };
        // No room, and no answer.
        let kind = if n % 2 == 0 { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        Arc::new(Self {
            now: MemoryDisk::from(content.to_vec()),
            durable: Mutex::new(content.to_vec()),
            fault,
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            kind,
        })
    }

    fn content(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.now.len()).unwrap()];
        self.now.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn fails(&self) -> bool {
        let n = self.writes.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::None | Fault::Read(_) => false,
            Fault::Once(at) => n == at,
            Fault::From(at) | Fault::ShortFrom(at) => n >= at,
        }
    }

    fn error(&self, action: &'static str, offset: u64) -> Error {
        Error::Io { action, offset, source: io::Error::from(self.kind) }
    }
}

impl Disk for Faulty {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let n = self.reads.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::Read(n) {
            return Err(self.error("read", offset));
        }
        self.now.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        if self.fails() {
            if matches!(self.fault, Fault::ShortFrom(_)) {
                self.now.write_at(offset, &data[..data.len() / 1024 * 512])?;
            }
            return Err(self.error("write", offset));
        }
        self.now.write_at(offset, data)
    }

    fn flush(&self) -> Result<()> {
        if self.fails() {
            return Err(self.error("flush", 0));
        }
        *self.durable.lock().unwrap() = self.content();
        Ok(())
    }

    fn len(&self) -> u64 {
        self.now.len()
    }
}

/// What is found, everything checked: names, sizes, owners, and how large it all is.
fn tree(content: &[u8]) -> Vec<String> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content.to_vec()));
    let fs = Filesystem::open(disk).unwrap();
    let found = check(&fs).unwrap();
    assert!(found.is_clean(), "{:#?}", found.problems);
    let mut lines = vec![format!("{} blocks", fs.geometry().blocks_count)];
    fs.walk(&ImagePath::root(), &Limits::default(), &mut |entry| {
        let mut content = Vec::new();
        if entry.stat.kind == banger_ext4::FileKind::Regular {
            let at = ImagePath::new([b"/", entry.path.as_slice()].concat())?;
            content = fs.read_file(&at, u64::MAX)?;
        }
        let mut sum = DefaultHasher::new();
        content.hash(&mut sum);
        let stat = &entry.stat;
        lines.push(format!("{:?} {:?} {} {}", entry.path, stat.kind, stat.uid, sum.finish()));
        Ok(())
    })
    .unwrap();
    lines.sort();
    lines
}

fn made(journal: Journal) -> Vec<u8> {
    let disk: Arc<MemoryDisk> = Arc::new(MemoryDisk::new(3 << 20));
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions {
        block_size: Some(1024),
        journal,
        inodes: Inodes::Count(400),
        ..FormatOptions::new([1; 16], [2; 16], now)
    };
    let mut batch = Batch::create(Arc::clone(&disk) as Arc<dyn Disk>, &options).unwrap();
    batch.make_directory(&path("/dir"), ROOT).unwrap();
    for n in 0..40_u8 {
        batch.write_file(&path(&format!("/dir/{n}")), ROOT, &[n + 1; 2000]).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    Arc::into_inner(disk).unwrap().into_bytes()
}

/// With a journal of so few blocks that a batch takes several transactions.
fn with_tiny_journal(content: &[u8]) -> Vec<u8> {
    let faulty = Faulty::new(content, Fault::None);
    let disk = Arc::clone(&faulty) as Arc<dyn Disk>;
    let fs = Filesystem::open_as_is(Arc::clone(&disk)).unwrap();
    let mut journal = JournalLocation::find(&fs).unwrap().unwrap();
    journal.superblock.set_s_maxlen(18);
    journal.write_superblock(&disk).unwrap();
    faulty.content()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Batch { direct: bool, boundaries: bool, flush: Flush },
    Grow,
}

fn work(disk: Arc<dyn Disk>, work: Work) -> Result<Committed> {
    let Work::Batch { direct, boundaries, flush } = work else {
        let grown = grow(&disk, true, Flush::PowerSafe)?;
        return Ok(Committed { atomic: grown.atomic, transactions: 1, blocks: 0 });
    };
    let mut batch = if direct { Batch::open_direct(disk)? } else { Batch::open(disk)? };
    for n in 0..6_u8 {
        batch.write_file(&path(&format!("/dir/{n}")), ROOT, &[n ^ 99; 5000])?;
        batch.make_directory(&path(&format!("/new{n}")), ROOT)?;
        batch.rename(&path(&format!("/dir/{}", n + 10)), &path(&format!("/new{n}/moved")))?;
        batch.remove(&path(&format!("/dir/{}", n + 20)))?;
        if boundaries {
            batch.boundary()?;
        }
    }
    batch.commit(flush)
}

/// Left out but for `BANGER_SOAK`: each write fails in one way of three, and each third read.
fn sampled(n: u64) -> bool {
    !n.is_multiple_of(3) && std::env::var_os("BANGER_SOAK").is_none()
}

/// Plays one fault through; what the error said.
fn fails(start: &[u8], trees: &[Vec<String>], what: Work, fault: Fault) -> Option<Outcome> {
    let disk = Faulty::new(start, fault);
    let result = work(Arc::clone(&disk) as Arc<dyn Disk>, what);
    let outcome = result.as_ref().err().map(Error::outcome);
    if let Err(error) = &result {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        assert!(cause.is::<io::Error>(), "{fault:?}: {error}");
    }
    let power_safe = !matches!(what, Work::Batch { flush: Flush::ProcessSafe, .. });
    let durable = disk.durable.lock().unwrap().clone();
    let states = [Some(disk.content()), power_safe.then_some(durable)];
    for state in states.into_iter().flatten() {
        let found = tree(&state);
        let at = trees.iter().position(|tree| *tree == found);
        let at = at.unwrap_or_else(|| panic!("{what:?}, {fault:?}: none of the trees"));
        let last = trees.len() - 1;
        match outcome {
            None | Some(Outcome::Applied) => assert_eq!(at, last, "{what:?}, {fault:?}"),
            Some(Outcome::NotApplied) => assert_eq!(at, 0, "{what:?}, {fault:?}"),
            Some(Outcome::Partly { .. }) => assert!(at > 0 && at < last, "{what:?}, {fault:?}"),
            Some(Outcome::Unknown) => {}
        }
        // The next one to open it repairs it, in place.
        let repaired = Faulty::new(&state, Fault::None);
        let batch = Batch::open(Arc::clone(&repaired) as Arc<dyn Disk>).unwrap();
        batch.commit(Flush::PowerSafe).unwrap();
        assert!(tree(&repaired.content()) == found, "{what:?}, {fault:?}");
    }
    outcome
}

fn every_fault(start: &[u8], what: Work, look: bool) {
    // The trees at the flushes: before, after, and at boundaries.
    let whole = Faulty::new(start, Fault::None);
    let committed = work(Arc::clone(&whole) as Arc<dyn Disk>, what).unwrap();
    let (writes, reads) =
        (whole.writes.load(Ordering::Relaxed), whole.reads.load(Ordering::Relaxed));
    let mut trees = vec![tree(start)];
    if committed.transactions > 1 {
        for n in 0..writes {
            let cut = Faulty::new(start, Fault::From(n));
            work(Arc::clone(&cut) as Arc<dyn Disk>, what).unwrap_err();
            let found = tree(&cut.content());
            if !trees.contains(&found) {
                trees.push(found);
            }
        }
        assert_eq!(trees.len(), committed.transactions as usize + 1);
    } else {
        trees.push(tree(&whole.content()));
    }
    let mut said = Vec::new();
    for n in 0..writes {
        for (k, fault) in (n..).zip([Fault::Once(n), Fault::From(n), Fault::ShortFrom(n)]) {
            if sampled(k) {
                continue;
            }
            let outcome = fails(start, &trees, what, fault);
            assert!(outcome.is_some(), "{what:?}, {fault:?}: a failed write is told");
            said.extend(outcome);
        }
    }
    for n in 0..if look { reads } else { 0 } {
        if sampled(n) {
            continue;
        }
        let outcome = fails(start, &trees, what, Fault::Read(n));
        assert!(outcome.is_none_or(|outcome| outcome == Outcome::NotApplied || what == Work::Grow));
        said.extend(outcome);
    }
    for outcome in [Outcome::NotApplied, Outcome::Applied, Outcome::Unknown] {
        assert!(said.contains(&outcome), "{what:?}: {outcome} was met");
    }
    let partly = said.iter().any(|outcome| matches!(outcome, Outcome::Partly { .. }));
    assert_eq!(partly, committed.transactions > 1);
    println!(
        "RESULT a device that fails, {what:?}, {} transactions: {writes} writes and flushes, \
         {reads} reads, {} failures, 0 violations",
        committed.transactions,
        said.len()
    );
}

#[test]
fn the_error_of_a_failed_commit_says_what_is_there() {
    let start = made(Journal::Blocks(1024));
    for (direct, flush) in
        [(false, Flush::PowerSafe), (false, Flush::ProcessSafe), (true, Flush::PowerSafe)]
    {
        every_fault(&start, Work::Batch { direct, boundaries: false, flush }, !direct);
    }
}

#[test]
fn the_error_of_a_failed_commit_in_parts_says_which_are_there() {
    let start = with_tiny_journal(&made(Journal::Blocks(1024)));
    for direct in [false, true] {
        let what = Work::Batch { direct, boundaries: true, flush: Flush::PowerSafe };
        every_fault(&start, what, false);
    }
}

#[test]
fn the_error_of_a_growth_that_failed_says_whether_it_is_there() {
    let mut longer = made(Journal::Blocks(1024));
    longer.resize(12 << 20, 0);
    every_fault(&longer, Work::Grow, false);
}

#[test]
fn a_replay_that_fails_can_be_repeated() {
    let start = made(Journal::Blocks(1024));
    let what = Work::Batch { direct: false, boundaries: false, flush: Flush::PowerSafe };
    // Cut off behind the commit point: the journal is to be replayed.
    let dirty = (0..)
        .map(|n| {
            let cut = Faulty::new(&start, Fault::From(n));
            let error = work(Arc::clone(&cut) as Arc<dyn Disk>, what).unwrap_err();
            (error.outcome(), cut.content())
        })
        .find(|(outcome, _)| *outcome == Outcome::Applied);
    let (_, dirty) = dirty.unwrap();
    let expected = tree(&dirty);
    let opened = |content: &[u8], fault| {
        let disk = Faulty::new(content, fault);
        let result = Batch::open(Arc::clone(&disk) as Arc<dyn Disk>).map(drop);
        (result, disk)
    };
    let (result, whole) = opened(&dirty, Fault::None);
    result.unwrap();
    let writes = whole.writes.load(Ordering::Relaxed);
    assert!(writes > 10, "{writes}");
    for n in 0..writes {
        for fault in [Fault::Once(n), Fault::From(n), Fault::ShortFrom(n)] {
            let (result, disk) = opened(&dirty, fault);
            assert_eq!(result.unwrap_err().outcome(), Outcome::NotApplied);
            for state in [disk.content(), disk.durable.lock().unwrap().clone()] {
                assert!(tree(&state) == expected, "{fault:?}");
                let (result, repaired) = opened(&state, Fault::None);
                result.unwrap();
                assert!(tree(&repaired.content()) == expected, "{fault:?}");
            }
        }
    }
}

#[test]
fn without_a_journal_a_failure_is_seen_and_marked() {
    let start = made(Journal::None);
    let what = Work::Batch { direct: false, boundaries: false, flush: Flush::PowerSafe };
    let old = tree(&start);
    let whole = Faulty::new(&start, Fault::None);
    let committed = work(Arc::clone(&whole) as Arc<dyn Disk>, what).unwrap();
    assert!(!committed.atomic && committed.transactions == 0);
    let new = tree(&whole.content());
    let (mut absent, mut unknown) = (0, 0);
    for n in 0..whole.writes.load(Ordering::Relaxed) {
        for fault in [Fault::Once(n), Fault::From(n), Fault::ShortFrom(n)] {
            let disk = Faulty::new(&start, fault);
            let error = work(Arc::clone(&disk) as Arc<dyn Disk>, what).unwrap_err();
            let (now, durable) = (disk.content(), disk.durable.lock().unwrap().clone());
            match error.outcome() {
                Outcome::NotApplied => {
                    assert!(tree(&now) == old && tree(&durable) == old, "{fault:?}");
                    absent += 1;
                }
                Outcome::Unknown => {
                    // Nobody writes to it before it was checked, unless it is as it was,
                    // or as it is to be.
                    for state in [now, durable] {
                        let again = Faulty::new(&state, Fault::None);
                        match Batch::open(Arc::clone(&again) as Arc<dyn Disk>) {
                            Ok(_) => {
                                let found = tree(&state);
                                assert!(found == old || found == new, "{fault:?}");
                            }
                            Err(error) => {
                                assert!(error.to_string().contains("e2fsck -p"), "{error}");
                            }
                        }
                    }
                    unknown += 1;
                }
                other => panic!("{fault:?}: {other}"),
            }
        }
    }
    assert!(absent > 0 && unknown > 5, "{absent} {unknown}");
}

/// What fills a filesystem in the middle of a batch.
type Filling = fn(&mut Batch) -> Result<()>;

#[test]
fn a_filesystem_that_becomes_full_refuses_the_batch() {
    let start = made(Journal::Blocks(1024));
    let blocks: Filling = |batch| {
        (0..).try_for_each(|n| batch.write_file(&path(&format!("/b{n}")), ROOT, &[7; 90_000]))
    };
    let inodes: Filling =
        |batch| (0..).try_for_each(|n| batch.write_file(&path(&format!("/i{n}")), ROOT, b""));
    // The blocks of the directory itself.
    let names: Filling = |batch| {
        let free = batch.filesystem()?.superblock().free_blocks_count() as usize;
        batch.write_file(&path("/large"), ROOT, &vec![7; (free - 20) * 1024]).unwrap();
        (0..).try_for_each(|n| {
            batch.hard_link(&path("/dir/3"), &path(&format!("/dir/{n}{:0200}", 0)))
        })
    };
    let mut spoilt = 0;
    for fill in [blocks, inodes, names] {
        for direct in [false, true] {
            let disk = Faulty::new(&start, Fault::None);
            let device = Arc::clone(&disk) as Arc<dyn Disk>;
            let open = if direct { Batch::open_direct } else { Batch::open };
            let mut batch = open(Arc::clone(&device)).unwrap();
            batch.remove(&path("/dir/1")).unwrap();
            let full = fill(&mut batch).unwrap_err();
            assert!(matches!(full, Error::NoSpace { .. }), "{full}");
            // What was refused before it changed anything leaves the batch as it was.
            match batch.commit(Flush::PowerSafe) {
                Err(refused) => {
                    assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
                    assert_eq!(refused.outcome(), Outcome::NotApplied);
                    let now = disk.content();
                    assert!(direct || now == start, "nothing was written");
                    assert!(tree(&now) == tree(&start));
                    spoilt += 1;
                }
                Ok(_) => assert!(tree(&disk.content()) != tree(&start)),
            }
            // Another batch is taken.
            let mut batch = Batch::open(device).unwrap();
            batch.remove(&path("/dir/2")).unwrap();
            batch.commit(Flush::PowerSafe).expect("a small batch is taken");
            tree(&disk.content());
        }
    }
    assert!(spoilt >= 2, "{spoilt}");
}

#[test]
fn journals_that_take_no_transaction_are_refused_at_once() {
    let start = made(Journal::Blocks(1024));
    let with = |change: fn(&mut JournalLocation)| {
        let faulty = Faulty::new(&start, Fault::None);
        let disk = Arc::clone(&faulty) as Arc<dyn Disk>;
        let fs = Filesystem::open_as_is(Arc::clone(&disk)).unwrap();
        let mut journal = JournalLocation::find(&fs).unwrap().unwrap();
        change(&mut journal);
        journal.write_superblock(&disk).unwrap();
        let before = faulty.content();
        let error = Batch::open_direct(disk).map(drop).unwrap_err();
        assert!(faulty.content() == before);
        error.to_string()
    };
    let said = with(|journal| journal.superblock.set_s_errno(5));
    assert!(said.contains("stopped by an error"), "{said}");
    // Not asked to replay, and yet something is there.
    let said = with(|journal| journal.superblock.set_s_start(7));
    assert!(said.contains("not empty"), "{said}");
}
