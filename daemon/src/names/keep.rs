//! Keeps this host and the guests informed, as long as the daemon lives.

use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Refusal, VmId, VmRef};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, sleep, sleep_until};

use super::Names;
use super::host_file::HostFile;
use super::tell::{TellError, tell};
use crate::causes;
use crate::spawn::SSH;
use crate::verb;
use crate::vm::Registry;

/// How long changes are gathered that guests are told of: VMs are often started together.
const GATHER: Duration = Duration::from_millis(500);
/// Guests that are told at once.
const AT_ONCE: usize = 2;
/// The shortest and the longest time until one is tried again that could not be told.
const AGAIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(600)];

/// Never ends.
pub(crate) async fn keep(registry: Arc<Registry>) {
    tokio::join!(inform_host(&registry), inform_guests(&registry));
}

async fn inform_host(registry: &Registry) {
    let board = &registry.context().names;
    let (mut changes, mut file) = (board.watch(), HostFile::of_this_user());
    loop {
        changes.mark_unchanged();
        if let Err(error) = file.say(&board.running()) {
            tracing::warn!(error = %error, "this host is not told the names of VMs");
        }
        // The board is the context's, which lives as long as the registry.
        let _changed = changes.changed().await;
    }
}

async fn inform_guests(registry: &Arc<Registry>) {
    let mut changes = registry.context().names.watch();
    let mut pause = AGAIN[0];
    loop {
        changes.mark_unchanged();
        let again = if tell_all(registry).await {
            pause = AGAIN[0];
            None
        } else {
            let at = Instant::now() + pause;
            pause = (pause * 2).min(AGAIN[1]);
            Some(at)
        };
        let tried_again = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = tried_again => {}
        }
        sleep(GATHER).await;
    }
}

/// Tells everyone who does not know somebody; true when all of them could be told.
async fn tell_all(registry: &Arc<Registry>) -> bool {
    let context = registry.context();
    let to_tell = context.names.to_tell();
    if to_tell.is_empty() {
        return true;
    }
    let told = stream::iter(to_tell).map(|(vm, names)| async move {
        match tell_one(registry, vm, &names).await {
            Ok(()) => {
                context.names.told(vm, names);
                true
            }
            Err(error) => {
                // One that ends meanwhile is nobody's concern.
                let runs = registry
                    .find(&VmRef::Id(vm))
                    .is_ok_and(|vm| vm.record().phase.runtime().is_some());
                if runs {
                    let why = causes::with_causes(&error);
                    tracing::warn!(%vm, why, "a guest is not told the names of the others");
                }
                !runs
            }
        }
    });
    told.buffer_unordered(AT_ONCE).fold(true, |all, one| async move { all && one }).await
}

async fn tell_one(registry: &Registry, vm: VmId, names: &Names) -> Result<(), TellError> {
    let ssh = registry.context().programs().await.find(&SSH);
    let ssh = ssh.map_err(|missing| TellError::Failed(missing.to_string()))?;
    let refused = |refusal: Refusal| TellError::Failed(refusal.message);
    let vm = registry.find(&VmRef::Id(vm)).map_err(refused)?;
    let target = verb::ssh_target(&vm).map_err(refused)?;
    let mut record = vm.watch();
    tokio::select! {
        told = tell(&ssh, &target, names) => told,
        // Nobody waits for a guest that has ended.
        _ended = record.wait_for(|record| record.phase.runtime().is_none()) => {
            Err(TellError::Failed("it ended".to_owned()))
        }
    }
}
