//! What stands between a VMM and the rest of the user's files and processes.
//!
//! bubblewrap puts QEMU into namespaces of its own, with a read-only `/usr` and
//! the VM's own files and nothing else of the host. Where bubblewrap does not
//! work, Landlock keeps it from files and processes; where there is none either, QEMU's own
//! seccomp filter and `no_new_privs` are left. Whatever is missing is said.

use std::ffi::OsString;
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::landlocked::{self, Report};
use super::qemu::Places;
use super::spec::{Accelerator, VmmSpec};
use crate::spawn::{BWRAP, Finder, Launch, Process, ProcessId};

/// Descriptor on which bubblewrap tells the number of the process it made.
pub(crate) const INFO_DESCRIPTOR: RawFd = 5;
/// How long the probe may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What works on this host: it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walls {
    /// bubblewrap.
    Bubblewrap {
        /// It can also forbid further user namespaces.
        sealed: bool,
    },
    /// Landlock. bubblewrap does not work, for this reason.
    Landlock(String),
    /// Neither does; the reason is bubblewrap's.
    Bare(String),
}

/// What a path that a dynamic program needs is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum System {
    Directory(PathBuf),
    Link { target: PathBuf, path: PathBuf },
}

/// `/usr` and what else programs and their libraries live in.
fn system() -> Vec<System> {
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"]
        .iter()
        .map(PathBuf::from)
        .filter_map(|path| match fs::read_link(&path) {
            Ok(target) => Some(System::Link { target, path }),
            Err(_) => path.is_dir().then_some(System::Directory(path)),
        })
        .collect()
}

/// bubblewrap's options that any program needs: namespaces, `/usr`, `/dev`.
fn frame(system: &[System], own_network: bool, sealed: bool) -> Vec<OsString> {
    let mut line: Vec<OsString> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--new-session",
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]
    .map(OsString::from)
    .into();
    if own_network {
        line.push("--unshare-net".into());
    }
    if sealed {
        line.push("--disable-userns".into());
    }
    for entry in system {
        match entry {
            System::Directory(path) => line.extend(["--ro-bind".into(), path.into(), path.into()]),
            System::Link { target, path } => {
                line.extend(["--symlink".into(), target.into(), path.into()]);
            }
        }
    }
    line.extend(
        ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache", "--dev", "/dev"]
            .map(OsString::from),
    );
    line
}

/// Where the VMM sees the VM's files inside its walls.
pub(super) fn places_inside(spec: &VmmSpec) -> Places {
    Places {
        kernel: "/vm/kernel".into(),
        initrd: spec.initrd.as_ref().map(|_| "/vm/initrd".into()),
        rootfs: "/vm/root".into(),
        work_disk: "/vm/work".into(),
        console: "/vm/console".into(),
        line: "/vm/line".into(),
    }
}

/// bubblewrap's options for one VM, up to and with the program.
///
/// Files are bound one by one: the directories that hold them, with the VM's keys
/// and records, are not seen.
pub(super) fn around(
    spec: &VmmSpec,
    host: &Places,
    program: &Path,
    accelerator: Accelerator,
    own_network: bool,
    sealed: bool,
) -> Vec<OsString> {
    enclose(&system(), spec, host, program, accelerator, (own_network, sealed))
}

