//! Links the helper without the tables that unwinding needs: it ends where it panics, and they
//! are an eighth of what runs as root.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=no-unwinding.ld");
    // Of the release profile, which aborts, and those that inherit it.
    if var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    // The one linker that reads no such script.
    if var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("mold")) {
        return;
    }
    let Ok(here) = var("CARGO_MANIFEST_DIR") else { return };
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    println!("cargo::rustc-link-arg-bins=-Wl,--script={here}/no-unwinding.ld");
}
