//! What a worker is asked, and how that crosses to it.

use banger_proto::roothelper::{Ext4Operation, Ext4Owner, Ext4Write, LinkTarget};
use banger_proto::{FileMode, GuestPath};

use super::codec::{Garbled, In, Out};
use super::refusal::{Blame, Refusal};
use super::state::{Look, Touched};

/// Most paths or changes of a request.
pub const MOST_ENTRIES: usize = 65_536;
/// Bytes of the largest request. (The transport takes 4 MiB.)
pub(super) const LARGEST: usize = 8 << 20;

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// What is at these paths, in so many bytes of content and names?
    Read { paths: Vec<GuestPath>, limit: u64 },
    /// Do all of this.
    Write { writes: Vec<Ext4Write> },
    /// In which state are these?
    Look { touched: Vec<Touched> },
}

const READ: u8 = 1;
const WRITE: u8 = 2;
const LOOK: u8 = 3;

const FILE: u8 = 1;
const DIRECTORY: u8 = 2;
const MISSING_DIRECTORY: u8 = 3;
const SYMLINK: u8 = 4;
const OWNERSHIP: u8 = 5;
const REMOVED: u8 = 6;

impl Request {
    /// The message, if it is one that a worker takes.
    pub(super) fn message(&self) -> Result<Vec<u8>, Refusal> {
        let entries = match self {
            Self::Read { paths, .. } => paths.len(),
            Self::Write { writes } => writes.len(),
            Self::Look { touched } => touched.len(),
        };
        let refuse = |what: String| Refusal { blame: Blame::Limit, chain: vec![what] };
        if entries > MOST_ENTRIES {
            return Err(refuse(format!("{entries} entries are more than {MOST_ENTRIES}")));
        }
        let message = self.encode();
        if message.len() > LARGEST {
            return Err(refuse(format!("{} bytes are more than {LARGEST}", message.len())));
        }
        Ok(message)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        match self {
            Self::Read { paths, limit } => {
                out.u8(READ).u64(*limit).count(paths.len());
                for path in paths {
                    out.bytes(path.as_bytes());
                }
            }
            Self::Write { writes } => {
                out.u8(WRITE).count(writes.len());
                for write in writes {
                    out.bytes(write.path.as_bytes());
                    put_operation(&mut out, &write.operation);
                }
            }
            Self::Look { touched } => {
                out.u8(LOOK).count(touched.len());
                for touched in touched {
                    let (links, content) = (touched.look.links, touched.look.content);
                    out.bytes(touched.path.as_bytes()).u8(links.into()).u8(content.into());
                }
            }
        }
        out.finish()
    }

    /// Reads a request, every value checked as at the edge of the helper.
    pub(super) fn decode(message: &[u8]) -> Result<Self, Garbled> {
        let mut from = In::new(message);
        let request = match from.u8()? {
            READ => {
                let limit = from.u64()?;
                Self::Read { paths: list(&mut from, path)?, limit }
            }
            WRITE => {
                let write = |from: &mut In<'_>| {
                    Ok(Ext4Write { path: path(from)?, operation: operation(from)? })
                };
                Self::Write { writes: list(&mut from, write)? }
            }
            LOOK => {
                let touched = |from: &mut In<'_>| {
                    let path = path(from)?;
                    let look = Look { links: from.bool()?, content: from.bool()? };
                    Ok(Touched { path, look })
                };
                Self::Look { touched: list(&mut from, touched)? }
            }
            _ => return Err(Garbled("a request is of no known kind")),
        };
        from.end().map(|()| request)
    }
}