/// bubblewrap's options for a program that sees what is bound and nothing else of the host's, up
/// to and with the program. What is bound is told as bubblewrap's option, from where, and to where.
pub(super) fn around_bound(
    program: &Path,
    bound: &[(&'static str, PathBuf, PathBuf)],
    own_network: bool,
    sealed: bool,
) -> Vec<OsString> {
    let system = system();
    let mut line = frame(&system, own_network, sealed);
    if !program.starts_with("/usr")
        && let Some(folder) = program.parent()
        && !system.contains(&System::Directory(folder.to_owned()))
    {
        line.extend(["--ro-bind".into(), folder.into(), folder.into()]);
    }
    for (how, from, to) in bound {
        line.extend([how.into(), from.into(), to.into()]);
    }
    line.extend(["--remount-ro", "/", "--chdir", "/", "--info-fd"].map(OsString::from));
    line.push(INFO_DESCRIPTOR.to_string().into());
    line.extend(["--".into(), program.into()]);
    line
}

/// Folders of programs and libraries, for who names them without binding them.
pub(super) fn system_folders() -> Vec<PathBuf> {
    let folder = |entry| match entry {
        System::Directory(path) | System::Link { path, .. } => path,
    };
    system().into_iter().map(folder).collect()
}

fn enclose(
    system: &[System],
    spec: &VmmSpec,
    host: &Places,
    program: &Path,
    accelerator: Accelerator,
    (own_network, sealed): (bool, bool),
) -> Vec<OsString> {
    let inside = places_inside(spec);
    let mut line = frame(system, own_network, sealed);
    let mut bind = |how: &str, from: &Path, to: &Path| {
        line.extend([how.into(), from.as_os_str().to_owned(), to.as_os_str().to_owned()]);
    };
    // A program from elsewhere brings its data and libraries along in its neighbours.
    if !program.starts_with("/usr")
        && let (Some(folder), Some(prefix)) =
            (program.parent(), program.parent().and_then(Path::parent))
        && !system.contains(&System::Directory(folder.to_owned()))
    {
        bind("--ro-bind", folder, folder);
        for neighbour in ["share", "lib", "libexec"].map(|name| prefix.join(name)) {
            bind("--ro-bind-try", &neighbour, &neighbour);
        }
    }
    if accelerator == Accelerator::Kvm {
        bind("--dev-bind", Path::new("/dev/kvm"), Path::new("/dev/kvm"));
    }
    if !own_network {
        // QEMU's own network asks the host's name servers for the guest, and finds them here.
        let resolver = Path::new("/etc/resolv.conf");
        bind("--ro-bind-try", resolver, resolver);
    }
    bind("--ro-bind", &host.kernel, &inside.kernel);
    if let (Some(from), Some(to)) = (&host.initrd, &inside.initrd) {
        bind("--ro-bind", from, to);
    }
    // A disk may be a device node, which an ordinary bind would make unusable.
    bind("--dev-bind", &host.rootfs, &inside.rootfs);
    bind("--dev-bind", &host.work_disk, &inside.work_disk);
    bind("--bind", &host.console, &inside.console);
    bind("--bind", &host.line.with_extension("in"), &inside.line.with_extension("in"));
    let nowhere = inside.line.with_extension("out");
    line.extend(["--symlink".into(), "/dev/null".into(), nowhere.into()]);
    line.extend(["--remount-ro", "/", "--chdir", "/", "--info-fd"].map(OsString::from));
    line.push(INFO_DESCRIPTOR.to_string().into());
    line.push("--".into());
    line.push(program.into());
    line
}

/// What a file server keeps of what root may do, in a user namespace that has one user: so much
/// as its own walls are made with. None of it reaches files of others.
const FILE_SERVER: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_MKNOD",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Where a file server sees its folder.
pub(crate) const SHARED: &str = "/share";

/// bubblewrap's options for a folder's file server, up to and with the program: it sees the
/// folder and nothing else of the owner's. What the guest's root makes is the owner's, and nobody
/// else's, since the namespace has no other user.
pub(crate) fn around_file_server(
    program: &Path,
    folder: &Path,
    read_only: bool,
    sealed: bool,
) -> Vec<OsString> {
    enclose_file_server(&system(), program, folder, read_only, sealed)
}

fn enclose_file_server(
    system: &[System],
    program: &Path,
    folder: &Path,
    read_only: bool,
    sealed: bool,
) -> Vec<OsString> {
    let mut line = frame(system, true, sealed);
    for capability in FILE_SERVER {
        line.extend(["--cap-add", capability].map(OsString::from));
    }
    if !program.starts_with("/usr")
        && let Some(folder) = program.parent()
        && !system.contains(&System::Directory(folder.to_owned()))
    {
        line.extend(["--ro-bind".into(), folder.into(), folder.into()]);
    }
    line.extend(["--uid", "0", "--gid", "0", "--proc", "/proc"].map(OsString::from));
    // That it is read-only is the mount's, and not the server's or the guest's to forget.
    let bind = if read_only { "--ro-bind" } else { "--bind" };
    line.extend([bind.into(), folder.into(), SHARED.into()]);
    line.extend(["--remount-ro", "/", "--chdir", "/", "--info-fd"].map(OsString::from));
    line.push(INFO_DESCRIPTOR.to_string().into());
    line.extend(["--".into(), program.into()]);
    line
}

impl Walls {
    /// Runs bubblewrap once, as it is used for a VM, to see whether it works, and what stands
    /// in for it where it does not. User namespaces may be forbidden, and it may be missing.
    pub async fn probe(finder: &Finder) -> Self {
        let mut reason = String::new();
        for sealed in [true, false] {
            match Self::try_bubblewrap(finder, sealed).await {
                Ok(()) => return Self::Bubblewrap { sealed },
                Err(why) => reason = why,
            }
        }
        if Self::try_landlock().await { Self::Landlock(reason) } else { Self::Bare(reason) }
    }

    async fn try_bubblewrap(finder: &Finder, sealed: bool) -> Result<(), String> {
        let launch = Launch::new(&BWRAP, finder)
            .map_err(|error| error.to_string())?
            .arguments(frame(&system(), true, sealed))
            .arguments(["--remount-ro", "/", "--", "true"])
            .stderr(Stdio::piped());
        match run(launch).await {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                let why = if text.is_empty() { output.status.to_string() } else { text };
                Err(format!("bubblewrap does not work here: {why}"))
            }
            Err(error) => Err(format!("bubblewrap does not work here: {error}")),
        }
    }

    async fn try_landlock() -> bool {
        let mut line: Vec<OsString> = vec![landlocked::ARGUMENT.into()];
        for folder in system_folders() {
            line.extend(["--read".into(), folder.into()]);
        }
        line.extend(["--write", "/dev/null", "--", "/bin/true"].map(OsString::from));
        let launch = Launch::this_program("bangerd").arguments(line).stdout(Stdio::piped());
        run(launch)
            .await
            .is_ok_and(|output| output.status.success() && Report::parse(&output.stdout).is_some())
    }

    /// Why bubblewrap does not stand, where it does not.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Bubblewrap { .. } => None,
            Self::Landlock(reason) | Self::Bare(reason) => Some(reason),
        }
    }

    /// What the user should know, in one line: nothing when the walls stand.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::Bubblewrap { .. } => None,
            Self::Landlock(reason) => Some(format!(
                "the VM runs without namespaces of its own, behind Landlock and QEMU's seccomp filter \
                 ({reason})"
            )),
            Self::Bare(reason) => Some(format!(
                "the VM runs without namespaces of its own, with QEMU's seccomp filter only ({reason})"
            )),
        }
    }
}

