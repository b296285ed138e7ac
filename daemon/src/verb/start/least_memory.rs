//! The memory without which a guest's kernel cannot even unpack itself, as the header of its bzImage says it
//! (Linux's `Documentation/arch/x86/boot.rst`, from protocol 2.10 on).

use banger_proto::{Code, Mib, Refusal};

use crate::store::ImageFiles;
use crate::verb::OnHost;
use crate::vmlinux;

/// Refuses memory that the kernel of this image does not start in: it would say nothing at all.
///
/// # Errors
/// [`Code::FailedPrecondition`] with the figures.
pub(super) fn check(name: &str, memory: Mib, image: &ImageFiles) -> Result<(), Refusal> {
    let Some(kernel) =
        vmlinux::end_of_unpacking(&image.kernel()).on_host("read the image's kernel")?
    else {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of Debian 12's kernel: at 16 MiB, some 51.5 MiB.
    fn debian() -> [u8; 0x264] {
        let mut header = [0; 0x264];
        header[0x202..][..4].copy_from_slice(b"HdrS");
        header[0x206..][..2].copy_from_slice(&0x20f_u16.to_le_bytes());
        header[0x258..][..8].copy_from_slice(&0x100_0000_u64.to_le_bytes());
        header[0x260..][..4].copy_from_slice(&53_968_896_u32.to_le_bytes());
        header
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
        // What says nothing, or nothing that can be, is not judged.
        let mut old = debian();
        old[0x206] = 9;
        let mut other = debian();
        other[0x202] = b'h';
        let mut endless = debian();
        endless[0x258..].fill(0xff);
        for kernel in [&b"MZ"[..], &old, &other, &endless] {
            std::fs::write(image.kernel(), kernel).unwrap();
            check("web", mib(1), &image).unwrap();
        }
    }
}
