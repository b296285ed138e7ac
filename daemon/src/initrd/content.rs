//! A module's content, however the distribution packed it.

use std::io::{self, Read};

use crate::vmlinux::Format;

/// Largest module that is taken, in bytes, packed or not. ext4's has about one MiB.
pub(super) const MOST: u64 = 32 << 20;

/// A module that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// What is packed makes no sense.
    #[error("its {0} data is damaged")]
    Damaged(Format, #[source] io::Error),
    /// Too large.
    #[error("it has more than {} MiB", MOST >> 20)]
    Large,
    /// Not of this kind of processor, or something else altogether.
    #[error("it is no module for x86-64")]
    Form,
}

/// Unpacks what is packed, as its first bytes say.
pub(super) fn unpacked(content: Vec<u8>) -> Result<Vec<u8>, ContentError> {
    let content = match Format::of(&content) {
        None => content,
        Some(format) => {
            let damaged = |error| ContentError::Damaged(format, error);
            let mut unpacked = Vec::new();
            let packed = format.unpack(content.as_slice()).map_err(damaged)?;
            packed.take(MOST + 1).read_to_end(&mut unpacked).map_err(damaged)?;
            unpacked
        }
    };
    if content.len() as u64 > MOST {
        return Err(ContentError::Large);
    }
    // 64 bits, little-endian; what is linked later; for x86-64.
    let is_module =
        content.starts_with(b"\x7fELF\x02\x01") && content.get(16..20) == Some(&[1, 0, 62, 0]);
    if is_module { Ok(content) } else { Err(ContentError::Form) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn module() -> Vec<u8> {
        let mut module = vec![0; 5000];
        module[..6].copy_from_slice(b"\x7fELF\x02\x01");
        module[16..20].copy_from_slice(&[1, 0, 62, 0]);
        module.extend_from_slice(b"~Module signature appended~\n");
        module
    }

    fn packed(content: &[u8]) -> [Vec<u8>; 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(content).unwrap();
        // As the kernel's makefile has it.
        let mut options = lzma_rust2::XzOptions::with_preset(6);
        options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        xz.write_all(content).unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(content, level);
        [gzip.finish().unwrap(), xz.finish().unwrap(), zstd]
    }

    #[test]
    fn modules_are_the_same_however_they_are_packed() {
        assert_eq!(unpacked(module()).unwrap(), module());
        for packed in packed(&module()) {
            assert_ne!(packed, module());
            assert_eq!(unpacked(packed).unwrap(), module());
        }
    }

    #[test]
    fn what_is_no_module_is_not_taken() {
        let mut other = module();
        other[18] = 183;
        for content in [Vec::new(), b"\x7fELF".to_vec(), other] {
            assert!(matches!(unpacked(content), Err(ContentError::Form)));
        }
        let [gzip, xz, _] = packed(&module());
        for mut damaged in [gzip, xz] {
            damaged.truncate(damaged.len() / 2);
            assert!(matches!(unpacked(damaged), Err(ContentError::Damaged(..))));
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut io::repeat(0).take(MOST + 1), &mut gzip).unwrap();
        assert!(matches!(unpacked(gzip.finish().unwrap()), Err(ContentError::Large)));
    }
}
