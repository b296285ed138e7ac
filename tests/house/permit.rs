//! Code that acts without asking does not compile.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a verb looks like.
const VERB: &str = "
    use banger_roothelper::{Caller, Permit, call};
    pub fn discard(permit: Permit<call::DiscardOverlay>) -> u32 { permit.caller().uid().get() }
";

/// Compiles `VERB` and more against the helper's library; what the compiler said when it refused.
fn compile(more: &str) -> Result<(), String> {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let library: PathBuf = built.join("libbanger_roothelper.rlib");
    assert!(library.exists(), "{} is not built: use `make test`", library.display());
    let folder = tempfile::tempdir().unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "-"])
        .arg("--out-dir")
        .arg(folder.path())
        .arg("--extern")
        .arg(format!("banger_roothelper={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", built.join("deps").display()))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the compiler can be started");
    let mut source = rustc.stdin.take().unwrap();
    source.write_all(VERB.as_bytes()).and_then(|()| source.write_all(more.as_bytes())).unwrap();
    drop(source);
    let output = rustc.wait_with_output().unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_permit_comes_from_the_gate_alone() {
    // What is right compiles, so that the others fail for their own reason.
    compile("pub fn act(permit: Permit<call::DiscardOverlay>) -> u32 { discard(permit) }").unwrap();
    for (why, code, more) in [
        (
            "made by hand",
            "E0451",
            "pub fn act(caller: Caller, call: call::DiscardOverlay) -> u32 {
                discard(Permit { caller, call })
            }",
        ),
        ("none at all", "E0061", "pub fn act() -> u32 { discard() }"),
        (
            "of another call",
            "E0308",
            "pub fn act(permit: Permit<call::AttachNetwork>) -> u32 { discard(permit) }",
        ),
        (
            "changed afterwards",
            "E0594",
            "pub fn act(permit: &mut Permit<call::DiscardOverlay>, vm: call::DiscardOverlay) {
                permit.call().0 = vm.0;
            }",
        ),
        (
            "used twice",
            "E0382",
            "pub fn act(permit: Permit<call::DiscardOverlay>) -> u32 {
                discard(permit) + discard(permit)
            }",
        ),
        (
            "copied",
            "E0277",
            "pub fn copied<T: Clone>() {}
            pub fn act() { copied::<Permit<call::DiscardOverlay>>() }",
        ),
        (
            "out of nothing",
            "E0277",
            "pub fn made<T: Default>() {}
            pub fn act() { made::<Permit<call::DiscardOverlay>>() }",
        ),
    ] {
        let said = compile(more).expect_err(why);
        assert!(said.contains(&format!("error[{code}]")), "{why}: {said}");
    }
}
