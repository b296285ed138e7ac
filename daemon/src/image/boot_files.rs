//! Which kernel and which initial RAM disk an image boots with: chosen by the names in
//! its `/boot` and `/`, before any of them is read.

use super::release;

/// What to take out of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootFiles {
    /// Path of the kernel in the image.
    pub(super) kernel: String,
    /// Path of the initial RAM disk that belongs to it.
    pub(super) initrd: Option<String>,
}

/// The newest kernel among `names` in `/boot`, else what is in `/`.
pub(super) fn choose(in_boot: &[String], in_root: &[String]) -> Option<BootFiles> {
    in_directory("/boot", in_boot).or_else(|| in_directory("", in_root))
}

fn in_directory(directory: &str, names: &[String]) -> Option<BootFiles> {
    let newest = names
        .iter()
        .filter_map(|name| Some((name, release_in(name)?)))
        .max_by(|(_, a), (_, b)| release::compare(a, b));
    let (kernel, release) = match newest {
        Some((name, release)) => (name.as_str(), Some(release)),
        None => {
            let plain = ["vmlinuz", "bzImage", "vmlinux"];
            (plain.into_iter().find(|plain| names.iter().any(|name| name == plain))?, None)
        }
    };
    let candidates: Vec<String> = match release {
        Some(release) => vec![
            format!("initrd.img-{release}"),
            format!("initramfs-{release}.img"),
            format!("initramfs-{release}"),
            format!("initrd-{release}"),
            format!("initrd-{release}.img"),
        ],
        None => ["initrd.img", "initramfs.img", "initrd"].map(str::to_owned).to_vec(),
    };
    let initrd = candidates.into_iter().find(|candidate| names.contains(candidate));
    let path = |name: &str| format!("{directory}/{name}");
    Some(BootFiles { kernel: path(kernel), initrd: initrd.map(|name| path(&name)) })
}

/// The release in the name of a kernel's file; none for other files, copies that a
/// package manager keeps, and rescue kernels.
fn release_in(name: &str) -> Option<&str> {
    let release = name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-"))?;
    let kept = [".old", ".bak", ".dpkg-bak", ".dpkg-tmp", ".dpkg-new", ".rpmsave", "~", ".sig"];
    let usable = !release.is_empty()
        && !release.starts_with("0-rescue")
        && !kept.iter().any(|end| release.ends_with(end));
    usable.then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(in_boot: &[&str], in_root: &[&str]) -> Option<(String, Option<String>)> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        choose(&owned(in_boot), &owned(in_root)).map(|files| (files.kernel, files.initrd))
    }

    #[test]
    fn the_newest_kernel_and_its_own_initrd() {
        let debian = [
            "config-6.1.0-25-cloud-amd64",
            "vmlinuz-6.1.0-9-cloud-amd64",
            "initrd.img-6.1.0-9-cloud-amd64",
            "vmlinuz-6.1.0-25-cloud-amd64",
            "initrd.img-6.1.0-25-cloud-amd64",
            "vmlinuz-6.1.0-99-cloud-amd64.dpkg-bak",
            "System.map-6.1.0-25-cloud-amd64",
        ];
        assert_eq!(
            chosen(&debian, &["vmlinuz"]),
            Some((
                "/boot/vmlinuz-6.1.0-25-cloud-amd64".into(),
                Some("/boot/initrd.img-6.1.0-25-cloud-amd64".into())
            ))
        );
        let fedora = [
            "vmlinuz-0-rescue-99",
            "initramfs-0-rescue-99.img",
            "vmlinuz-6.8.5-301.fc40.x86_64",
            "initramfs-6.8.5-301.fc40.x86_64.img",
        ];
        assert_eq!(
            chosen(&fedora, &[]),
            Some((
                "/boot/vmlinuz-6.8.5-301.fc40.x86_64".into(),
                Some("/boot/initramfs-6.8.5-301.fc40.x86_64.img".into())
            ))
        );
        assert_eq!(
            chosen(&["vmlinuz-virt", "initramfs-virt"], &[]),
            Some(("/boot/vmlinuz-virt".into(), Some("/boot/initramfs-virt".into())))
        );
    }

    #[test]
    fn another_kernels_initrd_is_not_taken() {
        assert_eq!(
            chosen(&["vmlinuz-2", "initrd.img-1"], &[]),
            Some(("/boot/vmlinuz-2".into(), None))
        );
    }

    #[test]
    fn plain_names_and_the_root_come_last() {
        assert_eq!(
            chosen(&["vmlinuz", "initrd.img"], &["vmlinuz"]),
            Some(("/boot/vmlinuz".into(), Some("/boot/initrd.img".into())))
        );
        assert_eq!(
            chosen(&["grub"], &["vmlinuz", "initrd.img", "bin"]),
            Some(("/vmlinuz".into(), Some("/initrd.img".into())))
        );
        assert_eq!(chosen(&["vmlinuz-", "vmlinuz-0-rescue-1"], &["etc"]), None);
    }
}
