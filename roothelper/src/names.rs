//! Every name of a kernel object or file of root, computed from (owner's uid, VM's id).
//!
//! | object | name | longest | the kernel's limit |
//! | --- | --- | --- | --- |
//! | dm device | `banger-u<uid>-<vm>` | 55 | `DM_NAME_LEN` 128 with its NUL |
//! | dm uuid | `BANGER-1-u<uid>-<vm>-root` | 62 | `DM_UUID_LEN` 129 with its NUL |
//! | tap | `bgr` + 12 of base 32 | 15 | `IFNAMSIZ` 16 with its NUL |
//! | tap's altname | `banger-u<uid>-<vm>` | 55 | `ALTIFNAMSIZ` 128 with its NUL |
//! | tap's alias | the altname, a space, the guest's address | 71 | `IFALIASZ` 256 with its NUL |
//! | copy-on-write file | `<uid>/<vm>.cow` | 51 | `NAME_MAX` 255 a component |
//!
//! The dm uuid is a device's ownership record: the kernel lets nobody change it. A tap's is its alias: its owner may
//! do much to a tap that is open, and nothing to that.

use banger_proto::VmId;
use sha2::{Digest, Sha256};

use crate::OwnerUid;

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ownership {
    /// The owner, from the socket.
    pub uid: OwnerUid,
    /// The VM, from the request.
    pub vm: VmId,
}

/// The names of one VM's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Name of the device-mapper device.
    pub dm_name: String,
    /// Its uuid, which says whose it is.
    pub dm_uuid: String,
    /// Interface name of the tap.
    pub tap: String,
    /// Alternative name of the tap, and the beginning of its alias, which says whose it is.
    pub tap_altname: String,
    /// Path of the copy-on-write file below the helper's state directory.
    pub overlay: String,
}

/// How the uuid of every device of ours begins.
pub(crate) const DM_UUID_PREFIX: &str = "BANGER-1-u";
const DM_UUID_SUFFIX: &str = "-root";
const DM_NAME_PREFIX: &str = "banger-u";
const TAP_PREFIX: &str = "bgr";
/// Characters of the hash in a tap's name: 60 bits.
const TAP_HASH: usize = 12;

impl Names {
    /// The names of the objects of one VM.
    #[must_use]
    pub fn of(ownership: Ownership) -> Self {
        let Ownership { uid, vm } = ownership;
        let name = format!("{DM_NAME_PREFIX}{uid}-{vm}");
        Self {
            dm_uuid: format!("{DM_UUID_PREFIX}{uid}-{vm}{DM_UUID_SUFFIX}"),
            tap: format!("{TAP_PREFIX}{}", hash(ownership)),
            tap_altname: name.clone(),
            dm_name: name,
            overlay: format!("{uid}/{vm}.cow"),
        }
    }
}

/// The first characters of the owner's and VM's digest in base 32 without look-alikes.
fn hash(Ownership { uid, vm }: Ownership) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digest =
        Sha256::new().chain_update(uid.get().to_be_bytes()).chain_update(vm.as_bytes()).finalize();
    digest
        .iter()
        .take(TAP_HASH)
        // Five bits of each byte; a digest's bits are as good as each other.
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .map(|&byte| char::from(byte))
        .collect()
}

impl Ownership {
    /// Whose the device with this dm uuid is; `None` when it is none of ours.
    #[must_use]
    pub fn from_dm_uuid(dm_uuid: &str) -> Option<Self> {
        let middle = dm_uuid.strip_prefix(DM_UUID_PREFIX)?.strip_suffix(DM_UUID_SUFFIX)?;
        // Only the spelling that we write is ours: `+1`, `01` are not.
        Self::from_middle(middle).filter(|&of| Names::of(of).dm_uuid == dm_uuid)
    }

    /// Whose the loop device is that root named after a dm device, or the tap that has the same alternative name; `None`
    /// when it is none of ours.
    #[must_use]
    pub fn from_dm_name(dm_name: &str) -> Option<Self> {
        let middle = dm_name.strip_prefix(DM_NAME_PREFIX)?;
        Self::from_middle(middle).filter(|&of| Names::of(of).dm_name == dm_name)
    }

