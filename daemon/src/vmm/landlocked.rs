//! Landlock around a VMM where bubblewrap does not work: this very program once more, which
//! shuts itself in for good and then becomes the VMM.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

use super::qemu::{CONTROL_DESCRIPTOR, NETWORK_DESCRIPTOR, Places};
use super::spec::Accelerator;

/// The argument that makes this program the one that shuts itself in.
pub(super) const ARGUMENT: &str = "confined-vmm";
/// Descriptors that the VMM is to find open.
pub(super) const KEPT: [i32; 2] = [CONTROL_DESCRIPTOR, NETWORK_DESCRIPTOR];
/// The newest of Landlock that is asked for; what the kernel does not know is left out.
const NEWEST: ABI = ABI::V9;

/// What is told, in one line of JSON on standard output, before it becomes the VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    /// What the kernel's Landlock can, as its version of the interface.
    pub(super) abi: u32,
    /// No TCP connection can be made or waited for.
    pub(super) no_tcp: bool,
}

impl Report {
    /// Reads the line.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// What the program inside may do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    tcp: bool,
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// This program's arguments for one VM, up to and with the VMM.
pub(super) fn around(
    system: &[PathBuf],
    host: &Places,
    program: &Path,
    accelerator: Accelerator,
    tcp: bool,
) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![ARGUMENT.into()];
    let mut allow = |how: &str, path: &Path| line.extend([how.into(), path.into()]);
    for path in system {
        allow("--read", path);
    }
    for path in ["/etc/ld.so.cache", "/dev/urandom"] {
        allow("--read", Path::new(path));
    }
    if !program.starts_with("/usr")
        && let (Some(folder), Some(prefix)) =
            (program.parent(), program.parent().and_then(Path::parent))
    {
        allow("--read", folder);
        for neighbour in ["share", "lib", "libexec"] {
            allow("--read", &prefix.join(neighbour));
        }
    }
    allow("--read", &host.kernel);
    if let Some(initrd) = &host.initrd {
        allow("--read", initrd);
    }
    let input = host.line.with_extension("in");
    for path in [&host.rootfs, &host.work_disk, &host.console, &input] {
        allow("--write", path);
    }
    allow("--write", Path::new("/dev/null"));
    if accelerator == Accelerator::Kvm {
        allow("--write", Path::new("/dev/kvm"));
    }
    if tcp {
        // QEMU's own network asks the host's name servers, and finds them here.
        allow("--read", Path::new("/etc/resolv.conf"));
        line.push("--tcp".into());
    }
    line.extend(["--".into(), program.into()]);
    line
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Plan> {
    let mut plan = Plan::default();
    let mut words = arguments.into_iter();
    loop {
        let word = words.next()?;
        match word.to_str()? {
            "--read" => plan.read.push(words.next()?.into()),
            "--write" => plan.write.push(words.next()?.into()),
            "--tcp" => plan.tcp = true,
            "--" => break,
            _ => return None,
        }
    }
    plan.program = words.next()?.into();
    plan.arguments = words.collect();
    Some(plan)
}

/// Shuts this process in and becomes the VMM. Returns only when that fails, with the reason.
pub(super) fn become_vmm(arguments: impl IntoIterator<Item = OsString>) -> String {
    let Some(plan) = parse(arguments) else { return "its arguments make no sense".to_owned() };
    let report = match restrict(&plan) {
        Ok(Some(report)) => report,
        Ok(None) => return "the kernel has no Landlock".to_owned(),
        Err(error) => return format!("Landlock does not work: {error}"),
    };
    let told = serde_json::to_string(&report).unwrap_or_default();
    // What is still in a buffer would be lost with this program.
    let mut output = std::io::stdout().lock();
    if output.write_all(told.as_bytes()).and_then(|()| output.flush()).is_err() {
        return "nobody listens".to_owned();
    }
    let name = plan.program.file_name().unwrap_or_else(|| OsStr::new("vmm")).to_owned();
    let mut command = Command::new(&plan.program);
    command.arg0(name).args(plan.arguments).stdin(Stdio::null()).stdout(Stdio::null());
    format!("cannot start {}: {}", plan.program.display(), command.exec())
}

fn restrict(plan: &Plan) -> Result<Option<Report>, landlock::RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let write = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if !plan.tcp {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(&plan.read, read))?
        .add_rules(path_beneath_rules(&plan.write, write))?
        .restrict_self()?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else { return Ok(None) };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Ok(None);
    }
    let abi = effective_abi as u32;
    Ok(Some(Report { abi, no_tcp: !plan.tcp && effective_abi >= ABI::V4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places {
            kernel: "/image/vmlinuz".into(),
            initrd: None,
            rootfs: "/vm/rootfs.ext4".into(),
            work_disk: "/vm/work.ext4".into(),
            console: "/vm/console.log".into(),
            line: "/vm/console".into(),
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_understood() {
        let program = Path::new("/usr/bin/qemu-system-x86_64");
        let mut line = around(&["/usr".into()], &places(), program, Accelerator::Kvm, false);
        assert_eq!(line.remove(0), ARGUMENT);
        line.extend(["-m".into(), "--".into()]);
        let plan = parse(line).unwrap();
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        let write = ["/vm/rootfs.ext4", "/vm/work.ext4", "/vm/console.log", "/vm/console.in"];
        assert_eq!(plan.write, [paths(&write), paths(&["/dev/null", "/dev/kvm"])].concat());
        let read = ["/usr", "/etc/ld.so.cache", "/dev/urandom", "/image/vmlinuz"];
        assert_eq!(plan.read, paths(&read));
        assert!(!plan.tcp);
        assert_eq!((plan.program.as_path(), plan.arguments.len()), (program, 2));
        let mut line = around(&[], &places(), program, Accelerator::Tcg, true);
        let plan = parse(line.split_off(1)).unwrap();
        assert!(plan.tcp && plan.read.contains(&"/etc/resolv.conf".into()));
        assert!(!plan.write.contains(&"/dev/kvm".into()));
    }

    #[test]
    fn anything_else_is_refused() {
        let parse = |words: &[&str]| parse(words.iter().map(OsString::from));
        assert_eq!(parse(&["--read"]), None);
        assert_eq!(parse(&["--read", "/usr"]), None);
        assert_eq!(parse(&["--",]), None);
        assert_eq!(parse(&["--all", "--", "true"]), None);
    }
}
