//! Programs of others: are they there, do they run, what do they say of themselves.

use std::process::{Output, Stdio};
use std::time::Duration;

use super::super::facts::Program;
use crate::causes::with_causes;
use crate::share;
use crate::spawn::{Finder, Launch, QEMU, VIRTIOFSD};
use crate::vmm::Walls;
use crate::vmm::console::printable;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a program said that has ended, and how it ended.
pub(super) async fn ended(
    finder: &Finder,
    program: &crate::spawn::Program,
    arguments: &[&str],
) -> Result<Output, String> {
    let started = Launch::new(program, finder)
        .map_err(|missing| missing.to_string())?
        .arguments(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .start()
        .map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })?;
    let process = started.process;
    match tokio::time::timeout(PATIENCE, started.child.wait_with_output()).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => {
            let _ended = process.kill().await;
            Err(format!("it does not end within {} s", PATIENCE.as_secs()))
        }
    }
}

/// The last thing that a program complained of, or how it ended.
pub(super) fn complaint(output: &Output) -> String {
    let said = printable(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), str::to_owned)
}

/// The standard output of a program that has ended well.
async fn output(
    finder: &Finder,
    program: &crate::spawn::Program,
    arguments: &[&str],
) -> Result<String, String> {
    let output = ended(finder, program, arguments).await?;
    match output.status.success() {
        true => Ok(printable(&output.stdout)),
        false => Err(complaint(&output)),
    }
}

/// A program with its version.
pub(super) async fn version(finder: &Finder, program: &crate::spawn::Program) -> Program {
    let Ok(path) = finder.find(program) else { return Program::Missing };
    match output(finder, program, &["--version"]).await {
        Ok(text) => {
            let version = text.lines().next().unwrap_or_default().trim().to_owned();
            Program::Works { path, version }
        }
        Err(reason) => Program::Broken { path, reason },
    }
}

/// virtiofsd, with its version, as it runs where it serves a folder.
pub(super) async fn file_server(finder: &Finder, walls: &Walls) -> Program {
    let Ok(path) = finder.find(&VIRTIOFSD) else { return Program::Missing };
    match share::probe(finder, walls).await {
        Ok(version) => Program::Works { path, version },
        Err(error) => Program::Broken { path, reason: with_causes(&error) },
    }
}

/// The networks that QEMU was built with.
pub(super) async fn networks(finder: &Finder) -> Vec<String> {
    let told = output(finder, &QEMU, &["-machine", "none", "-netdev", "help"]).await;
    let told = told.unwrap_or_default();
    // Under a heading, a name a line.
    told.lines().filter(|line| !line.contains(' ') && !line.is_empty()).map(str::to_owned).collect()
}
