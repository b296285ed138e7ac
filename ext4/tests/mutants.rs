//! Tars with random damage: refused, or taken into a filesystem that is whole. Never a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use banger_ext4::{
    Batch, Filesystem, Flush, FormatOptions, ImagePath, Journal, MemoryDisk, Ownership, TarStream,
    Timestamp, check,
};
use proptest::prelude::*;

/// A tar with a member of every kind, some described by extended headers.
fn whole() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, link: &str, body: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(body.len() as u64);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        builder.append(&header, body).unwrap();
    };
    use tar::EntryType as Kind;
    add("a/", Kind::Directory, "", b"");
    add("a/b", Kind::Regular, "", &[b'b'; 1500]);
    add("a/hard", Kind::Link, "a/b", b"");
    add("a/soft", Kind::Symlink, "../a", b"");
    add("a/soft/through", Kind::Regular, "", b"through");
    add("a/device", Kind::Char, "", b"");
    add("././@LongLink", Kind::GNULongName, "", format!("{}x\0", "deep/".repeat(30)).as_bytes());
    add("deep", Kind::Regular, "", b"long");
    add("pax", Kind::XHeader, "", b"13 path=a\nb=\n15 mtime=-1.25\n29 SCHILY.xattr.user.note=ab\n");
    add("p", Kind::Regular, "", b"pax");
    add("pax", Kind::XHeader, "", b"22 GNU.sparse.size=10\n22 GNU.sparse.map=2,5\n");
    add("sparse", Kind::Regular, "", b"12345");
    add("a", Kind::Directory, "", b"");
    add("a/b", Kind::Regular, "", b"again");
    builder.into_inner().unwrap()
}

fn options() -> FormatOptions {
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    FormatOptions { journal: Journal::None, ..FormatOptions::new([1; 16], [2; 16], now) }
}

/// Makes the sum of the header that holds `at` right, as an attacker would.
fn sum(bytes: &mut [u8], at: usize) {
    let start = at / 512 * 512;
    let Some(block) = bytes.get_mut(start..start + 512) else { return };
    let mut header = tar::Header::from_byte_slice(block).clone();
    header.set_cksum();
    block.copy_from_slice(header.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_refused_or_does_no_harm(
        changes in prop::collection::vec((0usize..14_000, any::<u8>(), any::<bool>()), 1..6),
        cut in prop::option::weighted(0.1, 0usize..14_000),
    ) {
        let mut bytes = whole();
        for (at, byte, honest) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
            if honest {
                sum(&mut bytes, at);
            }
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let disk = Arc::new(MemoryDisk::new(8 << 20));
        let mut batch = Batch::create(disk.clone(), &options()).unwrap();
        let mut source = TarStream::new(&bytes[..]);
        let taken = batch.ingest(&ImagePath::root(), &mut source, Ownership::Keep);
        if taken.is_err() {
            prop_assert!(batch.commit(Flush::ProcessSafe).is_err(), "it was spoilt");
            return Ok(());
        }
        batch.commit(Flush::ProcessSafe).unwrap();
        let found = check(&Filesystem::open(disk).unwrap()).unwrap();
        prop_assert!(found.is_clean(), "{:#?}", found.problems);
    }
}

#[test]
fn it_is_taken_as_it_is() {
    let disk = Arc::new(MemoryDisk::new(8 << 20));
    let mut batch = Batch::create(disk.clone(), &options()).unwrap();
    let bytes = whole();
    batch.ingest(&ImagePath::root(), &mut TarStream::new(&bytes[..]), Ownership::Keep).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    let filesystem = Filesystem::open(disk).unwrap();
    let read = |path: &str| filesystem.read_file(&ImagePath::new(path).unwrap(), 99).unwrap();
    assert_eq!(read("/a/b"), b"again");
    assert_eq!(read("/a/through"), b"through");
    assert_eq!(read("/a\nb="), b"pax");
    assert_eq!(read("/sparse"), b"\0\x0012345\0\0\0");
    assert!(check(&filesystem).unwrap().is_clean());
}
