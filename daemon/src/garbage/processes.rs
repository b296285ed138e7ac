//! The processes of this user that run for VMs, imports and builds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use banger_proto::VmId;
use banger_proto::paths::Paths;

use super::builds::BuildFolder;
use super::found::{FoundProcess, RunsFor};
use crate::image::WORKER_ARGUMENT;
use crate::net::forward;
use crate::spawn::{
    BWRAP, FIRECRACKER, MMDEBSTRAP, PASST, ProcessId, QEMU, SETPRIV, UNSHARE, VIRTIOFSD,
};

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: u64 = 100;

/// How the processes of VMs are recognised.
#[derive(Debug, Clone)]
pub struct VmProcesses {
    /// The folder of all VMs' folders.
    vms: PathBuf,
    images: PathBuf,
    state: PathBuf,
    builds: BuildFolder,
    /// The VMs that have a folder.
    known: BTreeSet<VmId>,
}

impl VmProcesses {
    /// Those of the owner of `paths`.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let vms = paths.state.join("vms");
        let names = fs::read_dir(&vms).into_iter().flatten().flatten();
        Self {
            known: names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect(),
            vms,
            images: paths.data.join("images"),
            builds: BuildFolder::of(&paths.state),
            state: paths.state.clone(),
        }
    }

    /// What a process of `program` runs for, by the words on its command line and the
    /// other texts that it carries: names of open files, its environment.
    fn runs_for(&self, program: &str, words: &[u8], carried: &[u8]) -> Option<RunsFor> {
        let texts = [words, carried];
        if program == WORKER_ARGUMENT {
            let staging = texts.iter().find_map(|text| folder_below(&self.images, text))?;
            return Some(RunsFor::Import(self.images.join(staging)));
        }
        if program == MMDEBSTRAP.name {
            return texts.iter().find_map(|text| self.builds.named_in(text)).map(RunsFor::Build);
        }
        let below = texts.iter().find_map(|text| folder_below(&self.vms, text)?.parse().ok());
        // Behind its walls a VMM sees other names; it carries the id of its VM in its own.
        let named = || {
            let start = b"banger-";
            let at = words.windows(start.len()).position(|part| part == start)? + start.len();
            let id: VmId = std::str::from_utf8(words.get(at..at + 36)?).ok()?.parse().ok()?;
            self.known.contains(&id).then_some(id)
        };
        if let Some(id) = below.or_else(named) {
            return Some(RunsFor::Vm(id));
        }
        let probe = folder_below(&self.state, words).is_some_and(|name| name.starts_with(".new-"));
        (program == QEMU.name && probe).then_some(RunsFor::Probe)
    }
}

/// The first part of a path below `parent` that `text` holds.
fn folder_below<'a>(parent: &Path, text: &'a [u8]) -> Option<&'a str> {
    let mut start = parent.as_os_str().as_encoded_bytes().to_vec();
    start.push(b'/');
    let at = text.windows(start.len()).position(|part| part == start)? + start.len();
    let rest = text.get(at..)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | 0 | b',' | b' '));
    std::str::from_utf8(rest.get(..end.unwrap_or(rest.len()))?).ok()
}

/// The program of a command line, as far as it is one of those that banger starts; a
/// script in place of one is named by its interpreter's first word.
fn program(words: &[u8]) -> Option<&'static str> {
    let mut parts = words.split(|byte| *byte == 0);
    let name = |word: &[u8]| {
        let name = Path::new(std::str::from_utf8(word).ok()?).file_name()?.to_str()?;
        // passt runs as passt.avx2 where the processor has it.
        Some(name.split('.').next().unwrap_or(name).to_owned())
    };
    let first = parts.next().and_then(name)?;
    let second = parts.next();
    if first == "bangerd" && second == Some(WORKER_ARGUMENT.as_bytes()) {
        return Some(WORKER_ARGUMENT);
    }
    if first == "bangerd" && second == Some(forward::ARGUMENT.as_bytes()) {
        return Some(forward::ARGUMENT);
    }
    let second = second.and_then(name).unwrap_or_default();
    [&QEMU, &FIRECRACKER, &PASST, &BWRAP, &MMDEBSTRAP, &VIRTIOFSD, &UNSHARE, &SETPRIV]
        .map(|known| known.name)
        .into_iter()
        .find(|known| *known == first || *known == second)
}

/// All of them; what ends while it is looked at is left out.
#[must_use]
pub fn running(recognise: &VmProcesses) -> Vec<FoundProcess> {
    let us = rustix::process::getuid().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| look(recognise, pid, us))
        .collect()
}

fn look(recognise: &VmProcesses, pid: u32, us: u32) -> Option<FoundProcess> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = program(&words)?;
    // Not the owner of the folder in /proc, which is root for a process that hides itself.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u32>().ok()
    };
    (field("Uid:")? == us).then_some(())?;
    let mut carried = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    for open in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(open.path()) {
            carried.push(0);
            carried.extend_from_slice(target.as_os_str().as_encoded_bytes());
        }
    }
    let runs_for = recognise.runs_for(program, &words, &carried)?;
    let id = ProcessId::of(pid).ok()??;
    let parent = field("PPid:").unwrap_or_default();
    let parent = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    Some(FoundProcess {
        started_at: started_at(id.start_ticks),
        id,
        program: program.to_owned(),
        runs_for,
        has_daemon: parent.trim() == "bangerd",
    })
}

