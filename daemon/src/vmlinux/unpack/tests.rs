//! Kernels packed in every way, cut, lied about and damaged.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// A kernel that can be loaded: two segments and some text that packs well.
fn elf() -> Vec<u8> {
    let mut elf = vec![0; 0x3000];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &2_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(24, &0x0100_0010_u64.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &2_u16.to_le_bytes());
    for (number, (offset, address, size)) in
        [(0x1000_u64, 0x0100_0000_u64, 0x1000_u64), (0x2000, 0x0200_0000, 0x800)].iter().enumerate()
    {
        let at = 64 + 56 * number;
        put(at, &1_u32.to_le_bytes());
        put(at + 8, &offset.to_le_bytes());
        put(at + 24, &address.to_le_bytes());
        put(at + 32, &size.to_le_bytes());
        put(at + 40, &(size + 0x100).to_le_bytes());
    }
    for (at, byte) in elf.iter_mut().enumerate().skip(0x1000) {
        *byte = (at * at / 7 % 251) as u8 & 0xf8;
    }
    elf
}

const FORMATS: [Format; 6] =
    [Format::Gzip, Format::Xz, Format::Zstd, Format::Lz4, Format::Bzip2, Format::Lzma];

/// As the kernel's makefile packs, with the size behind it.
fn pack(format: Format, data: &[u8]) -> Vec<u8> {
    let mut packed = match format {
        Format::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            writer.write_all(data).unwrap();
            return writer.finish().unwrap();
        }
        Format::Xz => {
            let mut options = lzma_rust2::XzOptions::with_preset(6);
            options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
            // As for x86: jumps are made absolute before.
            options.prepend_pre_filter(lzma_rust2::FilterType::BcjX86, 0);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        Format::Lzma => {
            let options = lzma_rust2::LzmaOptions::with_preset(6);
            let mut writer =
                lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        Format::Zstd => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(data, level)
        }
        Format::Bzip2 => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            writer.write_all(data).unwrap();
            writer.finish().unwrap()
        }
        Format::Lz4 => {
            let mut packed = 0x184c_2102_u32.to_le_bytes().to_vec();
            for block in data.chunks(8 << 20) {
                let block = lz4_flex::block::compress(block);
                packed.extend_from_slice(&(block.len() as u32).to_le_bytes());
                packed.extend_from_slice(&block);
            }
            packed
        }
    };
    packed.extend_from_slice(&(data.len() as u32).to_le_bytes());
    packed
}

fn bzimage(packed: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x800];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&0x400_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    image.extend_from_slice(packed);
    image.extend_from_slice(b"what follows a kernel: its signature");
    image
}

fn unpacked(image: &[u8]) -> Result<Vec<u8>, KernelError> {
    let mut to = Cursor::new(Vec::new());
    let bytes = unpack(&mut Cursor::new(image), &mut to)?;
    let to = to.into_inner();
    assert_eq!(to.len() as u64, bytes);
    Ok(to)
}

#[test]
fn what_was_packed_is_there_again_in_every_format() {
    let mut kernel = elf();
    for format in FORMATS {
        assert_eq!(unpacked(&bzimage(&pack(format, &kernel))).unwrap(), kernel, "{format}");
    }
    // More than one block of LZ4, and of bzip2; other formats' windows have moved on.
    kernel.resize(9 << 20, 7);
    for format in [Format::Lz4, Format::Bzip2, Format::Zstd] {
        assert!(unpacked(&bzimage(&pack(format, &kernel))).unwrap() == kernel, "{format}");
    }
}

#[test]
fn a_kernel_that_is_not_packed_is_taken_as_it_is() {
    assert_eq!(unpacked(&elf()).unwrap(), elf());
}

#[test]
fn cut_anywhere_it_is_refused() {
    for format in FORMATS {
        let packed = pack(format, &elf());
        let image = bzimage(&packed);
        let end = 0x800 + packed.len();
        for cut in (0..end).step_by(7) {
            assert!(unpacked(&image[..cut]).is_err(), "{format} {cut}");
            // It says that it ends there, and with its right size.
            if let Some(rest) = cut.checked_sub(0x800) {
                let mut short = packed[..rest].to_vec();
                short.extend_from_slice(&(elf().len() as u32).to_le_bytes());
                // What comes after the last byte of the kernel itself may be missing.
                if let Ok(all) = unpacked(&bzimage(&short)) {
                    assert_eq!(all, elf(), "{format} {cut}");
                }
            }
        }
    }
}

