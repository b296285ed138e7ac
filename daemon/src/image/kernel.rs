//! A kernel's own word on what it is.

/// Longest release that is believed, in bytes.
const LONGEST: usize = 64;

/// What can be told of a kernel by its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kernel {
    /// A bzImage; its release where it states one.
    BzImage(Option<String>),
    /// An uncompressed ELF kernel.
    Elf,
}

/// Recognises a kernel for x86-64; `head` is its first 64 KiB or less.
pub(super) fn recognise(head: &[u8]) -> Option<Kernel> {
    if head.get(0x202..0x206) == Some(b"HdrS") {
        return Some(Kernel::BzImage(release_of(head)));
    }
    head.starts_with(b"\x7fELF\x02\x01").then_some(Kernel::Elf)
}

/// The first word of the version text, at 0x200 + the number at 0x20e.
fn release_of(head: &[u8]) -> Option<String> {
    let at = head.get(0x20e..0x210)?;
    let start = 0x200 + usize::from(u16::from_le_bytes([*at.first()?, *at.get(1)?]));
    let text = head.get(start..)?;
    let end = text.iter().take(LONGEST).position(|byte| matches!(byte, 0 | b' '))?;
    let release = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    (!release.is_empty() && release.chars().all(plain)).then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(version: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 0x400];
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        head[0x300..0x300 + version.len()].copy_from_slice(version);
        head
    }

    #[test]
    fn a_kernel_says_its_release() {
        let release = |version: &[u8]| recognise(&bzimage(version));
        assert_eq!(
            release(b"6.1.0-25-cloud-amd64 (debian-kernel@lists) #1 SMP\0"),
            Some(Kernel::BzImage(Some("6.1.0-25-cloud-amd64".into())))
        );
        assert_eq!(release(b"\0"), Some(Kernel::BzImage(None)));
        assert_eq!(release(b"a\x1b[2J b\0"), Some(Kernel::BzImage(None)));
        assert_eq!(release(&[b'x'; 80]), Some(Kernel::BzImage(None)));
    }

    #[test]
    fn what_is_no_kernel_is_not_taken_for_one() {
        assert_eq!(recognise(b"\x7fELF\x02\x01 and so on"), Some(Kernel::Elf));
        for other in [&b""[..], b"#!/bin/sh", b"\x7fELF\x01\x01", &[0; 0x206]] {
            assert_eq!(recognise(other), None);
        }
        let mut cut = bzimage(b"6.1\0");
        cut.truncate(0x20f);
        assert_eq!(recognise(&cut), Some(Kernel::BzImage(None)));
    }
}
