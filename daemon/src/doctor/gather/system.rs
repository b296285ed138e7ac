//! The host: distribution, kernel, KVM, user namespaces, accounts.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use banger_proto::Distribution;
use rustix::process::{Resource, getrlimit};

use super::super::facts::{Kvm, Namespaces, System};
use crate::spawn::Finder;
use crate::vmm::kvm::{self, Verdict};

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub(super) fn system() -> System {
    let kernel = text("/proc/sys/kernel/osrelease").trim().to_owned();
    System {
        distribution: Distribution::here(),
        inside: inside(&kernel),
        kernel,
        open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
    }
}

/// The container or subsystem that this runs in, as far as it tells.
fn inside(kernel: &str) -> Option<String> {
    if kernel.to_lowercase().contains("microsoft") {
        return Some("WSL".to_owned());
    }
    let marks = [
        ("/run/.containerenv", "podman"),
        ("/.dockerenv", "docker"),
        ("/dev/lxd", "LXD"),
        ("/dev/.lxc", "LXC"),
    ];
    let marked = marks.iter().find(|(mark, _)| Path::new(mark).exists());
    marked.map(|(_, name)| (*name).to_owned()).or_else(|| {
        // systemd leaves a word where every user may read it.
        let word = text("/run/systemd/container");
        (!word.trim().is_empty()).then(|| word.trim().to_owned())
    })
}

pub(super) async fn kvm(finder: &Finder, state: &Path, quick: bool) -> Kvm {
    let device = Path::new("/dev/kvm");
    match fs::File::options().read(true).write(true).open(device) {
        Ok(_) => {
            let verdict = match quick {
                true => kvm::probe(finder, state).await,
                false => kvm::try_now(finder, state).await,
            };
            match verdict {
                Verdict::Works => Kvm::Works,
                Verdict::Fails(reason) => Kvm::Broken(reason),
            }
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let group = device.metadata().ok().and_then(|metadata| group(metadata.gid()));
            let user = user();
            let joined = group.as_ref().is_some_and(|(_, members)| members.contains(&user));
            Kvm::Forbidden { group: group.map(|(name, _)| name), joined }
        }
        // A node without a module behind it answers in one of these ways.
        Err(error)
            if error.kind() == ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
                || error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) =>
        {
            let cpuinfo = text("/proc/cpuinfo");
            let flag = |name: &str| {
                let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
                flags.is_some_and(|line| line.split_whitespace().any(|word| word == name))
            };
            Kvm::Absent {
                virtualization: ["vmx", "svm"].into_iter().find(|name| flag(name)),
                nested: flag("hypervisor"),
            }
        }
        Err(error) => Kvm::Broken(format!("/dev/kvm cannot be opened: {error}")),
    }
}

/// The groups of the accounts' file: name, number, members.
fn groups() -> impl Iterator<Item = (String, u32, Vec<String>)> {
    let of = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, number, members] = fields[..] else { return None };
        let members = members.split(',').map(str::to_owned).collect();
        Some((name.to_owned(), number.parse().ok()?, members))
    };
    let found: Vec<_> = text("/etc/group").lines().filter_map(of).collect();
    found.into_iter()
}

/// A group's name and members.
fn group(id: u32) -> Option<(String, Vec<String>)> {
    groups().find_map(|(name, number, members)| (number == id).then_some((name, members)))
}

/// A group's number and members.
pub(super) fn group_named(wanted: &str) -> Option<(u32, Vec<String>)> {
    groups().find_map(|(name, number, members)| (name == wanted).then_some((number, members)))
}

/// This user's name; the number where the account is in no file.
pub(super) fn user() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = text("/etc/passwd");
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.unwrap_or(id)
}

pub(super) fn namespaces() -> Namespaces {
    let number = |name: &str| text(Path::new("/proc/sys").join(name)).trim().parse().ok();
    Namespaces {
        unprivileged_clone: number("kernel/unprivileged_userns_clone"),
        apparmor_restricts: number("kernel/apparmor_restrict_unprivileged_userns"),
        most: number("user/max_user_namespaces"),
    }
}

/// When this program was installed, which was not before it was built.
pub(super) fn built_at() -> i64 {
    fs::metadata("/proc/self/exe").map_or(0, |metadata| metadata.mtime())
}

pub(super) fn has_uidmap() -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| Path::new(folder).join("newuidmap").exists())
}

/// Whether the user has ranges of both kinds of ids; by name or by number.
pub(super) fn has_ids(user: &str) -> bool {
    let id = rustix::process::geteuid().as_raw().to_string();
    ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
        text(file)
            .lines()
            .any(|line| line.split_once(':').is_some_and(|(owner, _)| owner == user || owner == id))
    })
}
