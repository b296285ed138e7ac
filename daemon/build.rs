//! Makes the first process of guests, which bangerd carries: a program without any library, which cargo
//! makes none of, by the compiler that makes bangerd.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Small, for any processor, and with nothing that would have to be there to run it.
const OPTIONS: &[&str] = &[
    "--edition=2024",
    "--crate-name=banger_init",
    "--crate-type=bin",
    // Its lints are cargo's matter, which sees it as a library.
    "--cap-lints=allow",
    "-Cpanic=abort",
    "-Copt-level=z",
    "-Clto=fat",
    "-Ccodegen-units=1",
    "-Cstrip=symbols",
    "-Crelocation-model=static",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=../guest/src");
    println!("cargo::rerun-if-changed=build.rs");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the first process of guests is not made: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("{name} is not set"));
    if variable("CARGO_CFG_TARGET_ARCH")? != "x86_64" {
        return Err("guests are of x86-64, and so is what makes them".to_owned());
    }
    let guest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../guest");
    let mut mapped = OsString::from("--remap-path-prefix=");
    mapped.push(&guest);
    mapped.push("=guest");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(OPTIONS).arg(mapped).arg("--target").arg(variable("TARGET")?);
    if let Ok(linker) = variable("RUSTC_LINKER") {
        let mut option = OsString::from("-Clinker=");
        option.push(linker);
        rustc.arg(option);
    }
    rustc
        .arg("-o")
        .arg(Path::new(&variable("OUT_DIR")?).join("init"))
        .arg(guest.join("src/main.rs"));
    let status = rustc.status().map_err(|error| format!("the compiler does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the compiler ended with {status}")) }
}
