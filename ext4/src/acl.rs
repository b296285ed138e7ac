//! Access control lists as people write them, and the mode that goes with one.

use std::fmt;
use std::str::FromStr;

/// Version of the form that the system calls use.
const VERSION: u32 = 2;
/// The number of entries that name nobody (`ACL_UNDEFINED_ID`).
const NOBODY: u32 = u32::MAX;

/// Whom an entry is about, in the order that lists have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclTag {
    /// The owner.
    Owner,
    /// A user by number.
    User(u32),
    /// The owning group.
    OwningGroup,
    /// A group by number.
    Group(u32),
    /// The most that groups and named users get.
    Mask,
    /// Everybody else.
    Other,
}

impl AclTag {
    const fn number(self) -> (u16, u32) {
        match self {
            Self::Owner => (0x01, NOBODY),
            Self::User(id) => (0x02, id),
            Self::OwningGroup => (0x04, NOBODY),
            Self::Group(id) => (0x08, id),
            Self::Mask => (0x10, NOBODY),
            Self::Other => (0x20, NOBODY),
        }
    }

    const fn from_number(tag: u16, id: u32) -> Option<Self> {
        Some(match tag {
            0x01 => Self::Owner,
            0x02 => Self::User(id),
            0x04 => Self::OwningGroup,
            0x08 => Self::Group(id),
            0x10 => Self::Mask,
            0x20 => Self::Other,
            _ => return None,
        })
    }

    /// Whether a list has at most one of these.
    const fn is_single(self) -> bool {
        !matches!(self, Self::User(_) | Self::Group(_))
    }
}

/// A POSIX access control list: complete, in order, nobody named twice.
///
/// Its text is the short one of `getfacl -cn`, `user::rw-,user:1000:r--,group::r--,...`; numbers
/// stand for users and groups, whose names an image cannot know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<(AclTag, u8)>,
}

/// A list that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an access control list: {0}")]
pub struct AclError(&'static str);

impl Acl {
    /// A list of these entries, put in order; each has its permissions in three bits.
    ///
    /// # Errors
    /// [`AclError`] when one is missing, is there twice, or permits what there is not.
    pub fn new(entries: impl IntoIterator<Item = (AclTag, u8)>) -> Result<Self, AclError> {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(tag, _)| *tag);
        if entries.iter().any(|(_, permissions)| *permissions > 7) {
            return Err(AclError("permissions are r, w and x"));
        }
        if entries.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(AclError("somebody is named twice"));
        }
        let has = |tag| entries.iter().any(|(found, _)| *found == tag);
        if !has(AclTag::Owner) || !has(AclTag::OwningGroup) || !has(AclTag::Other) {
            return Err(AclError("the owner, the owning group or the others are missing"));
        }
        if entries.iter().any(|(tag, _)| !tag.is_single()) && !has(AclTag::Mask) {
            return Err(AclError("who names users or groups needs a mask"));
        }
        Ok(Self { entries })
    }

    /// From the form of the system calls.
    ///
    /// # Errors
    /// [`AclError`].
    pub fn from_system(value: &[u8]) -> Result<Self, AclError> {
        let number = |at: usize| crate::le::get::<u32>(value, at);
        if number(0) != Some(VERSION) || value.len() % 8 != 4 {
            return Err(AclError("its length or its version is wrong"));
        }
        let entry = |bytes: &[u8]| {
            let tag = AclTag::from_number(
                crate::le::get_or_zero(bytes, 0),
                crate::le::get_or_zero(bytes, 4),
            );
            let permissions = u8::try_from(crate::le::get_or_zero::<u16>(bytes, 2)).unwrap_or(8);
            tag.map(|tag| (tag, permissions)).ok_or(AclError("an entry is of no known kind"))
        };
        let entries = value.get(4..).unwrap_or_default().chunks_exact(8).map(entry);
        Self::new(entries.collect::<Result<Vec<_>, _>>()?)
    }

    /// The form of the system calls, which is the value of `system.posix_acl_access` and
    /// `system.posix_acl_default`.
    #[must_use]
    pub fn to_system(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, permissions) in &self.entries {
            let (tag, id) = tag.number();
            value.extend(tag.to_le_bytes());
            value.extend(u16::from(*permissions).to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    fn permissions(&self, tag: AclTag) -> Option<u8> {
        self.entries.iter().find(|(found, _)| *found == tag).map(|(_, permissions)| *permissions)
    }

    /// The nine permission bits that a file with this list has.
    #[must_use]
    pub fn mode(&self) -> u16 {
        let of = |tag| u16::from(self.permissions(tag).unwrap_or(0));
        let group = match self.permissions(AclTag::Mask) {
            Some(mask) => mask.into(),
            None => of(AclTag::OwningGroup),
        };
        of(AclTag::Owner) << 6 | group << 3 | of(AclTag::Other)
    }

    /// Whether the list says no more than [`Self::mode`] does.
    #[must_use]
    pub fn is_only_mode(&self) -> bool {
        self.entries.len() == 3
    }

    /// The list after chmod(2) with these permission bits.
    #[must_use]
    pub fn with_mode(mut self, mode: u16) -> Self {
        let masked = self.permissions(AclTag::Mask).is_some();
        for (tag, permissions) in &mut self.entries {
            let shift = match tag {
                AclTag::Owner => 6,
                AclTag::Mask => 3,
                AclTag::OwningGroup if !masked => 3,
                AclTag::Other => 0,
                _ => continue,
            };
            *permissions = (mode >> shift & 7) as u8;
        }
        self
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (tag, permissions)) in self.entries.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match tag {
                AclTag::Owner => f.write_str("user::")?,
                AclTag::User(id) => write!(f, "user:{id}:")?,
                AclTag::OwningGroup => f.write_str("group::")?,
                AclTag::Group(id) => write!(f, "group:{id}:")?,
                AclTag::Mask => f.write_str("mask::")?,
                AclTag::Other => f.write_str("other::")?,
            }
            for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
                write!(f, "{}", if permissions & bit == 0 { '-' } else { letter })?;
            }
        }
        Ok(())
    }
}

