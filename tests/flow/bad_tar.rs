//! Tars that are cut, lie or attack: refused with a reason, and nothing of them is left.

use std::path::PathBuf;

use banger_ext4::{FileDisk, Filesystem, ImagePath};
use banger_tests::fsck;

use crate::place::{Place, Tar};

/// A member with every field as it is given.
fn member(kind: u8, name: &[u8], link: &[u8], size: &[u8], body: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, size);
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut member = header.to_vec();
    member.extend_from_slice(body);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

/// A member whose header tells the truth.
fn honest(kind: u8, name: &[u8], link: &[u8], body: &[u8]) -> Vec<u8> {
    member(kind, name, link, format!("{:011o}\0", body.len()).as_bytes(), body)
}

/// A member whose name goes before it, as GNU tar writes long ones.
fn long(kind: u8, name: &[u8], link: &[u8]) -> Vec<u8> {
    let named = honest(b'L', b"././@LongLink", b"", &[name, b"\0"].concat());
    [named, honest(kind, &name[..name.len().min(99)], link, b"")].concat()
}

/// One PAX record, its length first.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut len = rest.len() + 1;
    while len.to_string().len() + rest.len() > len {
        len += 1;
    }
    [len.to_string().as_bytes(), &rest].concat()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    honest(b'x', b"pax", b"", &body)
}

/// The members after a kernel, so that nothing but them is wrong, and the end.
fn tar(members: &[Vec<u8>]) -> Tar {
    let kernel = honest(b'0', b"boot/vmlinuz-1", b"", &Tar::kernel("1"));
    Tar([&kernel[..], &members.concat(), &[0; 1024]].concat())
}

/// Imports what must be refused, with a reason, leaving nothing.
fn refused(place: &Place, tar: &Tar) -> String {
    let before = place.traces();
    let file = place.tar(tar);
    let said = place.fails(&["image", "import", "bad", file.to_str().unwrap(), "--size", "64M"]);
    assert!(
        said.contains("error: ") && said.contains("because: ") && said.contains("try: "),
        "{said}"
    );
    assert!(!said.contains("signal"), "{said}");
    assert_eq!(place.traces(), before, "{said}");
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
    said
}

/// Imports what must be taken, and gives its root filesystem, which is whole.
fn taken(place: &Place, name: &str, tar: &Tar) -> (Filesystem, PathBuf) {
    let file = place.tar(tar);
    place.owner.ok(["image", "import", name, file.to_str().unwrap(), "--size", "64M"]);
    let rootfs = place.owner.images().join(name).join("rootfs.ext4");
    fsck::assert_clean(&rootfs);
    let file = std::fs::File::open(&rootfs).unwrap();
    (Filesystem::open(std::sync::Arc::new(FileDisk::new(file).unwrap())).unwrap(), rootfs)
}

fn text(filesystem: &Filesystem, path: &[u8]) -> String {
    let bytes = filesystem.read_file(&ImagePath::new(path).unwrap(), 1 << 20).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The same numbers in every run, without a pattern.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn a_tar_that_is_cut_anywhere_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let whole = tar(&[
        long(b'5', "folder/".repeat(20).as_bytes(), b""),
        pax(&[("path", b"a\nb"), ("mtime", b"1.5")]),
        honest(b'0', b"a", b"", &[7; 3000]),
        honest(b'2', b"link", b"nowhere", b""),
        honest(b'1', b"hard", b"a\nb", b""),
    ]);
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    // The last block of zeros is not needed.
    let needed = whole.0.len() - 1024;
    for _ in 0..40 {
        let cut = numbers.below(needed);
        refused(&place, &Tar(whole.0[..cut].to_vec()));
    }
    refused(&place, &Tar(whole.0[..needed].to_vec()));
    taken(&place, "whole", &whole);
}

