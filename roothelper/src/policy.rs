//! Which request asks polkit for which action: one exhaustive table, default deny.

/// A call of `banger.roothelper.v1.RootHelper`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Version and limits.
    Describe,
    /// Make a VM's rootfs snapshot.
    AttachSnapshot,
    /// Read one file on it.
    ReadExt4File,
    /// Change files on it.
    WriteExt4Files,
    /// Give its node to the caller.
    LendDevice,
    /// Remove it, keep its data.
    DetachSnapshot,
    /// Remove its data.
    DiscardOverlay,
    /// Make a VM's tap.
    AttachNetwork,
    /// Remove it.
    DetachNetwork,
    /// The caller's own objects.
    ListObjects,
    /// Remove what belongs to no VM.
    Sweep,
}

/// A polkit action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Snapshots of the caller's own VMs.
    ManageSnapshots,
    /// Files in the root filesystems of the caller's own VMs.
    EditFiles,
    /// Discarding the data of the caller's own VMs.
    DiscardOverlays,
    /// Taps of the caller's own VMs.
    ManageNetwork,
}

/// What a request needs before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorisation {
    /// Nothing: it only tells the caller what is the caller's.
    NotNeeded,
    /// polkit's yes to the action, asked anew for every request.
    Polkit(Action),
}

impl Method {
    /// Every call there is.
    pub const ALL: [Self; 11] = [
        Self::Describe,
        Self::AttachSnapshot,
        Self::ReadExt4File,
        Self::WriteExt4Files,
        Self::LendDevice,
        Self::DetachSnapshot,
        Self::DiscardOverlay,
        Self::AttachNetwork,
        Self::DetachNetwork,
        Self::ListObjects,
        Self::Sweep,
    ];

    const SERVICE: &'static str = "/banger.roothelper.v1.RootHelper/";

    /// Its name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Describe => "Describe",
            Self::AttachSnapshot => "AttachSnapshot",
            Self::ReadExt4File => "ReadExt4File",
            Self::WriteExt4Files => "WriteExt4Files",
            Self::LendDevice => "LendDevice",
            Self::DetachSnapshot => "DetachSnapshot",
            Self::DiscardOverlay => "DiscardOverlay",
            Self::AttachNetwork => "AttachNetwork",
            Self::DetachNetwork => "DetachNetwork",
            Self::ListObjects => "ListObjects",
            Self::Sweep => "Sweep",
        }
    }

    /// The call that an HTTP/2 path names; `None`, and so a refusal, for every other path.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.strip_prefix(Self::SERVICE)?;
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// What it needs before anything is done.
    #[must_use]
    pub const fn authorisation(self) -> Authorisation {
        match self {
            Self::Describe | Self::ListObjects => Authorisation::NotNeeded,
            Self::AttachSnapshot | Self::LendDevice | Self::DetachSnapshot => {
                Authorisation::Polkit(Action::ManageSnapshots)
            }
            Self::ReadExt4File | Self::WriteExt4Files => Authorisation::Polkit(Action::EditFiles),
            Self::AttachNetwork | Self::DetachNetwork => {
                Authorisation::Polkit(Action::ManageNetwork)
            }
            // A sweep can take overlay files with it.
            Self::DiscardOverlay | Self::Sweep => Authorisation::Polkit(Action::DiscardOverlays),
        }
    }
}

impl Action {
    /// Every action there is.
    pub const ALL: [Self; 4] =
        [Self::ManageSnapshots, Self::EditFiles, Self::DiscardOverlays, Self::ManageNetwork];

    /// Its identifier in polkit's policy file.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::ManageSnapshots => "dev.banger.roothelper.manage-snapshots",
            Self::EditFiles => "dev.banger.roothelper.edit-files",
            Self::DiscardOverlays => "dev.banger.roothelper.discard-overlays",
            Self::ManageNetwork => "dev.banger.roothelper.manage-network",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use std::collections::BTreeSet;

    /// The calls of the helper's service, from the compiled contract.
    fn contract() -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(banger_proto::wire::FILE_DESCRIPTOR_SET)
            .unwrap();
        let file = set
            .file
            .into_iter()
            .find(|file| file.package() == "banger.roothelper.v1")
            .expect("the contract has the helper's package");
        file.service
            .iter()
            .flat_map(|service| {
                service.method.iter().map(|method| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                })
            })
            .collect()
    }

    #[test]
    fn every_call_of_the_contract_has_a_row() {
        let contract = contract();
        assert!(!contract.is_empty());
        for path in &contract {
            assert!(Method::from_path(path).is_some(), "{path} has no row in the table");
        }
        assert_eq!(contract.len(), Method::ALL.len(), "the table has a call the contract lacks");
    }

    #[test]
    fn a_path_that_is_not_in_the_contract_is_no_call() {
        for path in [
            "",
            "/",
            "AttachSnapshot",
            "/banger.roothelper.v1.RootHelper/",
            "/banger.roothelper.v1.RootHelper/attachsnapshot",
            "/banger.roothelper.v1.RootHelper/AttachSnapshot/",
            "/banger.roothelper.v2.RootHelper/AttachSnapshot",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(Method::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn only_calls_that_change_nothing_go_without_polkit() {
        let free: Vec<_> = Method::ALL
            .into_iter()
            .filter(|method| method.authorisation() == Authorisation::NotNeeded)
            .collect();
        assert_eq!(free, [Method::Describe, Method::ListObjects]);
    }

    #[test]
    fn action_identifiers_are_distinct_and_of_polkits_form() {
        let ids: BTreeSet<_> = Action::ALL.into_iter().map(Action::id).collect();
        assert_eq!(ids.len(), Action::ALL.len());
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        assert!(ids.iter().all(|id| id.len() <= 255 && id.bytes().all(legal)));
    }

    /// What is installed for polkit.
    const POLICY: &str = include_str!("../../packaging/polkit/dev.banger.roothelper.policy");
    const RULES: &str = include_str!("../../packaging/polkit/dev.banger.roothelper.rules");

    #[test]
    fn polkit_is_told_of_every_action_and_nobody_is_let_in_by_default() {
        assert_eq!(POLICY.matches("<action ").count(), Action::ALL.len());
        for action in Action::ALL {
            let (_, text) = POLICY.split_once(&format!("<action id=\"{}\">", action.id())).unwrap();
            let (text, _) = text.split_once("</action>").unwrap();
            for line in [
                "<allow_any>auth_admin</allow_any>",
                "<allow_inactive>auth_admin</allow_inactive>",
                "<allow_active>auth_admin_keep</allow_active>",
                "<message>Authentication is required",
                "<description>",
            ] {
                assert!(text.contains(line), "{}: {line}", action.id());
            }
        }
    }

    #[test]
    fn the_rules_name_every_action() {
        let named: BTreeSet<_> = RULES.split('"').filter(|word| word.starts_with("dev.")).collect();
        assert_eq!(named, Action::ALL.into_iter().map(Action::id).collect());
    }
}
