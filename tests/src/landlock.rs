//! Whether a test may expect Landlock of this kernel.

/// Whether this kernel has Landlock, as itself says: asked past the code that is tested.
pub fn has_landlock() -> bool {
    // landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), of one number everywhere.
    let ask = "import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, 0, 0, 1) < 1)";
    let asked = std::process::Command::new("python3").args(["-c", ask]).status();
    asked.expect("python3 can be started").success()
}