#[test]
fn it_may_not_lie_about_its_size() {
    for format in FORMATS {
        for wrong in [0, 1, elf().len() as u32 - 1, elf().len() as u32 + 1, u32::MAX] {
            let mut packed = pack(format, &elf());
            let at = packed.len() - 4;
            packed[at..].copy_from_slice(&wrong.to_le_bytes());
            assert!(unpacked(&bzimage(&packed)).is_err(), "{format} {wrong}");
        }
    }
}

#[test]
fn what_is_packed_otherwise_is_named() {
    let error = unpacked(&bzimage(b"\x89LZO\0\r\n\x1a\n0000")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "its compression is not known: it begins with [89, 4c, 5a, 4f, 00, 0d]"
    );
}

#[test]
fn a_small_file_cannot_take_much_memory_or_space() {
    // A window of 4 GiB: in LZMA's head, and as zstd says it.
    let mut lzma = pack(Format::Lzma, &elf());
    lzma[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    let zstd = b"\x28\xb5\x2f\xfd\x00\xf8\0\0\0\0\0\x30\0\0";
    for packed in [&lzma[..], zstd] {
        let error = unpacked(&bzimage(packed)).unwrap_err();
        assert!(
            matches!(error, KernelError::Damaged { .. } | KernelError::Unknown(_)),
            "{error:?}"
        );
    }
    // A GiB of zeros in a few KiB stops at what it says.
    let bomb = pack(Format::Lz4, &vec![0; 64 << 20]);
    let mut lie = bomb.clone();
    let at = lie.len() - 4;
    lie[at..].copy_from_slice(&1000_u32.to_le_bytes());
    let mut to = Cursor::new(Vec::new());
    assert!(matches!(
        unpack(&mut Cursor::new(bzimage(&lie)), &mut to),
        Err(KernelError::Size(1000))
    ));
    assert!(to.into_inner().len() <= 1000);
    assert!(matches!(unpacked(&bzimage(&bomb)), Err(KernelError::Load(_))));
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let changes: [(usize, &[u8]); 12] = [
        (4, &[1]),                            // 32 bits
        (16, &[1]),                           // an object file
        (18, &[0xb7]),                        // for ARM
        (24, &0x0050_0000_u64.to_le_bytes()), // begins nowhere
        (32, &0x2fff_u64.to_le_bytes()),      // segments behind the end
        (32, &u64::MAX.to_le_bytes()),
        (54, &[57]),
        (56, &[0]),
        (56, &[0xff, 0xff]),
        (64 + 8, &u64::MAX.to_le_bytes()), // a segment behind the end
        (64 + 24, &0x1000_u64.to_le_bytes()), // in the first MiB
        (64 + 40, &u64::MAX.to_le_bytes()), // larger than memory
    ];
    for (at, bytes) in changes {
        let mut kernel = elf();
        kernel[at..at + bytes.len()].copy_from_slice(bytes);
        for image in [kernel.clone(), bzimage(&pack(Format::Gzip, &kernel))] {
            assert!(matches!(unpacked(&image), Err(KernelError::Load(_))), "{at}");
        }
    }
    for short in [&b"\x7fELF\x02\x01"[..], &elf()[..70]] {
        assert!(matches!(unpacked(short), Err(KernelError::Load(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is changed in it, it ends, and what comes of it can be loaded.
    #[test]
    fn damage_is_refused_or_gives_something_that_can_be_loaded(
        format in 0..FORMATS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut image = bzimage(&pack(FORMATS[format], &elf()));
        for (at, byte) in changes {
            let at = at.index(image.len());
            image[at] = byte;
        }
        if let Ok(kernel) = unpacked(&image) {
            prop_assert!(elf::check(&mut Cursor::new(&kernel), kernel.len() as u64).is_ok());
        }
    }

    /// What is no kernel at all, with a head that leads to it.
    #[test]
    fn noise_ends(format in 0..FORMATS.len(), noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut packed = pack(FORMATS[format], b"x");
        packed.truncate(6);
        packed.extend_from_slice(&noise);
        packed.extend_from_slice(&100_u32.to_le_bytes());
        prop_assert!(unpacked(&bzimage(&packed)).is_err());
    }
}
