//! `/etc/fstab`: the image's own file with our mounts in it, everything else untouched.

use super::facts::ImageFacts;
use super::plan::{Capability, Contribution, GuestSpec};

/// One line that must be there, whatever the image says of its mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    point: String,
    line: String,
}

impl Mount {
    /// `line` is the whole line, without its end.
    #[must_use]
    pub fn new(point: &str, line: String) -> Self {
        Self { point: point.to_owned(), line }
    }
}

/// Mount points whose entries are dropped: a VM has no disks for them.
const DROPPED: &[&str] = &["/home", "/var"];

/// Directories that begin empty at every boot.
pub(super) struct Scratch;

impl Capability for Scratch {
    fn contribute(&self, _spec: &GuestSpec, _image: &ImageFacts) -> Contribution {
        let tmpfs = |point: &str, mode: &str| {
            Mount::new(point, format!("tmpfs {point} tmpfs defaults,nodev,nosuid,mode={mode} 0 0"))
        };
        Contribution {
            files: Vec::new(),
            mounts: vec![tmpfs("/run", "0755"), tmpfs("/tmp", "1777")],
        }
    }
}

/// A path as a field of an entry: what would end the field, or begin an escape, is escaped.
pub(super) fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut field, letter| {
        match letter {
            ' ' => field.push_str("\\040"),
            '\t' => field.push_str("\\011"),
            '\n' => field.push_str("\\012"),
            '\\' => field.push_str("\\134"),
            other => field.push(other),
        }
        field
    })
}

/// The mount point of an entry, with the escapes of fstab undone and without a
/// slash at its end; `None` for comments, blank lines and what is no entry.
fn mount_point(line: &[u8]) -> Option<Vec<u8>> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let source = fields.next()?;
    if source.starts_with(b"#") {
        return None;
    }
    let mut point = Vec::new();
    let mut bytes = fields.next()?;
    while let [first, rest @ ..] = bytes {
        // Three octal digits stand for a byte: a space is \040.
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..]) =
            (first, rest)
        {
            point.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            bytes = rest;
        } else {
            point.push(*first);
            bytes = rest;
        }
    }
    while point.len() > 1 && point.ends_with(b"/") {
        point.pop();
    }
    Some(point)
}

/// The file with `mounts` in it: the first entry of a mount point becomes ours,
/// others of it go, one that is missing is added at the end, entries of
/// [`DROPPED`] points go. Every other line stays as it is, byte for byte.
pub(super) fn rewrite(fstab: &[u8], mounts: &[Mount]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fstab.len() + 256);
    let mut written = vec![false; mounts.len()];
    for line in fstab.split_inclusive(|byte| *byte == b'\n') {
        let point = mount_point(line);
        let ours = mounts.iter().position(|mount| Some(mount.point.as_bytes()) == point.as_deref());
        match ours {
            Some(index) => {
                if let (Some(mount), Some(written)) = (mounts.get(index), written.get_mut(index))
                    && !std::mem::replace(written, true)
                {
                    out.extend_from_slice(mount.line.as_bytes());
                    out.push(b'\n');
                }
            }
            None if point.is_some_and(|p| DROPPED.iter().any(|d| d.as_bytes() == p)) => {}
            None => out.extend_from_slice(line),
        }
    }
    for (mount, _) in mounts.iter().zip(&written).filter(|(_, written)| !**written) {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(mount.line.as_bytes());
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mounts() -> Vec<Mount> {
        let mut mounts =
            Scratch.contribute(&super::super::plan::tests::spec(), &ImageFacts::default()).mounts;
        mounts.push(Mount::new("/root", "UUID=1-2 /root ext4 defaults 0 0".into()));
        mounts
    }

    fn rewritten(text: &str) -> String {
        String::from_utf8(rewrite(text.as_bytes(), &mounts())).unwrap()
    }

    const OURS: &str = "tmpfs /run tmpfs defaults,nodev,nosuid,mode=0755 0 0\n\
        tmpfs /tmp tmpfs defaults,nodev,nosuid,mode=1777 0 0\n\
        UUID=1-2 /root ext4 defaults 0 0\n";

    #[test]
    fn an_image_without_one_gets_a_new_one() {
        assert_eq!(rewritten(""), OURS);
    }

    #[test]
    fn what_is_not_ours_stays_byte_for_byte() {
        let kept = "# /home is a comment\n\nUUID=x\t/   ext4  errors=remount-ro,x=\u{e9} 0 1\n\
            /dev/sdb /var/lib ext4 defaults 0 0\n/dev/sdc /homestead ext4 ro 0 0\n\
            /dev/sdd none swap sw 0 0\nnonsense\n/dev/sde /ho\\155e2 ext4 ro 0 0\n";
        assert_eq!(rewritten(kept), format!("{kept}{OURS}"));
    }

    #[test]
    fn entries_are_replaced_where_they_stand_and_dropped_once() {
        let text = "a /run tmpfs size=1 0 0\nb /home ext4 defaults 0 2\nc / ext4 ro 0 1\n\
            d /run/ tmpfs x 0 0\ne /var/ ext4 y 0 0\nf /\\150ome ext4 z 0 0\n  g\t/tmp tmpfs w";
        let lines: Vec<_> = OURS.lines().collect();
        let expected = format!("{}\nc / ext4 ro 0 1\n{}\n{}\n", lines[0], lines[1], lines[2]);
        assert_eq!(rewritten(text), expected);
    }

    #[test]
    fn what_is_escaped_is_read_again() {
        for path in ["/a", "/a b", "/a\\b", "/a\\040b", "/\u{e9} \t\n"] {
            let line = format!("x {} virtiofs ro 0 0", escaped(path));
            assert_eq!(line.split(' ').count(), 6, "{line}");
            assert_eq!(mount_point(line.as_bytes()).as_deref(), Some(path.as_bytes()));
        }
    }

    #[test]
    fn a_last_line_without_an_end_is_not_glued_to_ours() {
        assert_eq!(rewritten("x / ext4 ro 0 1"), format!("x / ext4 ro 0 1\n{OURS}"));
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let point = prop::sample::select(vec![
            "/",
            "/home",
            "/home/",
            "/var",
            "/run",
            "/tmp",
            "/root",
            "/srv",
            "/va\\162",
            "none",
            "\\",
            "/tmp/\\040",
            "",
        ]);
        let source = prop::sample::select(vec!["UUID=1", "#x", "#", "", "tmpfs", "\\040"]);
        let gap = prop::sample::select(vec![" ", "\t ", "\r"]);
        let end = prop::sample::select(vec!["\n", "\r\n", " ext4 ro 0 0\n", ""]);
        (gap.clone(), source, gap, point, end)
            .prop_map(|(a, b, c, d, e)| format!("{a}{b}{c}{d}{e}").into_bytes())
    }

    proptest! {
        #[test]
        fn rewriting_twice_is_rewriting_once(lines in prop::collection::vec(line(), 0..12)) {
            let once = rewrite(&lines.concat(), &mounts());
            prop_assert_eq!(&rewrite(&once, &mounts()), &once);
            for mount in mounts() {
                let count = once
                    .split(|b| *b == b'\n')
                    .filter(|l| mount_point(l).as_deref() == Some(mount.point.as_bytes()))
                    .count();
                prop_assert_eq!(count, 1);
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let once = rewrite(&bytes, &mounts());
            prop_assert_eq!(rewrite(&once, &mounts()), once);
        }
    }
}
