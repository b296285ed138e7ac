//! What is configured, and where it comes from.

use std::path::PathBuf;

use crate::{Invalid, wire::daemon as wire};

/// One key of the configuration with the value that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As in `vm.memory`.
    pub key: String,
    /// As it would be typed; `None` where it is decided anew each time.
    pub value: Option<String>,
    /// What follows from no value, or how a default was found; empty when there is nothing to say.
    pub note: String,
    /// Who says so.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file says so.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
    },
    /// It is the same everywhere.
    Default,
    /// It follows from what this host has.
    Computed,
}

impl From<Setting> for wire::Setting {
    fn from(setting: Setting) -> Self {
        let (origin, file, line) = match setting.origin {
            Origin::File { path, line } => {
                (wire::SettingOrigin::File, path.to_string_lossy().into_owned(), line)
            }
            Origin::Default => (wire::SettingOrigin::Default, String::new(), 0),
            Origin::Computed => (wire::SettingOrigin::Computed, String::new(), 0),
        };
        Self {
            key: setting.key,
            value: setting.value,
            note: setting.note,
            origin: origin.into(),
            file,
            line,
        }
    }
}

impl TryFrom<wire::Setting> for Setting {
    type Error = Invalid;

    fn try_from(wire: wire::Setting) -> Result<Self, Invalid> {
        let origin = match wire.origin() {
            wire::SettingOrigin::File => {
                Origin::File { path: wire.file.clone().into(), line: wire.line }
            }
            wire::SettingOrigin::Default => Origin::Default,
            wire::SettingOrigin::Computed => Origin::Computed,
            wire::SettingOrigin::Unspecified => {
                return Err(Invalid::new("origin", "unspecified", "use file, default or computed"));
            }
        };
        Ok(Self { key: wire.key, value: wire.value, note: wire.note, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_survives_the_wire() {
        for origin in
            [Origin::File { path: "/etc/x".into(), line: 3 }, Origin::Default, Origin::Computed]
        {
            for value in [None, Some("2".to_owned())] {
                let setting = Setting {
                    key: "vm.cpus".into(),
                    value,
                    note: "n".into(),
                    origin: origin.clone(),
                };
                assert_eq!(Setting::try_from(wire::Setting::from(setting.clone())), Ok(setting));
            }
        }
        assert!(Setting::try_from(wire::Setting::default()).is_err());
    }
}