impl FromStr for Acl {
    type Err = AclError;

    fn from_str(text: &str) -> Result<Self, AclError> {
        let entry = |text: &str| {
            let mut parts = text.trim().split(':');
            let (Some(kind), Some(who), Some(permissions), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(AclError("an entry is KIND:WHO:PERMISSIONS"));
            };
            let id = || who.parse().map_err(|_| AclError("users and groups are numbers"));
            let tag = match (kind, who) {
                ("user" | "u", "") => AclTag::Owner,
                ("user" | "u", _) => AclTag::User(id()?),
                ("group" | "g", "") => AclTag::OwningGroup,
                ("group" | "g", _) => AclTag::Group(id()?),
                ("mask" | "m", "") => AclTag::Mask,
                ("other" | "o", "") => AclTag::Other,
                _ => return Err(AclError("an entry is about a user, a group, mask or other")),
            };
            let mut bits = 0;
            for letter in permissions.chars() {
                bits |= match letter {
                    'r' => 4,
                    'w' => 2,
                    'x' => 1,
                    '-' => 0,
                    _ => return Err(AclError("permissions are r, w and x")),
                };
            }
            Ok((tag, bits))
        };
        Self::new(text.split(',').map(entry).collect::<Result<Vec<_>, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "user::rw-,user:1000:r--,group::r-x,group:7:-wx,mask::r--,other::---";

    #[test]
    fn a_list_has_a_text_and_a_form_of_the_system_calls() {
        let acl: Acl = TEXT.parse().unwrap();
        assert_eq!(acl.to_string(), TEXT);
        assert_eq!(Acl::from_system(&acl.to_system()).unwrap(), acl);
        let mixed = "o::,m::r,g:7:xw,g::xr,u:1000:r,u::wr";
        assert_eq!(mixed.parse::<Acl>().unwrap(), acl, "in any order, in short");
    }

    #[test]
    fn the_mode_is_that_of_the_mask_and_chmod_changes_it() {
        let acl: Acl = TEXT.parse().unwrap();
        assert_eq!(acl.mode(), 0o640);
        let changed = acl.with_mode(0o4751);
        assert_eq!(changed.mode(), 0o751);
        assert!(changed.to_string().contains("group::r-x,group:7:-wx,mask::r-x,other::--x"));
        let short: Acl = "u::rwx,g::rx,o::".parse().unwrap();
        assert!(short.is_only_mode() && !changed.is_only_mode());
        assert_eq!(short.with_mode(0o123).to_string(), "user::--x,group::-w-,other::-wx");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in [
            "",
            "u::rwx",
            "u::rwx,g::r,o::r,u:5:r",
            "u::rwx,g::r,o::r,o::r",
            "u::rwz,g::r,o::r",
            "u::rwx,g::r,o:5:r",
            "u::rwx,g::r,o::r:x",
            "u::rwx,g::r,o::r,m::r,u:joe:r",
        ] {
            assert!(bad.parse::<Acl>().is_err(), "{bad}");
        }
        let good = TEXT.parse::<Acl>().unwrap().to_system();
        assert!(Acl::from_system(&good[..good.len() - 1]).is_err());
        let mut wrong = good.clone();
        wrong[4] = 3;
        assert!(Acl::from_system(&wrong).is_err());
        let mut wrong = good;
        wrong[6] = 9;
        assert!(Acl::from_system(&wrong).is_err());
    }
}
