//! The root helper: its files, its units, its group, polkit's answers, its bridge, its own word.

mod bridge;
mod files;
mod membership;
mod name_service;
mod polkit;
mod units;

use std::path::Path;

use banger_proto::paths::Paths;
use banger_proto::roothelper::{RootHelper, SOCKET};

use super::super::facts::{Helper, Role, Told};
use crate::spawn::Finder;

/// All of it; nothing where none is installed. With `quick` the helper itself is not asked, which
/// would start it.
pub(super) async fn look(
    paths: &Paths,
    finder: &Finder,
    user: &str,
    needed_by: usize,
    quick: bool,
) -> Option<Helper> {
    let files = files::all();
    let is_there = |role| files.iter().any(|file| file.role == role && file.is_there());
    if !is_there(Role::Program) && !Path::new(SOCKET).exists() {
        return None;
    }
    let (units, answers) = tokio::join!(units::both(finder), polkit::answers(finder));
    // Last: while systemd starts it, it may be slow to tell of its units.
    let told = ask(quick).await;
    Some(Helper {
        files,
        units,
        membership: membership::of(user, &paths.state),
        polkit: polkit::with_rules(answers),
        bridge: bridge::look(),
        name_service: name_service::look(),
        told,
        needed_by,
    })
}

async fn ask(quick: bool) -> Told {
    if quick {
        return Told::NotAsked;
    }
    let said = async {
        let mut helper = RootHelper::connect(Path::new(SOCKET)).await?;
        let description = Box::new(helper.describe(false).await?);
        Ok(Told::Said { description, objects: helper.list_objects().await? })
    };
    said.await.unwrap_or_else(Told::Refused)
}
