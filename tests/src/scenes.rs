//! What is cut by crashes: filesystems of every kind, as they are made, as the kernel leaves
//! them and as it leaves them when it is killed, and random batches on them.

use std::path::Path;
use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::{Batch, Disk, Error, Filesystem, Flush, MemoryDisk, Outcome, grow};

use crate::crash::{Scene, device, tree_on};
use crate::image::disk;
use crate::profile::{Profile, Writing};
use crate::random_batch::{Donor, change, furnish};
use crate::recorder::{Random, Recorder};
use crate::{kernel, root};

/// Bytes of a filesystem, and of one with a large journal.
const SIZE: u64 = 16 << 20;
const LARGE: u64 = 32 << 20;

/// How a filesystem came to be what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// The kernel never saw it: its journal has no features yet.
    New,
    /// The kernel had it and let go of it.
    Mounted,
    /// The kernel was killed: a journal to replay, files without names.
    Killed,
    /// The same after so many transactions that the log goes round its end.
    Wrapped,
}

/// A filesystem that is worked on.
pub struct Base {
    /// For people.
    pub name: String,
    /// The device.
    pub content: Vec<u8>,
    profile: &'static Profile,
}

/// Open files without names, blocks of a directory that become others', and no unmount.
const KILLED: &str = r#"
import os, subprocess, sys
top, live, dead, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
held = []
for n in range(4):
    f = open(f"{top}/open{n}", "w+b"); f.write(os.urandom(9000 * n + 10)); f.flush()
    os.fsync(f.fileno()); held.append(f)
os.mkdir(top + "/gone")
for n in range(60): open(f"{top}/gone/t{n:04d}-" + "x" * 60, "w").write("t%d" % n)
sync(top + "/gone"); sync(top)
for n in range(4): os.unlink(f"{top}/open{n}")
for n in range(rounds):
    with open(f"{top}/d{n % 4}/k{n % 9}", "w") as f:
        f.write("round %d\n" % n); f.flush(); os.fsync(f.fileno())
for n in os.listdir(top + "/gone"): os.unlink(top + "/gone/" + n)
os.rmdir(top + "/gone"); os.rename(top + "/d0/n1", top + "/d1/renamed")
sync(top)
for n in range(3):
    with open(f"{top}/d2/reuse{n}", "wb") as f:
        f.write(os.urandom(20000)); f.flush(); os.fsync(f.fileno())
os.setxattr(top + "/d0/n2", "user.x", b"v" * 100); sync(top + "/d0")
subprocess.run(["cp", "--sparse=always", live, dead], check=True)
"#;