fn list<T>(
    from: &mut In<'_>,
    one: impl Fn(&mut In<'_>) -> Result<T, Garbled>,
) -> Result<Vec<T>, Garbled> {
    // A path alone takes five bytes.
    let count = from.count(5)?;
    if count > MOST_ENTRIES {
        return Err(Garbled("a request has too many entries"));
    }
    (0..count).map(|_| one(from)).collect()
}

fn path(from: &mut In<'_>) -> Result<GuestPath, Garbled> {
    GuestPath::new(from.bytes()?).map_err(|_| Garbled("a path is none"))
}

fn put_owner(out: &mut Out, owner: Ext4Owner) {
    out.u32(owner.mode.bits().into()).u32(owner.uid).u32(owner.gid);
}

pub(super) fn owner(from: &mut In<'_>) -> Result<Ext4Owner, Garbled> {
    let mode = FileMode::new(from.u32()?).map_err(|_| Garbled("a mode is none"))?;
    Ok(Ext4Owner { mode, uid: from.u32()?, gid: from.u32()? })
}

fn put_operation(out: &mut Out, operation: &Ext4Operation) {
    match operation {
        Ext4Operation::File { content, owner } => {
            out.u8(FILE).bytes(content);
            put_owner(out, *owner);
        }
        Ext4Operation::Directory(owner) => put_owner(out.u8(DIRECTORY), *owner),
        Ext4Operation::MissingDirectory(owner) => put_owner(out.u8(MISSING_DIRECTORY), *owner),
        Ext4Operation::Symlink(target) => {
            out.u8(SYMLINK).bytes(target.as_bytes());
        }
        Ext4Operation::Ownership(owner) => put_owner(out.u8(OWNERSHIP), *owner),
        Ext4Operation::Removed => {
            out.u8(REMOVED);
        }
    }
}

fn operation(from: &mut In<'_>) -> Result<Ext4Operation, Garbled> {
    Ok(match from.u8()? {
        FILE => Ext4Operation::File { content: from.bytes()?.to_vec(), owner: owner(from)? },
        DIRECTORY => Ext4Operation::Directory(owner(from)?),
        MISSING_DIRECTORY => Ext4Operation::MissingDirectory(owner(from)?),
        SYMLINK => {
            let target = LinkTarget::new(from.bytes()?);
            Ext4Operation::Symlink(target.map_err(|_| Garbled("a target is none"))?)
        }
        OWNERSHIP => Ext4Operation::Ownership(owner(from)?),
        REMOVED => Ext4Operation::Removed,
        _ => return Err(Garbled("a change is of no known kind")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let owner = Ext4Owner { mode: FileMode::new(0o6755).unwrap(), uid: 1, gid: u32::MAX };
        let path = |text: &str| GuestPath::new(text).unwrap();
        let operations = [
            Ext4Operation::File { content: vec![0, 1, 255], owner },
            Ext4Operation::Directory(owner),
            Ext4Operation::MissingDirectory(owner),
            Ext4Operation::Symlink(LinkTarget::new("../x").unwrap()),
            Ext4Operation::Ownership(owner),
            Ext4Operation::Removed,
        ];
        let writes: Vec<_> = operations
            .into_iter()
            .map(|operation| Ext4Write { path: path("/a/b"), operation })
            .collect();
        vec![
            Request::Read { paths: vec![path("/"), path("/etc/fstab")], limit: u64::MAX },
            Request::Look { touched: Touched::of(&writes) },
            Request::Write { writes },
        ]
    }

    #[test]
    fn a_request_survives_and_no_other_bytes_are_one() {
        for request in requests() {
            let message = request.encode();
            assert_eq!(Request::decode(&message).as_ref(), Ok(&request));
            for len in 0..message.len() {
                assert!(Request::decode(&message[..len]).is_err(), "{len} bytes of {request:?}");
            }
        }
        for bad in [&[][..], &[9], &[READ, 0, 0, 0, 0, 0, 0, 0, 9, 255, 255, 255, 255]] {
            assert!(Request::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        let path = GuestPath::new("/a").unwrap();
        let removed = Ext4Write { path, operation: Ext4Operation::Removed };
        let many = |count| Request::Write { writes: vec![removed.clone(); count] }.message();
        assert!(many(MOST_ENTRIES).is_ok());
        assert_eq!(many(MOST_ENTRIES + 1).unwrap_err().blame, Blame::Limit);
        let name = [b"/".as_slice(), &[b'a'; 255]].concat().repeat(15);
        let paths = vec![GuestPath::new(name).unwrap(); LARGEST / 3840 + 1];
        assert!(Request::Read { paths, limit: 1 }.message().is_err());
    }

    #[test]
    fn paths_are_checked_on_this_side_too() {
        for bad in [&b"etc"[..], b"/a/../b", b"/a\0"] {
            let mut out = Out::default();
            out.u8(READ).u64(1).count(1).bytes(bad);
            assert_eq!(Request::decode(&out.finish()), Err(Garbled("a path is none")));
        }
    }
}
