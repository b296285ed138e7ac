//! What the kernel's command line says of the root filesystem, its init and parameters of modules: pure.

use crate::text::{Text, Unfit};

/// Bytes of a UUID.
const UUID: usize = 16;

/// Where the root filesystem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root<'a> {
    /// On the disk whose ext4 filesystem has this UUID.
    Uuid([u8; UUID]),
    /// On this device, which has a file below `/dev`.
    Device(&'a [u8]),
    /// It is named in a way that is not known here.
    Unknown(&'a [u8]),
}

/// What is to be mounted, and run then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Where the root filesystem is; `None` when nothing says so.
    pub root: Option<Root<'a>>,
    /// The filesystems that are tried, with commas between them.
    pub types: &'a [u8],
    /// What the filesystem itself is told.
    pub flags: &'a [u8],
    /// Nothing is written to it. As for the kernel itself, that is so unless `rw` is said.
    pub read_only: bool,
    /// The init that is asked for.
    pub init: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// Reads a command line. Of words that contradict each other the last one holds.
    #[must_use]
    pub fn of(line: &'a [u8]) -> Self {
        let mut wanted =
            Self { root: None, types: b"ext4", flags: b"", read_only: true, init: None };
        for word in words(line) {
            let (name, value) = split(word);
            match (name, value) {
                (b"ro", None) => wanted.read_only = true,
                (b"rw", None) => wanted.read_only = false,
                (b"root", Some(value)) => wanted.root = Some(root(value)),
                (b"rootfstype", Some(value)) => wanted.types = value,
                (b"rootflags", Some(value)) => wanted.flags = value,
                (b"init", Some(value)) => wanted.init = Some(value),
                _ => {}
            }
        }
        wanted
    }
}

/// The words of a command line, up to the one behind which those of the init stand. Blanks between quotes
/// end none.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && byte.is_ascii_whitespace()
    })
    .filter(|word| !word.is_empty())
    .take_while(|word| *word != b"--")
}

/// A word's name and value, without the quotes around the value or all of it.
fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    let bare = |text: &'_ [u8]| -> (usize, usize) {
        let from = usize::from(text.starts_with(b"\""));
        let end = text.len() - usize::from(text.len() > from && text.ends_with(b"\""));
        (from, end)
    };
    let whole = if word.starts_with(b"\"") {
        let (from, end) = bare(word);
        word.get(from..end).unwrap_or_default()
    } else {
        word
    };
    match whole.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, value) = whole.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            let (from, end) = if value.starts_with(b"\"") { bare(value) } else { (0, value.len()) };
            (name, value.get(from..end))
        }
        None => (whole, None),
    }
}

fn root(value: &[u8]) -> Root<'_> {
    if let Some(uuid) = value.strip_prefix(b"UUID=") {
        return parse_uuid(uuid).map_or(Root::Unknown(value), Root::Uuid);
    }
    if value.starts_with(b"/dev/") { Root::Device(value) } else { Root::Unknown(value) }
}

/// Reads a UUID as it is written.
fn parse_uuid(text: &[u8]) -> Option<[u8; UUID]> {
    let mut digits = text.iter().filter(|byte| **byte != b'-');
    let mut digit = || match digits.next()? {
        byte @ b'0'..=b'9' => Some(byte - b'0'),
        byte @ (b'a'..=b'f' | b'A'..=b'F') => Some((byte | 0x20) - b'a' + 10),
        _ => None,
    };
    let mut uuid = [0; UUID];
    for byte in &mut uuid {
        *byte = (digit()? << 4) | digit()?;
    }
    digit().is_none().then_some(uuid).filter(|_| text.len() == 36)
}

/// The parameters of a module: all that begins with its name and a dot, without that. Nobody else gives
/// them to a module that is loaded by hand.
///
/// # Errors
/// [`Unfit`] when they are longer than the result can be.
pub fn parameters<const N: usize>(line: &[u8], module: &[u8]) -> Result<Text<N>, Unfit> {
    let alike = |one: &u8, other: &u8| {
        let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
        plain(*one) == plain(*other)
    };
    let mut found = Text::default();
    for word in words(line) {
        let name = word.get(..module.len()).unwrap_or_default();
        let is_ours = name.len() == module.len()
            && name.iter().zip(module).all(|(one, other)| alike(one, other));
        let Some(rest) = word.get(module.len()..).and_then(|rest| rest.strip_prefix(b".")) else {
            continue;
        };
        if is_ours {
            if !found.bytes().is_empty() {
                found.push(b" ")?;
            }
            found.push(rest)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_bangerds() {
        let line =
            b"root=UUID=6f1c1c1e-7d0a-4b53-9d35-0d4f7f3f0a11 rw rootfstype=ext4 console=ttyS0 \
            quiet panic=-1 net.ifnames=0 reboot=k\n";
        let uuid = [
            0x6f, 0x1c, 0x1c, 0x1e, 0x7d, 0x0a, 0x4b, 0x53, 0x9d, 0x35, 0x0d, 0x4f, 0x7f, 0x3f,
            0x0a, 0x11,
        ];
        let wanted = Wanted {
            root: Some(Root::Uuid(uuid)),
            types: b"ext4",
            flags: b"",
            read_only: false,
            init: None,
        };
        assert_eq!(Wanted::of(line), wanted);
    }

    #[test]
    fn the_last_word_holds_and_nothing_behind_two_dashes() {
        let line =
            b"rw root=/dev/vdb ro root=/dev/vda rootflags=\"a=1, b\" init=/bin/sh -- init=/x rw";
        let wanted = Wanted::of(line);
        assert_eq!(wanted.root, Some(Root::Device(b"/dev/vda")));
        assert_eq!(wanted.flags, b"a=1, b");
        assert_eq!((wanted.init, wanted.read_only), (Some(&b"/bin/sh"[..]), true));
        assert_eq!(Wanted::of(b"\"rootflags=a b\" \"ro\" \"").flags, b"a b");
        assert_eq!(Wanted::of(b"").root, None);
        assert_eq!(Wanted::of(b"root init rootfstype").root, None);
    }

    #[test]
    fn a_root_that_is_named_otherwise_is_unknown() {
        for name in ["LABEL=x", "UUID=", "UUID=6f1c1c1e", "PARTUUID=1-2", "", "vda", "254:0"] {
            let line = format!("root={name}");
            let root = Wanted::of(line.as_bytes()).root;
            assert_eq!(root, Some(Root::Unknown(name.as_bytes())), "{name}");
        }
        let long = b"root=UUID=6f1c1c1e-7d0a-4b53-9d35-0d4f7f3f0a111";
        assert!(matches!(Wanted::of(long).root, Some(Root::Unknown(_))));
        let other = b"root=UUID=6f1c1c1e-7d0a-4b53-9d35-0d4f7f3f0a1g";
        assert!(matches!(Wanted::of(other).root, Some(Root::Unknown(_))));
    }

    #[test]
    fn a_module_gets_its_own_parameters() {
        let line = b"virtio_mmio.device=4K@0xd0000000:5 virtio-mmio.device=4K@0xd0001000:6 \
            virtio_mmiox.a=1 virtio_mmio quiet xvirtio_mmio.b=2 -- virtio_mmio.c=3";
        let found = parameters::<128>(line, b"virtio_mmio").unwrap();
        assert_eq!(found.bytes(), b"device=4K@0xd0000000:5 device=4K@0xd0001000:6");
        assert_eq!(parameters::<8>(line, b"virtio_blk").unwrap().bytes(), b"");
        assert_eq!(parameters::<8>(line, b"virtio_mmio").unwrap_err(), Unfit);
    }
}
