//! Whether an image's kernel knows virtiofs, by what the image says of it.

use crate::guest::ImageReader;

/// Name of the module, before what says how it is packed.
const MODULE: &str = "virtiofs.ko";

/// What an image says of its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KernelFacts {
    /// Its release; empty when it is not known.
    pub(crate) release: String,
    /// What is built into it: `modules.builtin`.
    pub(crate) builtin: Option<Vec<u8>>,
    /// What can be loaded: `modules.dep`.
    pub(crate) loadable: Option<Vec<u8>>,
    /// How it was configured: `/boot/config-RELEASE`.
    pub(crate) config: Option<Vec<u8>>,
}

/// Why a kernel cannot mount a folder of the host's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoVirtiofs {
    /// It was built without.
    #[error("its kernel {0} has no virtiofs, by which a guest has folders of the host")]
    Without(String),
    /// The image does not say.
    #[error(
        "nothing in the image says whether its kernel has virtiofs: there is no /lib/modules of {0}"
    )]
    Unknown(String),
}

impl KernelFacts {
    /// Reads them for the kernel of this release.
    ///
    /// # Errors
    /// Those of the reader.
    pub(crate) fn gather<R: ImageReader>(reader: &mut R, release: &str) -> Result<Self, R::Error> {
        // It was made from what a file says: as part of a path it must be a plain name.
        if release.is_empty() || release.contains('/') {
            return Ok(Self::default());
        }
        let modules = format!("/lib/modules/{release}");
        Ok(Self {
            release: release.to_owned(),
            builtin: reader.read(&format!("{modules}/modules.builtin"))?,
            loadable: reader.read(&format!("{modules}/modules.dep"))?,
            config: reader.read(&format!("/boot/config-{release}"))?,
        })
    }
}

/// Whether the kernel has virtiofs.
pub(crate) fn check(facts: &KernelFacts) -> Result<(), NoVirtiofs> {
    let names = |text: &Option<Vec<u8>>| text.as_deref().is_some_and(lists);
    let configured = facts.config.as_deref().is_some_and(|text| {
        text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"CONFIG_VIRTIO_FS=y")
    });
    if names(&facts.builtin) || names(&facts.loadable) || configured {
        return Ok(());
    }
    // A configuration alone would not say whether a module is there.
    if facts.builtin.is_some() || facts.loadable.is_some() {
        return Err(NoVirtiofs::Without(facts.release.clone()));
    }
    let release = match facts.release.as_str() {
        "" => "its kernel, which does not say its release".to_owned(),
        release => release.to_owned(),
    };
    Err(NoVirtiofs::Unknown(release))
}

/// Whether a list of modules has it: its path, packed or not, first in a line.
fn lists(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let path = line.split(|byte| matches!(byte, b':' | b' ')).next().unwrap_or_default();
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let packed = name.strip_prefix(MODULE.as_bytes());
        packed.is_some_and(|rest| matches!(rest, b"" | b".xz" | b".gz" | b".zst"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl ImageReader for Files {
        type Error = Infallible;
        fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
            Ok(self.0.get(path).map(|text| text.as_bytes().to_vec()))
        }
        fn names(&mut self, _: &str) -> Result<Vec<String>, Infallible> {
            Ok(Vec::new())
        }
        fn exists(&mut self, path: &str) -> Result<bool, Infallible> {
            Ok(self.0.contains_key(path))
        }
    }

    fn judged(release: &str, files: &[(&'static str, &'static str)]) -> Result<(), NoVirtiofs> {
        let mut files = Files(files.iter().copied().collect());
        let Ok(facts) = KernelFacts::gather(&mut files, release);
        check(&facts)
    }

    const BUILTIN: &str = "/lib/modules/6.1/modules.builtin";
    const LOADABLE: &str = "/lib/modules/6.1/modules.dep";
    const CONFIG: &str = "/boot/config-6.1";

    #[test]
    fn a_kernel_has_it_built_in_or_as_a_module() {
        for files in [
            &[(LOADABLE, "a.ko:\nkernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko\n")][..],
            &[(LOADABLE, "kernel/fs/fuse/virtiofs.ko.xz: kernel/fs/fuse/fuse.ko.xz\n")],
            &[(LOADABLE, "kernel/fs/fuse/virtiofs.ko.zst:")],
            &[(BUILTIN, "kernel/fs/fuse/fuse.ko\nkernel/fs/fuse/virtiofs.ko\n"), (LOADABLE, "")],
            &[(CONFIG, "CONFIG_FUSE_FS=y\nCONFIG_VIRTIO_FS=y\n")],
        ] {
            assert_eq!(judged("6.1", files), Ok(()), "{files:?}");
        }
    }

    #[test]
    fn a_kernel_without_it_is_told_from_one_of_which_nothing_is_known() {
        for files in [
            &[(LOADABLE, "kernel/fs/fuse/fuse.ko:\nx/virtiofs.ko.old:\nb.ko: x/virtiofs.ko\n")][..],
            &[(BUILTIN, ""), (CONFIG, "CONFIG_VIRTIO_FS=m\n# CONFIG_VIRTIO_FS=y is not set\n")],
        ] {
            assert_eq!(judged("6.1", files), Err(NoVirtiofs::Without("6.1".into())), "{files:?}");
        }
        let unknown = |release, files: &[_]| {
            let said = judged(release, files).unwrap_err();
            assert!(matches!(said, NoVirtiofs::Unknown(_)), "{said}");
        };
        unknown("6.1", &[]);
        unknown("6.1", &[(CONFIG, "CONFIG_VIRTIO_FS=m\n")]);
        unknown("6.2", &[(LOADABLE, "kernel/fs/fuse/virtiofs.ko:")]);
        unknown("", &[("/lib/modules//modules.dep", "virtiofs.ko:")]);
        unknown("../modules/6.1", &[(LOADABLE, "virtiofs.ko:")]);
    }
}
