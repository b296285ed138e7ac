//! A test that cannot run here says so, and is counted. Tests of other crates have this very file.

use std::fs::OpenOptions;
use std::io::Write;

/// Prints why a test does not run here; the file named by `BANGER_SKIPS`, when
/// set, gets a line too, so that `make test` can count and show them at the end.
pub fn skip(reason: &str) {
    println!("SKIPPED: {reason}");
    let Some(file) = std::env::var_os("BANGER_SKIPS") else { return };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
    if let Err(error) = written {
        panic!("cannot note a skipped test in {}: {error}", file.display());
    }
}
