//! The names that bangerd knows, when it runs and answers at once.

use std::ffi::OsStr;
use std::time::Duration;

use banger_proto::client::Client;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter};

use crate::bangerd;

/// Whoever has pressed a key does not wait longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks the daemon, if one runs.
fn ask<T>(question: impl AsyncFnOnce(Client) -> Option<Vec<T>>) -> Vec<T> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let answer = runtime.block_on(async {
        let asked = async { question(bangerd::running().await.ok()??).await };
        tokio::time::timeout(PATIENCE, asked).await.ok()?
    });
    runtime.shutdown_background();
    answer.unwrap_or_default()
}

/// Names of VMs, with their states.
pub(super) fn vms() -> Vec<CompletionCandidate> {
    let vms = ask(async |mut client| client.list_vms().await.ok());
    vms.iter()
        .map(|vm| {
            CompletionCandidate::new(vm.name.as_str()).help(Some(vm.state.to_string().into()))
        })
        .collect()
}

/// Where `cp` can copy from or to: files of this computer, and VMs with a colon behind.
pub(super) fn places(word: &OsStr) -> Vec<CompletionCandidate> {
    let begun = word.to_string_lossy();
    let mut places: Vec<_> = vms()
        .into_iter()
        .map(|vm| format!("{}:", vm.get_value().to_string_lossy()))
        .filter(|place| place.starts_with(&*begun))
        .map(CompletionCandidate::new)
        .collect();
    places.extend(PathCompleter::any().complete(word));
    places
}

/// Folders of this computer, for who shares one; where it is to be in the guest nobody knows yet.
pub(super) fn folders(word: &OsStr) -> Vec<CompletionCandidate> {
    match word.as_encoded_bytes().contains(&b':') {
        true => Vec::new(),
        false => PathCompleter::dir().complete(word),
    }
}

/// Names of images, with where they came from.
pub(super) fn images() -> Vec<CompletionCandidate> {
    let images = ask(async |mut client| client.list_images().await.ok());
    images
        .iter()
        .map(|image| {
            CompletionCandidate::new(image.name.as_str()).help(Some(image.source.clone().into()))
        })
        .collect()
}
