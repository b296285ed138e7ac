//! `image build`: a root filesystem made of a distribution's packages.

use std::collections::VecDeque;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Code, Image, ImageName, ImageSource, Mib, Refusal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::build::{BuildError, DebianImage};
use super::make::Making;
use super::take_in::Worker;
use crate::context::Context;
use crate::garbage::{self, Action, BuildFolder};
use crate::progress::Teller;
use crate::spawn::Started;
use crate::verb::OnHost;
use crate::vm::Registry;
use crate::vmm::console::printable;

/// How long a builder that is not wanted any more may clean up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a builder whose tar breaks off may take to say why.
const BLAME: Duration = Duration::from_secs(5);
/// Lines of the builder's words that are kept for an error.
const TAIL: usize = 12;
/// Longest line that is read at once, in bytes.
const LONGEST: u64 = 16 << 10;

/// Makes an image of packages.
///
/// # Errors
/// Says at which stage it failed; nothing is left then.
pub async fn build_image(
    registry: Arc<Registry>,
    name: ImageName,
    size: Option<Mib>,
    source: ImageSource,
    teller: Teller<Image>,
) -> Result<Image, Refusal> {
    let ImageSource::Debian { suite, mirror } = source;
    let recipe = DebianImage::new(&suite, mirror.as_deref()).map_err(|error| refused(&error))?;
    let context = registry.context().clone();
    let finder = Context::finder(&context.settings().await?);
    let folder = BuildFolder::of(&context.paths.state).path();
    let launch = recipe.launch(&finder, &folder).map_err(|error| refused(&error))?;
    // Claimed before it is there to be seen.
    let _claim = context.builds.claim(&folder);
    let label = format!("debian {suite}");
    let making = Making::begin(registry, teller.clone(), name, size, None, label).await?;
    let build = async {
        BuildFolder::make(&folder).on_host("make a folder for the build")?;
        let (reader, writer) = std::io::pipe().on_host("make a pipe")?;
        let worker = making.worker(Stdio::from(reader))?;
        let started = launch
            .stdout(writer)
            .stderr(Stdio::piped())
            .start()
            .map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        attend(started, worker, &teller).await
    };
    let detail = format!("of Debian's packages for {suite}");
    let built = teller.stage("build_rootfs", &detail, build).await;
    // Empty, unless the builder could not clean up.
    if let Err(error) = garbage::remove(&Action::DeleteBuild(folder), &finder).await {
        tracing::warn!(%error, "the folder of a build stays");
    }
    built?;
    making.finish(None, None).await
}

/// Returns when both have done their part, or one of them cannot.
async fn attend(started: Started, worker: Worker, teller: &Teller<Image>) -> Result<(), Refusal> {
    let mut builder = Builder { started, over: false };
    // Heard to its very end by a task of its own: a builder that cleans up must not be
    // killed by what it says meanwhile.
    let stderr = builder.started.child.stderr.take();
    let mut heard = tokio::spawn(hear(stderr, teller.clone()));
    let mut taking = pin!(worker.finish(teller, None));
    let outcome = {
        let mut building = pin!(builder.finish(&mut heard));
        tokio::select! {
            built = &mut building => match built {
                Ok(()) => taking.await,
                failed => failed,
            },
            taken = &mut taking => match taken {
                Ok(()) => building.await,
                Err(refusal) => Err(blame(refusal, building).await),
            },
            () = teller.abandoned() => Err(Refusal::new(
                Code::Aborted,
                "the build was given up with the command that asked for it",
            )),
        }
    };
    if !builder.over {
        // Given time, it removes what it made.
        builder.started.end_group(PATIENCE).await;
        builder.over = true;
    }
    outcome
}

/// Whose fault it is that the tar could not be taken in: a builder that fails in the
/// middle cuts it, and a tar that is not taken makes the builder fail.
async fn blame(refusal: Refusal, building: impl Future<Output = Result<(), Refusal>>) -> Refusal {
    if refusal.code != Code::InvalidArgument {
        return refusal;
    }
    match tokio::time::timeout(BLAME, building).await {
        Ok(Err(builder)) if !builder.chain.iter().any(|line| line.contains("Broken pipe")) => {
            builder
        }
        _ => refusal,
    }
}

fn refused(error: &BuildError) -> Refusal {
    let code = match error {
        BuildError::Suite(_) | BuildError::Mirror(_) => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    };
    Refusal::from_error(code, error)
}

/// The builder, killed when it is dropped before its end: then the daemon ends.
struct Builder {
    started: Started,
    over: bool,
}