impl Base {
    /// Makes one below `folder`.
    pub fn make(folder: &Path, profile: &'static Profile, past: Past) -> Self {
        let (image, dead) = (folder.join("live.img"), folder.join("dead.img"));
        let large = profile.arguments.iter().any(|word| word.starts_with("-Jsize"));
        profile.make(&image, if large { LARGE } else { SIZE });
        let mut batch = Batch::open(disk(&image)).expect("a filesystem of mke2fs opens");
        furnish(&mut batch);
        batch.commit(Flush::ProcessSafe).expect("there is room for a little furniture");
        let content = match past {
            Past::New => std::fs::read(&image),
            Past::Mounted => {
                kernel::mounted(&image, "rw", |top| {
                    root::script(r#"echo more > "$1/d1/more""#, &[top.as_os_str()])
                });
                std::fs::read(&image)
            }
            Past::Killed | Past::Wrapped => {
                let rounds = if past == Past::Wrapped { "260" } else { "20" };
                kernel::mounted(&image, "rw,commit=300", |top| {
                    let arguments = [
                        KILLED.as_ref(),
                        top.as_os_str(),
                        image.as_os_str(),
                        dead.as_os_str(),
                        rounds.as_ref(),
                    ];
                    let script = r#"python3 -c "$1" "$2" "$3" "$4" "$5"; chmod a+rw "$4""#;
                    root::script(script, &arguments)
                });
                std::fs::read(&dead)
            }
        };
        let content = content.expect("the image can be read");
        Self { name: format!("{}, {past:?}", profile.name), content, profile }
    }

    /// Whether the log to be replayed goes round the journal's end.
    pub fn log_is_wrapped(&self) -> bool {
        let disk = device(&self.content);
        let Ok(fs) = Filesystem::open_as_is(Arc::clone(&disk)) else { return false };
        let Ok(Some(journal)) = JournalLocation::find(&fs) else { return false };
        let (first, start) = (journal.superblock.s_first(), journal.superblock.s_start());
        let begun = journal.superblock.s_sequence();
        (first..start.min(first + 100)).any(|number| {
            let block = journal.read(&disk, number.into()).expect("a block of the journal");
            let word = |at: usize| u32::from_be_bytes(block[at..at + 4].try_into().expect("four"));
            word(0) == 0xc03b_3998 && word(8) > begun
        })
    }
}

/// A batch on a base, to be cut.
pub fn scene(base: &Base, donor: &Donor, random: &mut Random) -> Scene {
    let kind = random.below(8);
    let before = device(&base.content);
    let can_grow = !base.profile.arguments.iter().any(|word| word.contains("sparse_super2"));
    if kind == 7 && can_grow {
        return growing(base, random);
    }
    let old = tree_on(&before);
    let recorder = Arc::new(Recorder::over(Arc::new(MemoryDisk::from(base.content.clone()))));
    let device = Arc::clone(&recorder) as Arc<dyn Disk>;
    let direct = kind >= 4;
    let mut batch = if direct { Batch::open_direct(device) } else { Batch::open(device) }
        .expect("every kind of filesystem opens");
    let mut allowed = vec![old];
    let parts = if kind.is_multiple_of(3) { 3 } else { 1 };
    for part in 0..parts {
        if part > 0 {
            batch.boundary().expect("memory can be read");
        }
        let (steps, most) = if kind == 6 { (60, 600_000) } else { (5 + random.below(20), 40_000) };
        if let Err(error) = change(random, &mut batch, donor, steps, most) {
            // Full: nothing of it may ever be seen.
            assert!(matches!(error, Error::NoSpace { .. }), "{}: {error}", base.name);
            let refused = batch.commit(Flush::PowerSafe).expect_err("it is spoilt");
            assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
            assert_eq!(refused.outcome(), Outcome::NotApplied);
            let name = format!("{}, a batch for which there was no room", base.name);
            let epochs = recorder.epochs();
            return Scene { name, before, epochs, allowed, in_order: false, grows: false };
        }
    }
    let in_order = kind == 3;
    let flush = if in_order { Flush::ProcessSafe } else { Flush::PowerSafe };
    let committed = batch.commit(flush).unwrap_or_else(|error| panic!("{}: {error}", base.name));
    assert_eq!(base.profile.writing, Writing::Atomic);
    assert!(committed.atomic && committed.transactions <= 1, "{}: {committed:?}", base.name);
    allowed.push(tree_on(&(Arc::clone(&recorder) as Arc<dyn Disk>)));
    let name = format!("{}, batch of kind {kind}", base.name);
    Scene { name, before, epochs: recorder.epochs(), allowed, in_order, grows: false }
}

fn growing(base: &Base, random: &mut Random) -> Scene {
    let mut content = base.content.clone();
    content.resize(content.len() + ((1 + random.below(12)) << 20) as usize, 0);
    let before = device(&content);
    let old = tree_on(&before);
    let recorder = Arc::new(Recorder::over(Arc::new(MemoryDisk::from(content))));
    let device = Arc::clone(&recorder) as Arc<dyn Disk>;
    let grown = grow(&device, true, Flush::PowerSafe).expect("every kind grows");
    assert!(grown.atomic, "{}", base.name);
    let allowed = vec![old, tree_on(&device)];
    let name = format!("{}, growing", base.name);
    Scene { name, before, epochs: recorder.epochs(), allowed, in_order: false, grows: true }
}

/// Batches that a journal of a few blocks takes in several transactions. Only the engine
/// can judge these: the kernel wants 1,024 blocks.
pub fn split(base: &Base, donor: &Donor, random: &mut Random) -> Scene {
    let content = MemoryDisk::from(base.content.clone());
    let disk: Arc<dyn Disk> = Arc::new(content);
    let fs = Filesystem::open_as_is(Arc::clone(&disk)).expect("it opens");
    let mut journal = JournalLocation::find(&fs).expect("it is sound").expect("it is there");
    journal.superblock.set_s_maxlen(36);
    journal.write_superblock(&disk).expect("memory can be written");
    let mut content = vec![0; base.content.len()];
    disk.read_at(0, &mut content).expect("memory can be read");
    let before = device(&content);
    let mut allowed = vec![tree_on(&before)];
    let recorder = Arc::new(Recorder::over(Arc::new(MemoryDisk::from(content))));
    let device = Arc::clone(&recorder) as Arc<dyn Disk>;
    let open = if random.below(2) == 0 { Batch::open } else { Batch::open_direct };
    let mut batch = open(Arc::clone(&device)).expect("it opens");
    for _ in 0..16 {
        change(random, &mut batch, donor, 2, 40_000).expect("there is room");
        let now = batch.filesystem().expect("it can be read").disk().clone();
        allowed.push(tree_on(&now));
        batch.boundary().expect("memory can be read");
    }
    let name = match batch.commit(Flush::PowerSafe) {
        Ok(committed) => format!("{}, {} transactions", base.name, committed.transactions),
        Err(error @ Error::TooLarge { .. }) => {
            assert_eq!(error.outcome(), Outcome::NotApplied);
            allowed.truncate(1);
            format!("{}, a part that is too large", base.name)
        }
        Err(error) => panic!("{}: {error}", base.name),
    };
    Scene { name, before, epochs: recorder.epochs(), allowed, in_order: false, grows: false }
}