#[test]
fn what_is_no_tar_is_named() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    assert!(refused(&place, &Tar(Vec::new())).contains("it is empty"));
    for (magic, name) in [
        (&b"\x1f\x8b\x08"[..], "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh9", "bzip2"),
    ] {
        let said = refused(&place, &Tar([magic, &[0x5a; 2000]].concat()));
        assert!(said.contains(&format!("compressed with {name}")), "{said}");
    }
    let mut numbers = Numbers(7);
    let junk = (0..5000).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
    assert!(refused(&place, &Tar(junk)).contains("no tar header"));
    assert!(refused(&place, &Tar(b"not a tar".to_vec())).contains("breaks off"));
    assert!(refused(&place, &Tar(vec![0; 10240])).contains("no kernel"));
}

#[test]
fn nothing_leads_out_of_the_image() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let planted = place.owner.home().join("planted");
    place.owner.write(&planted, b"the host's");
    for path in [&b"../a"[..], b"a/../../b", b"/../x", b"a/.."] {
        let said = refused(&place, &tar(&[honest(b'0', path, b"", b"x")]));
        assert!(said.contains("must not leave the tree"), "{said}");
        let said = refused(&place, &tar(&[honest(b'1', b"a", path, b"")]));
        assert!(said.contains("outside of the tree"), "{said}");
    }
    refused(&place, &tar(&[pax(&[("path", b"../../x")]), honest(b'0', b"a", b"", b"")]));
    refused(&place, &tar(&[long(b'0', b"../x", b"")]));
    // What GNU tar takes, with its leading slash dropped, is taken: inside the image.
    let host = planted.to_str().unwrap().as_bytes();
    let said = refused(&place, &tar(&[honest(b'1', b"a", host, b"")]));
    assert!(said.contains("a hard link to what was not given"), "{said}");
    // A link whose target lies in the image's own root, and a member that goes through it.
    let through = tar(&[
        honest(b'5', b"etc/", b"", b""),
        honest(b'2', b"up", b"../../../../../../etc", b""),
        honest(b'0', b"up/inside", b"", b"of the image"),
        honest(b'2', b"absolute", b"/etc", b""),
        honest(b'0', b"absolute/too", b"", b"of the image"),
        honest(b'0', b"/etc/slash", b"", b"of the image"),
        honest(b'0', b"./etc/./dot", b"", b"of the image"),
        honest(b'1', b"hard", b"/etc/slash", b""),
        honest(b'2', b"host", host, b""),
    ]);
    let (image, _) = taken(&place, "through", &through);
    for path in ["/etc/inside", "/etc/too", "/etc/slash", "/etc/dot", "/hard"] {
        assert_eq!(text(&image, path.as_bytes()), "of the image", "{path}");
    }
    assert!(!image.exists(&ImagePath::new("/host").unwrap()).unwrap(), "it dangles inside");
    assert!(!std::path::Path::new("/etc/inside").exists());
    assert_eq!(std::fs::read(&planted).unwrap(), b"the host's");
}

#[test]
fn links_that_lead_nowhere_or_in_circles() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let said = refused(&place, &tar(&[honest(b'1', b"a", b"missing", b"")]));
    assert!(said.contains("a hard link to what was not given: missing"), "{said}");
    refused(&place, &tar(&[honest(b'1', b"a", b"a", b"")]));
    refused(&place, &tar(&[honest(b'5', b"d/", b"", b""), honest(b'1', b"a", b"d", b"")]));
    refused(&place, &tar(&[honest(b'2', b"a", b"", b"")]));
    let circle = [honest(b'2', b"a", b"b", b""), honest(b'2', b"b", b"a", b"")];
    let through = [circle.concat(), honest(b'0', b"a/x", b"", b"")];
    assert!(refused(&place, &tar(&through)).contains("too many symbolic links"));
    let dangling = [honest(b'2', b"d", b"missing", b""), honest(b'0', b"d/x", b"", b"")];
    assert!(refused(&place, &tar(&dangling)).contains("no such file"));
    // As such they are ordinary.
    let (image, _) =
        taken(&place, "links", &tar(&[circle.concat(), honest(b'2', b"c", b"missing", b"")]));
    assert!(image.lstat(&ImagePath::new("/a").unwrap()).is_ok());
    assert!(image.lstat(&ImagePath::new("/c").unwrap()).is_ok());
}

