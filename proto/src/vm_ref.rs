//! How people name a VM: by its name or by its id.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, VmId, VmName};

/// A name or an id. Text that is both is an id: ids are 36 characters of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmRef {
    /// By its id.
    Id(VmId),
    /// By its name.
    Name(VmName),
}

impl FromStr for VmRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Name))
    }
}

impl fmt::Display for VmRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(formatter),
            Self::Name(name) => name.fmt(formatter),
        }
    }
}

impl From<VmName> for VmRef {
    fn from(name: VmName) -> Self {
        Self::Name(name)
    }
}

impl From<VmId> for VmRef {
    fn from(id: VmId) -> Self {
        Self::Id(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_name() {
        let id = VmId::random();
        assert_eq!(id.to_string().parse(), Ok(VmRef::Id(id)));
        assert!(matches!("web".parse(), Ok(VmRef::Name(_))));
        assert!("Web".parse::<VmRef>().is_err());
    }
}
