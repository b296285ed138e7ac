//! Which kernel a kernel is, in its own words: what its modules' folder is called.

use std::io::{self, Read};

use memchr::memmem;

/// How every kernel's banner begins.
const BANNER: &[u8] = b"Linux version ";
/// Longest release that is believed, in bytes: as long as `uname` has place for.
const LONGEST: usize = 64;

/// The release in the banner of an unpacked kernel; `None` when there is none.
///
/// # Errors
/// The kernel cannot be read.
pub(crate) fn release(kernel: &mut impl Read) -> io::Result<Option<String>> {
    let mut piece = vec![0; 256 << 10];
    let mut kept = 0;
    loop {
        let count = match kernel.read(piece.get_mut(kept..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        let whole = piece.get(..kept + count).unwrap_or_default();
        let banners = memmem::find_iter(whole, BANNER);
        let mut behind = banners.map(|at| whole.get(at + BANNER.len()..).unwrap_or_default());
        if let Some(found) = behind.find_map(first_word) {
            return Ok(Some(found.to_owned()));
        }
        if count == 0 {
            return Ok(None);
        }
        // One that begins in the end of this piece is found in the next.
        let from = whole.len().saturating_sub(BANNER.len() + LONGEST);
        kept = whole.len() - from;
        piece.copy_within(from..from + kept, 0);
    }
}

/// The first of some words, when it is a release. Formats and messages of kernels begin like banners, too.
fn first_word(text: &[u8]) -> Option<&str> {
    let end = text.iter().take(LONGEST).position(|byte| *byte == b' ')?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    (word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(plain)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn a_kernel_says_which_it_is() {
        let banner =
            b"Linux version %s (\0Linux version \0Linux version 6.1.0-56-cloud-amd64 (x@y) #1 SMP";
        for before in [0, 3, (256 << 10) - 20, (256 << 10) - 5, 600_000] {
            let kernel = [&vec![b'L'; before][..], banner].concat();
            for most in [1 << 20, 4096, 7] {
                let found = release(&mut Slow(&kernel, most)).unwrap();
                assert_eq!(found.as_deref(), Some("6.1.0-56-cloud-amd64"), "{before} {most}");
            }
        }
    }

    #[test]
    fn what_is_no_release_is_none() {
        let long = format!("Linux version 6{} ", "1".repeat(LONGEST));
        for text in [
            "",
            "Linux version ",
            "Linux version ../.. ",
            "Linux version 6/1 ",
            "Linux version 6.1",
            &long,
        ] {
            assert_eq!(release(&mut text.as_bytes()).unwrap(), None, "{text}");
        }
    }
}
