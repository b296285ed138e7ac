//! The memory without which a guest's kernel cannot even unpack itself: what it says in the header that every
//! bzImage begins with (Linux's `Documentation/arch/x86/boot.rst`, from protocol 2.10 on).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_proto::{Code, Mib, Refusal};

use crate::store::ImageFiles;
use crate::verb::OnHost;

/// Bytes of a file that hold the header.
const HEADER: usize = 0x264;
/// The header's `header`, `version`, `pref_address` and `init_size`: where they are.
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;
/// The first protocol with an `init_size`.
const WITH_INIT_SIZE: u16 = 0x20a;

/// Refuses memory that the kernel of this image does not start in: it would say nothing at all.
///
/// # Errors
/// [`Code::FailedPrecondition`] with the figures.
pub(super) fn check(name: &str, memory: Mib, image: &ImageFiles) -> Result<(), Refusal> {
    let Some(kernel) = of_kernel(&image.kernel()).on_host("read the image's kernel")? else {
        return Ok(());
    };
    let initrd = image.initrd().metadata().map_or(0, |metadata| metadata.len());
    let needed = kernel.saturating_add(initrd).div_ceil(1 << 20);
    if memory.get() >= needed {
        return Ok(());
    }
    let message = format!("{memory} of memory are too few for the image's kernel");
    let figures = format!("it takes {needed} MiB to unpack itself, before it says a word");
    let hint =
        format!("give it more: banger set {name} --memory {}M", (2 * needed).next_multiple_of(64));
    Err(Refusal {
        chain: vec![figures],
        ..Refusal::new(Code::FailedPrecondition, message).hint(hint)
    })
}

/// The end of what a kernel takes while it unpacks itself, in bytes from the first of the memory.
/// `None` for what is no bzImage, or one that does not say.
fn of_kernel(path: &Path) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    match File::open(path)?.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    Ok(end_of(&header))
}

fn end_of(header: &[u8; HEADER]) -> Option<u64> {
    let version = u16::from_le_bytes(*header[VERSION..].first_chunk()?);
    if !header[MAGIC..].starts_with(b"HdrS") || version < WITH_INIT_SIZE {
        return None;
    }
    let address = u64::from_le_bytes(*header[PREF_ADDRESS..].first_chunk()?);
    let size = u32::from_le_bytes(*header[INIT_SIZE..].first_chunk()?);
    address.checked_add(size.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of Debian 12's kernel: at 16 MiB, some 51.5 MiB.
    fn debian() -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[MAGIC..][..4].copy_from_slice(b"HdrS");
        header[VERSION..][..2].copy_from_slice(&0x20f_u16.to_le_bytes());
        header[PREF_ADDRESS..][..8].copy_from_slice(&0x100_0000_u64.to_le_bytes());
        header[INIT_SIZE..][..4].copy_from_slice(&53_968_896_u32.to_le_bytes());
        header
    }

    #[test]
    fn a_kernel_says_what_it_takes() {
        assert_eq!(end_of(&debian()), Some((16 << 20) + 53_968_896));
        let mut old = debian();
        old[VERSION] = 9;
        assert_eq!(end_of(&old), None);
        let mut other = debian();
        other[MAGIC] = b'h';
        assert_eq!(end_of(&other), None);
        let mut endless = debian();
        endless[PREF_ADDRESS..].fill(0xff);
        assert_eq!(end_of(&endless), None);
    }

    #[test]
    fn too_little_is_refused_with_how_much_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let image = ImageFiles::in_directory(folder.path());
        std::fs::write(image.kernel(), debian()).unwrap();
        std::fs::write(image.initrd(), vec![0; 3 << 20]).unwrap();
        let mib = |count: u64| Mib::new(count).unwrap();
        let refusal = check("web", mib(70), &image).unwrap_err();
        assert!(refusal.chain[0].contains("71 MiB"), "{refusal:?}");
        assert!(refusal.hint.contains("banger set web --memory 192M"), "{refusal:?}");
        check("web", mib(71), &image).unwrap();
        // What says nothing is not judged.
        std::fs::write(image.kernel(), b"MZ").unwrap();
        check("web", mib(1), &image).unwrap();
    }
}