#[test]
fn folders_within_folders_and_names_of_all_kinds() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let nested: Vec<_> = (1..=10_000).map(|n| long(b'5', &b"d/".repeat(n), b"")).collect();
    let said = refused(&place, &tar(&nested[..2100]));
    assert!(said.contains("larger than the limit of 4095"), "{said}");
    assert!(said.len() < 2000, "{said}");
    refused(&place, &tar(&nested[9_999..]));
    // One member alone, whose folders would be made for it.
    let path = [&b"a/".repeat(400_000)[..], b"x"].concat();
    refused(&place, &tar(&[pax(&[("path", &path)]), honest(b'0', b"x", b"", b"")]));
    refused(&place, &tar(&[pax(&[("linkpath", &path)]), honest(b'1', b"x", b"y", b"")]));
    refused(&place, &tar(&[long(b'0', &[b'n'; 256], b"")]));
    refused(&place, &tar(&[pax(&[("path", b"a\0b")]), honest(b'0', b"x", b"", b"")]));
    let deep = b"d/".repeat(2047);
    let names: [&[u8]; 5] = [b"new\nline", b"\xff\xfe", &[b'n'; 255], b" ", b"\x1b[2J"];
    let mut members: Vec<_> = names.map(|name| long(b'0', name, b"")).into();
    members.push(long(b'5', &deep, b""));
    let (image, _) = taken(&place, "names", &tar(&members));
    for name in names {
        let path = ImagePath::new([b"/", name].concat()).unwrap();
        assert!(image.exists(&path).unwrap(), "{}", name.escape_ascii());
    }
    assert!(
        image.exists(&ImagePath::new([b"/", &deep[..deep.len() - 1]].concat()).unwrap()).unwrap()
    );
}

#[test]
fn sizes_that_lie() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let sizes: [&[u8]; 8] = [
        b"00000010000\0",
        b"77777777777\0",
        b"99999999999\0",
        b"-0000000001\0",
        // Base 256: 2^63 - 1, 2^63, -1, and all bits.
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        &[0xff; 12],
        &[0xbf; 12],
    ];
    for size in sizes {
        for kind in *b"0512xLKgV" {
            refused(&place, &tar(&[member(kind, b"liar", b"x", size, b"short")]));
        }
    }
    for size in ["4097", "9223372036854775807", "9223372036854775808", "18446744073709551615"] {
        let header = pax(&[("size", size.as_bytes())]);
        refused(&place, &tar(&[header, honest(b'0', b"liar", b"", b"short")]));
    }
    refused(&place, &tar(&[pax(&[("size", b"-1")]), honest(b'0', b"liar", b"", b"")]));
    refused(&place, &tar(&[honest(b'x', b"pax", b"", b"999999 path=x\n")]));
    // Too much said of everybody.
    let said: Vec<_> = (0..200)
        .map(|n| honest(b'g', b"pax", b"", &record(&format!("k{n}"), &[b'v'; 1000])))
        .collect();
    let said = refused(&place, &tar(&[said.concat(), honest(b'0', b"a", b"", b"")]));
    assert!(said.contains("too much is said"), "{said}");
}

