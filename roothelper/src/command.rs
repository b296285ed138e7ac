//! The program: from the start to the last connection.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::audit::{Audit, Journal};
use crate::authority::Polkit;
use crate::kernel::Linux;
use crate::kernel::sanitise::{NotClean, sanitise};
use crate::server::{Capacity, Server};
use crate::sweep_all::sweep_all;
use crate::systemd::{Notify, Passed};
use crate::worker::Workers;
use crate::{CONFIG_PATH, Config, ConfigError, Gate};

/// The exit status of a configuration that is wrong: the unit does not try again.
const CONFIGURATION: u8 = 78;
/// The exit status of arguments that are wrong.
const USAGE: u8 = 2;

const HELP: &str = "\
banger-roothelper: does for banger what needs root

systemd starts it when somebody asks: sudo systemctl enable --now banger-roothelper.socket

banger-roothelper sweep --all [--overlays]: as root, while it does not run: all users' devices
that nobody uses are removed; with --overlays what guests wrote, too. See banger-roothelper(8).
";

/// Why it cannot serve.
#[derive(Debug, thiserror::Error)]
enum NotServing {
    #[error(
        "banger-roothelper is started by systemd, which passes it a socket, and {0} were passed"
    )]
    NoSocket(usize),
    #[error("only root may remove what is root's")]
    NotRoot,
    #[error("cannot run here")]
    NotClean(#[from] NotClean),
    #[error("its configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
}

impl NotServing {
    const fn status(&self) -> u8 {
        match self {
            Self::Config(_) => CONFIGURATION,
            _ => 1,
        }
    }

    const fn hint(&self) -> &'static str {
        match self {
            Self::NoSocket(_) | Self::NotClean(NotClean::NotAListener) => {
                "sudo systemctl enable --now banger-roothelper.socket"
            }
            Self::Config(_) => "man banger-roothelper, then ask again: the file is read anew",
            Self::NotRoot | Self::NotClean(_) | Self::System(..) => "",
        }
    }
}

/// Runs the program with these arguments, its own name left out.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_str()).collect();
    match &*words {
        [] => match serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error, error.hint());
                ExitCode::from(error.status())
            }
        },
        [Some("sweep"), Some("--all")] => sweep(false),
        [Some("sweep"), Some("--all"), Some("--overlays")] => sweep(true),
        [Some("--help" | "-h")] => say(HELP),
        [Some("--version" | "-V")] => {
            say(concat!("banger-roothelper ", env!("CARGO_PKG_VERSION"), "\n"))
        }
        _ => {
            let _unread = io::stderr().write_all(HELP.as_bytes());
            ExitCode::from(USAGE)
        }
    }
}

/// What to do about taps that stay, and all that belongs to them.
const UNCONFIGURED: &str =
    "mend the file (man banger-roothelper), then again: sudo banger-roothelper sweep --all";

/// Removes what all users have, and says what became of it.
fn sweep(include_overlays: bool) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        complain(&NotServing::NotRoot, "sudo banger-roothelper sweep --all");
        return ExitCode::FAILURE;
    }
    // What stays is to stay as it was configured, which nobody guesses.
    let config = Config::load(Path::new(CONFIG_PATH), 0);
    let known = config.as_ref().ok().copied();
    let report = match sweep_all(&Linux::default(), known, include_overlays) {
        Ok(report) => report,
        Err(refusal) => {
            let causes = refusal.chain.iter().map(|cause| format!("  because: {cause}\n"));
            let text = format!("error: {}\n{}", refusal.message, causes.collect::<String>());
            let _unread = io::stderr().write_all(text.as_bytes());
            return ExitCode::FAILURE;
        }
    };
    let told = report.tell(&mut io::stdout());
    // Where nothing is left that follows from it, what it says does not matter.
    if let (Err(error), true) = (config, report.unconfigured) {
        complain(&NotServing::Config(error), UNCONFIGURED);
    }
    let complete = told.is_ok() && report.is_complete(include_overlays);
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(text: &str) -> ExitCode {
    let said = io::stdout().write_all(text.as_bytes());
    if said.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What, because, try: as everything of banger's says it.
fn complain(error: &dyn std::error::Error, hint: &str) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    if !hint.is_empty() {
        text.push_str(&format!("  try: {hint}\n"));
    }
    let _unread = io::stderr().write_all(text.as_bytes());
}

/// Ends what waits on the listener, and what comes within a second: systemd would start this
/// program again for it at once, and again, since no number of starts is too many for its unit.
fn let_go(listener: impl AsFd) {
    let end = Instant::now() + Duration::from_secs(1);
    if rustix::io::ioctl_fionbio(&listener, true).is_err() {
        return;
    }
    while Instant::now() < end {
        match rustix::net::accept(&listener) {
            Ok(client) => drop(client),
            Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return,
        }
    }
}

fn serve() -> Result<(), NotServing> {
    let passed = Passed::read(std::process::id(), |name| std::env::var_os(name));
    if passed.sockets != 1 {
        return Err(NotServing::NoSocket(passed.sockets));
    }
    let listener = sanitise()?;
    let config = Config::load(Path::new(CONFIG_PATH), 0).inspect_err(|_| let_go(&listener))?;
    let notify =
        Notify::to(passed.notify).map_err(|error| NotServing::System("reach systemd", error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // What waits for devices: of these a user's calls are an eighth at most.
        .max_blocking_threads(128)
        .build()
        .map_err(|error| NotServing::System("begin", error))?;
    runtime.block_on(async {
        let begin = |error| NotServing::System("listen", error);
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true).map_err(begin)?;
        let listener = UnixListener::from_std(listener).map_err(begin)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(begin)?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(begin)?;
        let audit = Audit::new(Box::new(Journal::default()));
        let gate = Gate::new(Box::new(Polkit::default()), audit);
        let server =
            Server::new(gate, Arc::new(Linux::default()), config).workers(Workers::of_the_helper());
        notify.tell("READY=1");
        let serving = server.serve(listener, Capacity::UNIT, async {
            tokio::select! { _ = terminated.recv() => {} _ = interrupted.recv() => {} }
            notify.tell("STOPPING=1");
        });
        let alive = async {
            let Some(interval) = passed.watchdog else { return std::future::pending().await };
            loop {
                notify.tell("WATCHDOG=1");
                tokio::time::sleep(interval / 3).await;
            }
        };
        tokio::select! {
            _ended = serving => {}
            () = alive => {}
        }
        notify.tell("STOPPING=1");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_waits_for_a_helper_that_cannot_start_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut waiting: Vec<_> = (0..5).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let begun = Instant::now();
        let_go(&listener);
        // A client that comes again and again starts no more than one a second.
        assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        for client in &mut waiting {
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        }
    }
}
