//! No file can be opened, no port used, no other process reached.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    Scope,
};

use super::{NotShutIn, step};

/// Takes every right that this kernel's Landlock knows of, and gives none back. A kernel that
/// has none, or one from before those that the helper runs on, is refused: the filter of system
/// calls lets nothing be opened either, but a defect in one wall is to find the other.
pub(super) fn close() -> Result<(), NotShutIn> {
    restrict().map_err(std::io::Error::other).map_err(step("give up files: it needs Landlock"))
}

fn restrict() -> Result<(), RulesetError> {
    let newest = ABI::V9;
    Ruleset::default()
        // As `kernel::landlock` asks for it.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    const INSIDE: &str = "BANGER_TEST_WORKER_FILES";

    /// Runs in a process of its own, which it shuts in for good.
    #[test]
    fn inside() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        let program = std::env::current_exe().unwrap();
        close().unwrap();
        let opened = fs::File::open("/etc/passwd").is_ok() || fs::File::open(program).is_ok();
        let listed = fs::read_dir("/").is_ok();
        let made = fs::write(std::env::temp_dir().join("banger-test-worker"), "").is_ok();
        let started = Command::new("/bin/true").spawn().is_ok();
        let bound = TcpListener::bind(("127.0.0.1", 0)).is_ok();
        println!("opened {opened} listed {listed} made {made} started {started} bound {bound}");
    }

    const WITHOUT: &str = "BANGER_TEST_WORKER_WITHOUT_LANDLOCK";

    /// Runs in a process of its own, whose kernel says what one without Landlock says.
    #[test]
    fn inside_without_landlock() {
        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

        let Some(errno) = std::env::var_os(WITHOUT) else { return };
        let errno: u32 = errno.to_str().unwrap().parse().unwrap();
        let landlock = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
        let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(errno));
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter: BpfProgram =
            SeccompFilter::new(landlock, allow, deny, arch).unwrap().try_into().unwrap();
        apply_filter(&filter).unwrap();
        println!("refused {}", close().unwrap_err());
    }

    #[test]
    fn without_landlock_nothing_is_begun() {
        for errno in [libc::ENOSYS, libc::EOPNOTSUPP] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "worker::sandbox::files::tests::inside_without_landlock"])
                .arg("--nocapture")
                .env(WITHOUT, errno.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.contains("refused cannot give up files: it needs Landlock"), "{said}");
        }
    }

    /// The other walls would hide a hole in this one, so it is tried alone.
    #[test]
    fn no_file_can_be_opened_made_or_started_and_no_port_bound() {
        let known = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .and_then(Ruleset::create);
        if known.is_err() {
            println!("SKIPPED: this kernel has no Landlock");
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::sandbox::files::tests::inside", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let files = "opened false listed false made false started false";
        assert!(said.contains(files), "{said}");
        let ports = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessNet::from_all(ABI::V4))
            .and_then(Ruleset::create);
        assert!(ports.is_err() || said.contains("bound false"), "{said}");
    }
}