/// The process that bubblewrap made, by what it tells on `info`.
pub(crate) async fn inside(mut info: pipe::Receiver, bubblewrap: u32) -> Option<ProcessId> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "child-pid")]
        child_pid: u32,
    }
    let mut text = Vec::new();
    info.read_to_end(&mut text).await.ok()?;
    let Info { child_pid } = serde_json::from_slice(&text).ok()?;
    let process = Process::hold(child_pid).ok()?;
    // Had it ended already, its number could be another's by now.
    (process.parent() == Some(bubblewrap)).then(|| process.id().clone())
}

/// Runs a probe to its end. One that hangs is killed with its group; it has made nothing that
/// lasts.
pub(crate) async fn run(launch: Launch) -> Result<std::process::Output, String> {
    let started = launch.start().map_err(|error| error.to_string())?;
    let process = started.process;
    match tokio::time::timeout(PATIENCE, started.child.wait_with_output()).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => {
            let _ended = process.kill().await;
            Err("it did not answer in time".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Choice;

    fn text(accelerator: Accelerator, own_network: bool) -> String {
        let spec = VmmSpec {
            id: uuid::Uuid::nil(),
            directory: "/home/u/vms/1".into(),
            kernel: "/home/u/images/d/vmlinuz".into(),
            initrd: Some("/home/u/images/d/initrd".into()),
            append: String::new(),
            rootfs: crate::vmm::Disk::File("/home/u/vms/1/rootfs.ext4".into()),
            work_disk: "/home/u/vms/1/work.ext4".into(),
            cpus: 1,
            memory_mib: 256,
            network: Choice::Automatic,
            publish: Vec::new(),
            shares: Vec::new(),
            kind: banger_proto::VmmKind::Qemu,
        };
        let host = Places {
            kernel: spec.kernel.clone(),
            initrd: spec.initrd.clone(),
            rootfs: spec.rootfs.path().to_owned(),
            work_disk: spec.work_disk.clone(),
            console: spec.directory.join("console.log"),
            line: spec.directory.join("console"),
        };
        let system = [
            System::Directory("/usr".into()),
            System::Link { target: "usr/lib".into(), path: "/lib".into() },
        ];
        let program = Path::new("/usr/bin/qemu-system-x86_64");
        let mut text = String::new();
        for word in enclose(&system, &spec, &host, program, accelerator, (own_network, true)) {
            let word = word.into_string().unwrap();
            text.push_str(if word.starts_with("--") { "\n" } else { " " });
            text.push_str(&word);
        }
        text.trim_start().to_owned()
    }

    #[test]
    fn the_walls_of_an_emulated_vm_on_passt() {
        insta::assert_snapshot!(text(Accelerator::Tcg, true));
    }

    #[test]
    fn kvm_and_slirp_open_a_door_each() {
        let tight = text(Accelerator::Tcg, true);
        let open = text(Accelerator::Kvm, false);
        let added: Vec<_> = open.lines().filter(|l| !tight.contains(l)).collect();
        let doors =
            ["--dev-bind /dev/kvm /dev/kvm", "--ro-bind-try /etc/resolv.conf /etc/resolv.conf"];
        assert_eq!(added, doors);
        assert!(tight.contains("--unshare-net") && !open.contains("--unshare-net"));
    }

    #[test]
    fn the_walls_of_a_file_server() {
        let system = [System::Directory("/usr".into())];
        let (program, folder) = ("/usr/libexec/virtiofsd", "/home/u/my src");
        let line = |program: &str, read_only| {
            let words =
                enclose_file_server(&system, program.as_ref(), folder.as_ref(), read_only, true);
            let words = words.into_iter().map(|word| word.into_string().unwrap());
            words.collect::<Vec<_>>().join(" ").replace(" --", "\n--")
        };
        insta::assert_snapshot!(line(program, true));
        let writable = line(program, false);
        assert_eq!(
            writable,
            line(program, true)
                .replace(&format!("--ro-bind {folder}"), &format!("--bind {folder}"))
        );
        assert!(line("/opt/v/virtiofsd", true).contains("--ro-bind /opt/v /opt/v"));
    }

    #[tokio::test]
    async fn without_bubblewrap_the_reason_is_said() {
        let walls = Walls::probe(&Finder::only(vec!["/nonexistent".into()])).await;
        let notice = walls.notice().unwrap();
        assert!(notice.contains("sudo apt install bubblewrap"), "{notice}");
    }
}