    fn from_middle(middle: &str) -> Option<Self> {
        let (uid, vm) = middle.split_once('-')?;
        Some(Self { uid: OwnerUid::new(uid.parse().ok()?).ok()?, vm: vm.parse().ok()? })
    }

    /// Whose the copy-on-write file of this relative path is; `None` when it is none of ours.
    #[must_use]
    pub fn from_overlay(path: &str) -> Option<Self> {
        let (uid, vm) = path.strip_suffix(".cow")?.split_once('/')?;
        let ownership = Self { uid: OwnerUid::new(uid.parse().ok()?).ok()?, vm: vm.parse().ok()? };
        (Names::of(ownership).overlay == path).then_some(ownership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const VM: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn ownership(uid: u32) -> Ownership {
        Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VM.parse().unwrap() }
    }

    #[test]
    fn names_are_what_the_documentation_says() {
        let names = Names::of(ownership(1000));
        assert_eq!(names.dm_name, format!("banger-u1000-{VM}"));
        assert_eq!(names.dm_uuid, format!("BANGER-1-u1000-{VM}-root"));
        assert_eq!(names.overlay, format!("1000/{VM}.cow"));
        assert_eq!(names.tap_altname, names.dm_name);
        assert!(names.tap.starts_with("bgr"));
    }

    #[test]
    fn the_longest_names_fit_the_kernel() {
        let names = Names::of(ownership(0x7fff_ffff));
        assert_eq!(names.dm_name.len(), 55);
        assert_eq!(names.dm_uuid.len(), 62);
        assert_eq!(names.tap.len(), 15);
        assert_eq!(names.overlay.len(), 51);
    }

    #[test]
    fn what_is_not_ours_has_no_owner() {
        let good = Names::of(ownership(1000)).dm_uuid;
        assert_eq!(Ownership::from_dm_uuid(&good), Some(ownership(1000)));
        for bad in [
            String::new(),
            "LVM-abc".to_owned(),
            good.to_lowercase(),
            good.replace("u1000", "u01000"),
            good.replace("u1000", "u+1000"),
            good.replace("u1000", "u0"),
            good.replace("u1000", "u65534"),
            good.replace("u1000", "u4294967295"),
            good.replace("u1000", "u"),
            good.replace(VM, &VM.to_uppercase()),
            good.replace(VM, "../x"),
            format!("{good}x"),
            good.replace("BANGER-1", "BANGER-2"),
        ] {
            assert_eq!(Ownership::from_dm_uuid(&bad), None, "{bad}");
            let name = bad.replace("BANGER-1", "banger").replace("-root", "");
            let ours = name == Names::of(ownership(1000)).dm_name;
            assert_eq!(Ownership::from_dm_name(&name).is_some(), ours, "{name}");
        }
        for bad in
            ["1000/x.cow", "../1000/x.cow", "1000", "0/67e55044-10b1-426f-9247-bb680e5fe0c8.cow"]
        {
            assert_eq!(Ownership::from_overlay(bad), None, "{bad}");
        }
    }

    #[test]
    fn taps_of_many_owners_do_not_collide() {
        let taps: HashSet<_> = (1000..21_000).map(|uid| Names::of(ownership(uid)).tap).collect();
        assert_eq!(taps.len(), 20_000);
    }

    proptest! {
        #[test]
        fn names_lead_back_to_their_owner(uid in 1u32..0x8000_0000, bytes: [u8; 16]) {
            let Ok(uid) = OwnerUid::new(uid) else { return Ok(()) };
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
            let ownership = Ownership { uid, vm: text.parse().unwrap() };
            let names = Names::of(ownership);
            prop_assert_eq!(Ownership::from_dm_uuid(&names.dm_uuid), Some(ownership));
            prop_assert_eq!(Ownership::from_dm_name(&names.dm_name), Some(ownership));
            prop_assert_eq!(Ownership::from_overlay(&names.overlay), Some(ownership));
            prop_assert_eq!(&names.tap_altname, &names.dm_name);
            prop_assert!(names.tap.len() == 15 && names.tap.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }
}
