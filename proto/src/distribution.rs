//! Which distribution this is, and how it installs what is missing.

/// Who installs packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packager {
    Apt,
    Dnf,
    Pacman,
    Apk,
    Zypper,
    Unknown,
}

/// What this host runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    packager: Packager,
}

/// What may have to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// `qemu-system-x86_64`.
    Qemu,
    /// `passt`.
    Passt,
    /// `bwrap`.
    Bubblewrap,
    /// `ssh`.
    Ssh,
    /// `mmdebstrap`.
    Mmdebstrap,
    /// `newuidmap`.
    Uidmap,
    /// `virtiofsd`.
    Virtiofsd,
}

impl Distribution {
    /// This host's.
    #[must_use]
    pub fn here() -> Self {
        let files = ["/etc/os-release", "/usr/lib/os-release"];
        let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
        Self::of(&text.unwrap_or_default())
    }

    /// By the text of `/etc/os-release`.
    #[must_use]
    pub fn of(os_release: &str) -> Self {
        let field = |name: &str| {
            let value = os_release
                .lines()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
            Some(value.trim_matches(['"', '\'']).to_owned())
        };
        let id = field("ID").unwrap_or_default();
        let like = field("ID_LIKE").unwrap_or_default();
        let known = |word: &str| match word {
            "debian" | "ubuntu" => Some(Packager::Apt),
            "fedora" | "rhel" | "centos" => Some(Packager::Dnf),
            "arch" | "archlinux" => Some(Packager::Pacman),
            "alpine" => Some(Packager::Apk),
            "suse" | "opensuse" | "opensuse-tumbleweed" | "opensuse-leap" => Some(Packager::Zypper),
            _ => None,
        };
        let packager = std::iter::once(id.as_str())
            .chain(like.split_whitespace())
            .find_map(known)
            .unwrap_or(Packager::Unknown);
        let name = field("PRETTY_NAME").or_else(|| field("NAME"));
        Self { name: name.unwrap_or_else(|| "an unknown Linux".to_owned()), packager }
    }

    /// The package, where the distribution is known to have one.
    fn package(&self, need: Need) -> Option<&'static str> {
        use Packager::{Apk, Apt, Dnf, Pacman, Unknown, Zypper};
        match (need, self.packager) {
            (_, Unknown) => None,
            (Need::Qemu, Apk) => Some("qemu-system-x86_64"),
            (Need::Qemu, Zypper) => Some("qemu-x86"),
            (Need::Qemu, _) => Some("qemu-system-x86"),
            (Need::Passt, _) => Some("passt"),
            (Need::Virtiofsd, _) => Some("virtiofsd"),
            (Need::Bubblewrap, _) => Some("bubblewrap"),
            (Need::Ssh, Apt | Apk) => Some("openssh-client"),
            (Need::Ssh, Dnf | Zypper) => Some("openssh-clients"),
            (Need::Ssh, Pacman) => Some("openssh"),
            (Need::Mmdebstrap, Apt) => Some("mmdebstrap"),
            (Need::Mmdebstrap, _) => None,
            (Need::Uidmap, Apt) => Some("uidmap"),
            (Need::Uidmap, Dnf) => Some("shadow-utils"),
            (Need::Uidmap, Pacman | Zypper) => Some("shadow"),
            (Need::Uidmap, Apk) => Some("shadow-uidmap"),
        }
    }

    /// How to install it: a command where one is known, else a sentence behind `#`.
    #[must_use]
    pub fn install(&self, need: Need) -> String {
        let command = match self.packager {
            Packager::Apt => "sudo apt install",
            Packager::Dnf => "sudo dnf install",
            Packager::Pacman => "sudo pacman -S",
            Packager::Apk => "sudo apk add",
            Packager::Zypper => "sudo zypper install",
            Packager::Unknown => "",
        };
        match self.package(need) {
            Some(package) => format!("{command} {package}"),
            None => {
                let program = match need {
                    Need::Qemu => "qemu-system-x86_64",
                    Need::Passt => "passt",
                    Need::Bubblewrap => "bubblewrap",
                    Need::Ssh => "ssh, OpenSSH's client",
                    Need::Mmdebstrap => "mmdebstrap",
                    Need::Uidmap => "newuidmap",
                    Need::Virtiofsd => "virtiofsd",
                };
                format!("# install {program}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_installs_in_its_own_way() {
        let install = |release: &str, need| Distribution::of(release).install(need);
        let qemu = |release: &str| install(release, Need::Qemu);
        assert_eq!(qemu("ID=debian\n"), "sudo apt install qemu-system-x86");
        assert_eq!(qemu("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), qemu("ID=ubuntu"));
        assert_eq!(qemu("ID=rocky\nID_LIKE=\"rhel centos fedora\""), qemu("ID=fedora"));
        assert_eq!(qemu("ID=fedora"), "sudo dnf install qemu-system-x86");
        assert_eq!(qemu("ID=arch"), "sudo pacman -S qemu-system-x86");
        assert_eq!(qemu("ID=alpine"), "sudo apk add qemu-system-x86_64");
        assert_eq!(qemu("ID='opensuse-leap'"), "sudo zypper install qemu-x86");
        assert_eq!(qemu(""), "# install qemu-system-x86_64");
        assert_eq!(install("ID=arch", Need::Mmdebstrap), "# install mmdebstrap");
        assert_eq!(install("ID=alpine", Need::Uidmap), "sudo apk add shadow-uidmap");
    }

    #[test]
    fn it_is_called_by_its_name() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian\"\nID=debian\n";
        assert_eq!(Distribution::of(debian).name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(Distribution::of("").name, "an unknown Linux");
    }
}
