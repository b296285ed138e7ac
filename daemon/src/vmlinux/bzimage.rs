//! Where in a bzImage the packed kernel lies: the header of the x86 boot protocol.

use super::error::KernelError;

/// Bytes of the file that hold the header.
pub(super) const HEAD: u64 = 0x250;
/// The first version of the protocol that says where the packed kernel lies.
const VERSION: u16 = 0x0208;
/// Bytes of a sector of the boot protocol.
const SECTOR: u64 = 512;

/// Where the packed kernel lies in the file, in bytes. Its last four say how large it is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) offset: u64,
    pub(super) length: u64,
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Bytes of the file that say what it takes to unpack itself.
pub(super) const INIT_HEAD: usize = 0x264;

/// The end of what the kernel takes while it unpacks itself (`pref_address` and `init_size`), in bytes
/// from the first of the memory. `None` for what is no bzImage, or one older than protocol 2.10.
pub(super) fn end_of_unpacking(head: &[u8]) -> Option<u64> {
    let version = u16::from_le_bytes(bytes(head, 0x206)?);
    if bytes(head, 0x202)? != *b"HdrS" || version < 0x020a {
        return None;
    }
    let address = u64::from_le_bytes(bytes(head, 0x258)?);
    address.checked_add(u32::from_le_bytes(bytes(head, 0x260)?).into())
}

/// Reads the header; `file` is the length of all of it.
pub(super) fn payload(head: &[u8], file: u64) -> Result<Payload, KernelError> {
    let form = KernelError::Form;
    let two = |at| bytes(head, at).map(u16::from_le_bytes).ok_or(form("it is cut short"));
    let four = |at| bytes(head, at).map(u32::from_le_bytes).ok_or(form("it is cut short"));
    if two(0x1fe)? != 0xaa55 || four(0x202)?.to_le_bytes() != *b"HdrS" {
        return Err(form("it has no header of the boot protocol"));
    }
    if two(0x206)? < VERSION {
        return Err(form("it is older than Linux 2.6.26"));
    }
    let [setup_sects] = bytes(head, 0x1f1).ok_or(form("it is cut short"))?;
    // None means four: so it was when there was no such field.
    let setup = if setup_sects == 0 { 4 } else { u64::from(setup_sects) };
    let offset = (setup + 1) * SECTOR + u64::from(four(0x248)?);
    let length = u64::from(four(0x24c)?);
    if length <= 4 {
        return Err(form("nothing is packed in it"));
    }
    if offset + length > file {
        return Err(form("it is cut short"));
    }
    Ok(Payload { offset, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u16, setup_sects: u8, offset: u32, length: u32) -> Vec<u8> {
        let mut head = vec![0; 0x250];
        head[0x1f1] = setup_sects;
        head[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        head[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
        head[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        head
    }

    #[test]
    fn it_lies_behind_the_sectors_of_the_setup() {
        let found = payload(&head(0x020f, 27, 0x2c4, 100), 1 << 20).unwrap();
        assert_eq!(found, Payload { offset: 28 * 512 + 0x2c4, length: 100 });
        assert_eq!(payload(&head(0x020f, 0, 0, 100), 1 << 20).unwrap().offset, 5 * 512);
        assert!(payload(&head(0x020f, 1, 0, 100), 1024 + 100).is_ok());
    }

    #[test]
    fn what_lies_outside_is_refused_and_so_is_any_other_head() {
        let largest = head(0x020f, 255, u32::MAX, u32::MAX);
        let others = [
            (head(0x0207, 1, 0, 100), 1 << 20),
            (head(0x020f, 1, 0, 4), 1 << 20),
            (head(0x020f, 1, 0, 100), 1024 + 99),
            (largest, 1 << 20),
            (head(0x020f, 1, 0, 100)[..0x24f].to_vec(), 1 << 20),
            (vec![0; 0x250], 1 << 20),
            (Vec::new(), 0),
        ];
        for (head, file) in others {
            assert!(matches!(payload(&head, file), Err(KernelError::Form(_))), "{file}");
        }
    }
}