impl Drop for Builder {
    fn drop(&mut self) {
        if !self.over {
            self.started.kill_group();
        }
    }
}

impl Builder {
    /// Waits until it has ended, and has been heard out.
    async fn finish(&mut self, heard: &mut JoinHandle<VecDeque<String>>) -> Result<(), Refusal> {
        let tail = heard.await.unwrap_or_default();
        let status = self.started.child.wait().await.on_host("wait for mmdebstrap")?;
        self.over = true;
        if status.success() { Ok(()) } else { Err(failed(&status.to_string(), tail)) }
    }
}

/// Reads what the builder says; its headlines go to the user. Returns the end of it.
async fn hear(stderr: Option<ChildStderr>, teller: Teller<Image>) -> VecDeque<String> {
    let mut tail = VecDeque::new();
    let Some(stderr) = stderr else { return tail };
    let mut words = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut words).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return tail,
        }
        let line = printable(&line).trim().to_owned();
        tracing::debug!(line, "mmdebstrap");
        if let Some(headline) = headline(&line) {
            teller.notice(headline);
        }
        if !line.is_empty() {
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    }
}

/// What the user is told of a line: the builder's larger steps, without its housekeeping.
fn headline(line: &str) -> Option<&str> {
    let headline = line.strip_prefix("I: ")?.trim_end_matches("...");
    let steps = ["running apt-get update", "downloading", "extracting", "installing", "creating"];
    steps.iter().any(|step| headline.starts_with(step)).then_some(headline)
}

/// What went wrong, from the builder's last words.
fn failed(status: &str, tail: VecDeque<String>) -> Refusal {
    let said =
        |words: &[&str]| tail.iter().any(|line| words.iter().any(|word| line.contains(word)));
    let (code, message, hint) = if said(&["No space left on device"]) {
        (
            Code::ResourceExhausted,
            "the disk is full",
            "free some space: a build needs about 2 GiB in /var/tmp and 1 GiB in the home",
        )
    } else if said(&[
        "Could not resolve",
        "Temporary failure resolving",
        "Could not connect",
        "Connection failed",
        "Connection timed out",
        "Unable to connect",
        "Failed to fetch",
    ]) {
        (
            Code::Unavailable,
            "the package mirror does not answer as it should",
            "look at the network, try again later, or choose another mirror with --mirror",
        )
    } else if said(&["does not have a Release file", "404  Not Found"]) {
        (
            Code::InvalidArgument,
            "the package mirror has no such suite",
            "use a suite that the mirror has, like bookworm or trixie",
        )
    } else if said(&["newuidmap", "/etc/subuid", "unshare", "Operation not permitted"]) {
        (
            Code::FailedPrecondition,
            "this user may not make user namespaces as a build needs them",
            "see the last lines; user namespaces, /etc/subuid and /etc/subgid are what it needs",
        )
    } else {
        (Code::Internal, "mmdebstrap failed", "see its last lines above; try again")
    };
    let mut refusal = Refusal::new(code, format!("{message} (mmdebstrap: {status})")).hint(hint);
    // The causes that cross are few: the last ones count.
    let few = tail.len().saturating_sub(6);
    refusal.chain = tail.into_iter().skip(few).collect();
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_larger_steps_are_told() {
        assert_eq!(
            headline("I: downloading packages with apt..."),
            Some("downloading packages with apt")
        );
        assert_eq!(headline("I: running apt-get update..."), Some("running apt-get update"));
        assert_eq!(headline("I: running --customize-hook in shell: sh -c 'x"), None);
        assert_eq!(headline("Reading package lists..."), None);
    }

    #[test]
    fn a_failed_build_says_what_to_do() {
        let told = |line: &str| {
            let refusal = failed("exit status: 1", [line.to_owned()].into());
            assert_eq!(refusal.chain, [line]);
            refusal.code
        };
        let lines = [
            ("E: Failed to fetch http://x/y  Connection timed out", Code::Unavailable),
            ("E: The repository 'x' does not have a Release file.", Code::InvalidArgument),
            ("tar: x: Cannot write: No space left on device", Code::ResourceExhausted),
            (
                "newuidmap: write to uid_map failed: Operation not permitted",
                Code::FailedPrecondition,
            ),
            ("something else", Code::Internal),
        ];
        for (line, code) in lines {
            assert_eq!(told(line), code, "{line}");
        }
        let many = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(failed("x", many).chain, ["14", "15", "16", "17", "18", "19"]);
    }
}
