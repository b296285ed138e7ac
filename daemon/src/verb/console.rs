//! `vm console`: the guest's serial line, both ways.
//!
//! What the guest writes is read from its log, and what is typed goes into a pipe that the
//! VMM holds open: nobody who is attached, slow or dead, can hold the guest up, several may
//! be attached at once, and none of it depends on this daemon.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_proto::{Code, Refusal, VmState};
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::logs::{Piece, read_logs};
use super::refusal;
use crate::store::{Phase, VmRecord};
use crate::vm::Handle;

/// How often it is looked whether a VMM that is being started reads already.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the guest writes, from the last `tail` lines on, until it ends; `input` is typed
/// there as long as somebody takes what comes back.
///
/// # Errors
/// [`Code::FailedPrecondition`] when the VM does not run.
pub async fn attach_console<I>(
    vm: &Handle,
    tail: u32,
    input: I,
) -> Result<impl Stream<Item = Result<Piece, Refusal>> + Send + use<I>, Refusal>
where
    I: Stream<Item = Result<Vec<u8>, Refusal>> + Send + 'static,
{
    let record = vm.record();
    check(&record, &vm.files().run().console_input())?;
    // Where the reading begins is settled before anything is typed: the answer is never old.
    let output = read_logs(vm, true, Some(tail)).await?;
    Ok(beside(output, type_in(vm.clone(), input)))
}

/// Whether there is a line to attach to.
fn check(record: &VmRecord, line: &Path) -> Result<(), Refusal> {
    let name = &record.name;
    match record.phase {
        // The VMM of a VM that is being started may come any moment.
        Phase::Starting {} => Ok(()),
        Phase::Running { .. } | Phase::Stopping { .. } if line.exists() => Ok(()),
        Phase::Running { .. } | Phase::Stopping { .. } => Err(Refusal::new(
            Code::FailedPrecondition,
            format!("{name} was started by an older banger, without a line to its console"),
        )
        .hint(format!("start it again: banger stop {name}, banger start {name}"))),
        _ => Err(Refusal::new(
            Code::FailedPrecondition,
            format!("{name} is {}", record.phase.state()),
        )
        .hint(format!("start it first: banger start {name}; what it wrote: banger logs {name}"))),
    }
}

/// Types what comes in. The end of it is none of the stream's.
async fn type_in(
    vm: Handle,
    input: impl Stream<Item = Result<Vec<u8>, Refusal>> + Send + 'static,
) -> Result<(), Refusal> {
    let mut input = std::pin::pin!(input);
    let mut line = None;
    while let Some(typed) = input.next().await {
        let typed = typed?;
        let pipe = match &mut line {
            Some(pipe) => pipe,
            None => line.insert(open(&vm).await?),
        };
        if let Err(error) = pipe.write_all(&typed).await {
            // The VMM has ended, and the output tells so.
            tracing::debug!(vm = %vm.name(), %error, "nobody reads a console any more");
            break;
        }
    }
    Ok(())
}

/// Opens the line as soon as the VMM reads it.
async fn open(vm: &Handle) -> Result<pipe::Sender, Refusal> {
    let path: PathBuf = vm.files().run().console_input();
    loop {
        match pipe::OpenOptions::new().open_sender(&path) {
            Err(_) if vm.record().phase.state() == VmState::Starting => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            opened => return opened.map_err(|error| refusal(Code::Internal, &error)),
        }
    }
}

/// The items of `stream` while `work` goes on beside it; an error of its is the last item.
fn beside<T: Send>(
    stream: impl Stream<Item = Result<T, Refusal>> + Send,
    work: impl Future<Output = Result<(), Refusal>> + Send,
) -> impl Stream<Item = Result<T, Refusal>> + Send {
    let work = futures_util::stream::once(work)
        .filter_map(|outcome| std::future::ready(outcome.err().map(|refusal| Some(Err(refusal)))));
    let end = futures_util::stream::once(std::future::ready(None));
    let items = stream.map(Some).chain(end);
    futures_util::stream::select(items, work)
        .take_while(|item| std::future::ready(item.is_some()))
        .filter_map(std::future::ready)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn the_streams_end_is_the_end_and_a_failed_work_is_told() {
        let forever = || std::future::pending::<Result<(), Refusal>>();
        let items = || stream::iter([Ok(1), Ok(2)]);
        let got: Vec<_> = beside(items(), forever()).collect().await;
        assert_eq!(got, [Ok(1), Ok(2)]);
        let done = async { Ok(()) };
        let got: Vec<_> = beside(items(), done).collect().await;
        assert_eq!(got, [Ok(1), Ok(2)]);
        let wrong = Refusal::new(Code::Internal, "no");
        let failing = std::future::ready(Err(wrong.clone()));
        let mut got = std::pin::pin!(beside(stream::pending::<Result<u8, Refusal>>(), failing));
        assert_eq!(got.next().await, Some(Err(wrong)));
    }
}