#[test]
fn maps_of_sparse_files_that_lie() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let old = |size: &str, map: &str| {
        let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
        tar(&[pax(&records), honest(b'0', b"sparse", b"", b"12345")])
    };
    let lies = [
        ("10", "0,4"),
        ("10", "0,6"),
        ("3", "0,5"),
        ("10", "7,5"),
        ("10", "0,5,3,0"),
        ("10", "18446744073709551615,5"),
        ("10", "0,18446744073709551615"),
        ("10", "0,5,1"),
        ("10", "x,5"),
        ("18446744073709551615", "0,5"),
        ("99999999999999999999", "0,5"),
        ("", "0,5"),
    ];
    for (size, map) in lies {
        refused(&place, &old(size, map));
    }
    let new = |map: &[u8]| {
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"10"),
        ];
        let mut body = map.to_vec();
        body.resize(512, 0);
        tar(&[pax(&records), honest(b'0', b"sparse", b"", &[&body[..], b"12345"].concat())])
    };
    for map in
        [&b"1\n0\n4\n"[..], b"2\n0\n5\n", b"9999999\n", b"1\n\n", b"99999999999999999999999\n"]
    {
        refused(&place, &new(map));
    }
    // A map that tells the truth of a file larger than the disk is no lie: it is a hole.
    let (image, rootfs) = taken(&place, "sparse", &old("1099511627776", "1099511627771,5"));
    let stat = image.stat(&ImagePath::new("/sparse").unwrap()).unwrap();
    assert_eq!(stat.size, 1 << 40);
    assert_eq!(rootfs.metadata().unwrap().len(), 64 << 20);
    taken(&place, "new", &new(b"1\n5\n5\n"));
}

#[test]
fn members_in_each_others_place() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let full = [honest(b'5', b"a/", b"", b""), honest(b'0', b"a/b", b"", b"x")].concat();
    let said = refused(&place, &tar(&[full.clone(), honest(b'0', b"a", b"", b"y")]));
    assert!(said.contains("the directory is not empty"), "{said}");
    refused(&place, &tar(&[honest(b'0', b"a", b"", b"x"), honest(b'0', b"a/b", b"", b"y")]));
    refused(&place, &tar(&[honest(b'0', b".", b"", b"the top as a file")]));
    let again = tar(&[
        honest(b'0', b"twice", b"", b"first"),
        honest(b'0', b"twice", b"", b"second"),
        honest(b'0', b"grows", b"", b"a file"),
        honest(b'5', b"grows/", b"", b""),
        honest(b'0', b"grows/in", b"", b"in it"),
        honest(b'5', b"shrinks/", b"", b""),
        honest(b'0', b"shrinks", b"", b"a file now"),
        honest(b'2', b"moved", b"twice", b""),
        honest(b'5', b"moved/", b"", b""),
        full,
        honest(b'5', b"a/", b"", b""),
    ]);
    let (image, _) = taken(&place, "again", &again);
    for (path, content) in
        [("/twice", "second"), ("/grows/in", "in it"), ("/shrinks", "a file now"), ("/a/b", "x")]
    {
        assert_eq!(text(&image, path.as_bytes()), content);
    }
}

#[test]
fn a_disk_smaller_than_its_content() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["image", "ls"]);
    let before = place.traces();
    let content = vec![0x5a; 30 << 20];
    let file = place.tar(&tar(&[honest(b'0', b"large", b"", &content)]));
    for size in ["1M", "2M", "8M", "16M"] {
        let line = ["image", "import", "bad", file.to_str().unwrap(), "--size", size];
        let said = place.fails(&line);
        assert!(said.contains("--size") && said.contains("because: "), "{size}: {said}");
        assert_eq!(place.traces(), before, "{said}");
    }
    // A work disk that the image's /root does not fit.
    let home = tar(&[honest(b'5', b"root/", b"", b""), honest(b'0', b"root/large", b"", &content)]);
    let file = place.tar(&home);
    place.owner.ok(["image", "import", "home", file.to_str().unwrap(), "--size", "64M"]);
    for size in ["1M", "16M"] {
        place.owner.ok(["vm", "create", "--name", "web", "--disk", size]);
        let before = place.traces();
        let said = place.fails(&["vm", "start", "web"]);
        assert!(said.contains("banger set web --disk SIZE"), "{said}");
        assert_eq!(place.traces(), before, "{said}");
        assert_eq!(place.state("web"), "created");
        place.owner.ok(["vm", "rm", "web"]);
    }
}
