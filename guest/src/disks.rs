//! Which disks there are, and which of them is the one with a UUID: pure.

/// Where ext4's superblock lies on a disk, in bytes, and how many of them are looked at.
pub const SUPERBLOCK: u64 = 1024;
/// Bytes of it that are needed.
pub const HEAD: usize = 0x78;

/// The names in `/proc/partitions`, which is a head, an empty line, and a disk or a part of one a line.
pub fn names(partitions: &[u8]) -> impl Iterator<Item = &[u8]> {
    partitions.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let name = fields.nth(3)?;
        // What is in a folder there has another name here; no disk of a VM is.
        (!name.contains(&b'!') && !name.contains(&b'/')).then_some(name)
    })
}

/// Whether what lies at [`SUPERBLOCK`] is ext4's, and has this UUID.
#[must_use]
pub fn has_uuid(head: &[u8; HEAD], uuid: [u8; 16]) -> bool {
    head.get(0x38..0x3a) == Some(&[0x53, 0xef]) && head.get(0x68..0x78) == Some(&uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_by_their_names() {
        let told = b"major minor  #blocks  name\n\n 254        0      98304 vda\n 254       16    8388608 vdb\n \
            259 1 5 cciss!c0d0\n 1 2\n";
        assert!(names(told).eq([&b"vda"[..], b"vdb"]));
        assert_eq!(names(b"").count(), 0);
    }

    #[test]
    fn only_ext4_has_its_uuid_there() {
        let mut head = [0; HEAD];
        head[0x68..].copy_from_slice(&[7; 16]);
        assert!(!has_uuid(&head, [7; 16]), "it is no ext4");
        head[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        assert!(has_uuid(&head, [7; 16]) && !has_uuid(&head, [8; 16]));
    }
}
