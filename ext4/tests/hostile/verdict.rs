//! What e2fsck says of an image and what our check says, and which differences are explained.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{
    Disk, Filesystem, Finding, FindingKind as Kind, FindingObject as Object, Findings, MemoryDisk,
    check,
};

/// Our judgement.
pub(crate) enum Ours {
    Checked(Box<Findings>),
    /// It is not even opened, and why.
    Refused(String),
}

impl Ours {
    pub(crate) fn of(image: &[u8]) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(image.to_vec()));
        match Filesystem::open_as_is(disk).and_then(|fs| check(&fs)) {
            Ok(findings) => Self::Checked(Box::new(findings)),
            Err(error) => Self::Refused(error.to_string()),
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        matches!(self, Self::Checked(findings) if findings.is_clean())
    }

    pub(crate) fn kinds(&self) -> BTreeSet<Kind> {
        match self {
            Self::Checked(findings) => findings.kinds.keys().copied().collect(),
            Self::Refused(_) => BTreeSet::new(),
        }
    }
}

impl std::fmt::Display for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checked(findings) => write!(f, "{findings}"),
            Self::Refused(error) => writeln!(f, "refused: {error}"),
        }
    }
}

/// The judgement of `e2fsck -fn`.
pub(crate) struct Theirs {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Theirs {
    pub(crate) fn of(image: &Path) -> Self {
        // It is given half a minute: an image may be made to keep it busy.
        let mut command = std::process::Command::new("timeout");
        let program = crate::fsck::tool("e2fsck").get_program().to_owned();
        let out = command.arg("30").arg(program).arg("-fn").arg(image).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        Self { code: out.status.code(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// Neither the status says that something is wrong, nor what it said. What it asks before
    /// its first pass it has forgotten by the end, so that with -n the status stays 0.
    pub(crate) fn is_clean(&self) -> bool {
        self.code == Some(0) && !self.text.lines().any(|line| line.ends_with("? no"))
    }

    /// The lines that name problems.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| is_problem(line))
    }
}

/// What we tell and e2fsck lets pass (with -n: mends without a word), each with its reason.
const STRICTER: &[(&[Kind], &str)] = &[
    (&[Kind::SuperblockCount], "ours: the superblock's counts, which e2fsck mends without a word"),
    (&[Kind::SuperblockField], "ours: fields of the superblock that e2fsck does not hold together"),
    (&[Kind::ErrorState], "ours: the mark of errors, which e2fsck takes for a reason to look"),
    (
        &[Kind::BackupSuperblock, Kind::BackupDescriptor],
        "ours: copies, of which e2fsck reads one, and with -n says nothing",
    ),
    (&[Kind::GroupFlags], "ours: flags of groups, which e2fsck clears without an error"),
    (
        &[Kind::ResizeInode],
        "ours: all of the resize inode, of which e2fsck looks at the first quarter",
    ),
    (&[Kind::Orphan], "ours: the list of orphans, which e2fsck -n does not follow"),
    (&[Kind::Journal], "ours: fields of the journal that e2fsck mends without an error"),
    (
        &[Kind::XattrEntry, Kind::XattrHash],
        "ours: prefixes and order of attributes, and the hash of their block",
    ),
    (&[Kind::InodeField], "ours: flags and fields of inodes that e2fsck passes over"),
    (&[Kind::EntryType], "ours: types in entries, which e2fsck mends without an error"),
    (
        &[Kind::XattrReferences, Kind::InodeBlocks, Kind::InlineData],
        "ours: blocks, lengths and attributes of what lies in inodes, and of the resize inode",
    ),
    (&[Kind::Symlink], "ours: targets with a NUL byte, which e2fsck takes within inodes"),
    (&[Kind::DataBehindEnd], "ours: data behind the end, of which e2fsck lets a block pass"),
    (&[Kind::MapNode], "ours: depths of extent nodes, which e2fsck does not hold together"),
    (
        &[Kind::DuplicateName],
        "ours: names that are in two blocks of a directory, of which e2fsck looks at each alone",
    ),
    (&[Kind::IndexOrder], "ours: hashes of inner index nodes, by which the kernel searches"),
];

/// What e2fsck tells and we let pass, by part of the profile's name
/// and what it says.
const LOOSER: &[(&str, &[&str], &str)] = &[
    (
        "",
        &["[QUOTA WARNING]", "Update quota info"],
        "e2fsck: sums of quota, which are none of this engine's business",
    ),
    (
        "",
        &[
            "part of the orphaned inode list",
            "part of a corrupted orphan linked list",
            "is in use, but has dtime set",
            "is not clean.",
            "Failed to initialize orphan file",
        ],
        "e2fsck: orphans on a list that is right, which -n does not follow",
    ),
    (
        "",
        &["ournal superblock is corrupt", "Cannot proceed with file system check"],
        "e2fsck: journals of less than 1,024 blocks, which this engine reads and writes",
    ),
    (
        "",
        &[
            "(desc_size = ",
            "could not be read or does not describe",
            "filesystem.  If the device",
            "filesystem (and not swap",
            "is corrupt, and you might try",
            "e2fsck -b",
            " or",
            "trying backup blocks",
        ],
        "e2fsck: the size of descriptors without `64bit`, which has no meaning then",
    ),
    (
        "",
        &["unsupported feature", "Get a newer version"],
        "e2fsck: features that it does not know, and that stand in nobody's way of reading",
    ),
    (
        "inline_data",
        &["has reference count"],
        "e2fsck: does not count attributes of links whose target lies in the inode",
    ),
    (
        "bigalloc",
        &[
            "i_blocks is",
            "lock bitmap differences",
            "Free blocks count wrong",
            "laimed",
            "cluster",
            "ass 1B",
            "additional passes",
            "shared with",
            "inode #",
            "block(s)",
        ],
        "e2fsck: who has which blocks under bigalloc, which we leave out",
    ),
];

/// A node of a tree that e2fsck follows though the kernel would not: what is below it then looks
/// free to us.
const CONSEQUENCES: &[Kind] = &[Kind::BlockBitmap, Kind::GroupCount, Kind::InodeBlocks];

/// Why the two differ; none when that is not known.
pub(crate) fn explained(name: &str, ours: &Ours, theirs: &Theirs) -> Option<&'static str> {
    let Ours::Checked(findings) = ours else {
        return None;
    };
    if theirs.is_clean() {
        let journal = |problem: &Finding| problem.object == Object::Inode(8);
        if findings.problems.iter().all(journal) {
            return Some("ours: the journal's inode, of which e2fsck looks at the map alone");
        }
        let bad_blocks = |problem: &Finding| {
            problem.object == Object::Inode(1) && problem.kind == Kind::BlockClaimedTwice
        };
        let mut reason = None;
        let mut kinds = ours.kinds();
        if findings.problems.iter().any(bad_blocks) {
            reason = Some("ours: bad blocks in metadata, which e2fsck calls an error of its own");
            let others = findings.problems.iter().filter(|problem| !bad_blocks(problem));
            kinds = others.map(|problem| problem.kind).collect();
        }
        if kinds.contains(&Kind::MapNode) {
            kinds.retain(|kind| !CONSEQUENCES.contains(kind));
        }
        // Every kind must have a reason.
        for kind in kinds {
            reason = Some(STRICTER.iter().find(|(kinds, _)| kinds.contains(&kind))?.1);
        }
        return reason;
    }
    let mut reason = None;
    for line in theirs.problems() {
        let rule = LOOSER.iter().find(|(profile, said, _)| {
            name.contains(profile) && said.iter().any(|said| line.contains(said))
        });
        reason = Some(rule?.2);
    }
    reason
}

/// A line that names a problem, and not what is done about it or how it ended.
fn is_problem(line: &str) -> bool {
    let around = ["Pass ", "e2fsck "];
    !line.trim().is_empty()
        && !around.iter().any(|start| line.starts_with(start))
        && !line.contains(" files (")
        && !line.contains("*****")
        && line.strip_suffix("? no").is_none_or(|asked| asked.contains(". "))
}