/// When a process began, in seconds since the epoch.
fn started_at(ticks: u64) -> i64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    boot.unwrap_or(0) + i64::try_from(ticks / TICKS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn recognise() -> VmProcesses {
        VmProcesses {
            vms: "/s/vms".into(),
            images: "/d/images".into(),
            state: "/s".into(),
            builds: BuildFolder::of(Path::new("/s")),
            known: BTreeSet::new(),
        }
    }

    #[test]
    fn only_programs_that_banger_starts_count() {
        assert_eq!(program(b"qemu-system-x86_64\0-name\0x\0"), Some(QEMU.name));
        assert_eq!(program(b"/usr/bin/passt.avx2\0--foreground\0"), Some(PASST.name));
        assert_eq!(program(b"/bin/sh\0/opt/fakes/bwrap\0--x\0"), Some(BWRAP.name));
        assert_eq!(program(b"/usr/lib/qemu/virtiofsd\0--fd=3\0"), Some(VIRTIOFSD.name));
        assert_eq!(program(b"unshare\0--user\0"), Some(UNSHARE.name));
        assert_eq!(program(b"bangerd\0import-worker\0"), Some(WORKER_ARGUMENT));
        assert_eq!(program(b"/usr/bin/perl\0/usr/bin/mmdebstrap\0--x\0"), Some(MMDEBSTRAP.name));
        for other in [&b"ssh\0-o\0HostKeyAlias=bwrap\0"[..], b"vi\0-x\0/home/a/passt\0", b"", b"\0"]
        {
            assert_eq!(program(other), None);
        }
        assert_eq!(program(b"bangerd\0"), None);
    }

    #[test]
    fn a_process_is_known_by_what_it_names_or_has_open() {
        let (all, id) = (recognise(), ID.parse().unwrap());
        let vm = Some(RunsFor::Vm(id));
        let drive = format!("-blockdev\0driver=raw,file.filename=/s/vms/{ID}/rootfs.ext4");
        assert_eq!(all.runs_for(QEMU.name, drive.as_bytes(), b""), vm);
        let open = format!("A=b\0/dev/null\0/s/vms/{ID}/vmm.log (deleted)");
        assert_eq!(all.runs_for(QEMU.name, b"qemu", open.as_bytes()), vm);
        assert_eq!(all.runs_for(PASST.name, b"--pid\0/t/s/vms/x/passt.pid", b""), None);

        // Another daemon's VM may have any id.
        let name = format!("-name\0banger-{ID}\0");
        assert_eq!(all.runs_for(QEMU.name, name.as_bytes(), b""), None);
        let known = VmProcesses { known: BTreeSet::from([id]), ..recognise() };
        assert_eq!(known.runs_for(QEMU.name, name.as_bytes(), b""), vm);

        let worker = all.runs_for(WORKER_ARGUMENT, b"", b"\0/d/images/.new-1/rootfs.ext4");
        assert_eq!(worker, Some(RunsFor::Import("/d/images/.new-1".into())));
        let folder = all.builds.path();
        let environment = format!("TMPDIR={}", folder.display());
        let build = all.runs_for(MMDEBSTRAP.name, b"", environment.as_bytes());
        assert_eq!(build, Some(RunsFor::Build(folder)));
        assert_eq!(all.runs_for(MMDEBSTRAP.name, b"", b"TMPDIR=/var/tmp"), None);
        let probe = all.runs_for(QEMU.name, b"-kernel\0/s/.new-abc\0", b"");
        assert_eq!(probe, Some(RunsFor::Probe));
        assert_eq!(all.runs_for(QEMU.name, b"-kernel\0/home/a/kernel\0", b""), None);
    }

    #[test]
    fn a_process_of_ours_is_found() {
        let state = tempfile::tempdir().unwrap();
        let home = state.path().to_owned();
        let paths = Paths::from_environment(|name| (name == "HOME").then(|| home.clone().into()));
        let paths = paths.unwrap();
        let folder = paths.state.join(format!("vms/{ID}"));
        fs::create_dir_all(&folder).unwrap();
        let mut command = std::process::Command::new("/bin/sleep");
        std::os::unix::process::CommandExt::arg0(&mut command, "qemu-system-x86_64");
        let log = fs::File::create(folder.join("vmm.log")).unwrap();
        let mut child = command.arg("60").stderr(log).spawn().unwrap();
        // The kernel lets its starter go on before it has put the command line in place.
        let looks = std::iter::repeat_with(|| running(&VmProcesses::of(&paths)));
        let all = looks.take(500).find(|all| !all.is_empty()).unwrap_or_default();
        child.kill().unwrap();
        child.wait().unwrap();
        let [process] = &all[..] else { panic!("{all:?}") };
        assert_eq!((process.id.pid, process.program.as_str()), (child.id(), QEMU.name));
        assert_eq!(process.runs_for, RunsFor::Vm(ID.parse().unwrap()));
        assert!((crate::context::now() - process.started_at).abs() < 100, "{process:?}");
        assert!(!process.has_daemon);
        assert!(running(&VmProcesses::of(&paths)).is_empty());
    }
}
