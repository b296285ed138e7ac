//! What this host has for running VMs: found out once, used for every start.

use std::path::Path;

use super::kvm::{self, Verdict};
use super::spec::Accelerator;
use super::walls::Walls;
use crate::spawn::{Finder, Missing, QEMU};

/// What VMs are run with.
#[derive(Debug, Clone)]
pub struct Host {
    /// Finds the programs.
    pub finder: Finder,
    /// What executes guests' instructions.
    pub accelerator: Accelerator,
    /// What stands around VMMs.
    pub walls: Walls,
    notices: Vec<String>,
}

impl Host {
    /// Finds out by trying: the answer about KVM is remembered in the `state`
    /// directory, that about bubblewrap holds for this run of the daemon.
    ///
    /// # Errors
    /// [`Missing`] without QEMU.
    pub async fn probe(finder: Finder, state: &Path) -> Result<Self, Missing> {
        finder.find(&QEMU)?;
        let (verdict, walls) = tokio::join!(kvm::probe(&finder, state), Walls::probe(&finder));
        let mut notices = Vec::new();
        let accelerator = match verdict {
            Verdict::Works => Accelerator::Kvm,
            Verdict::Fails(reason) => {
                notices.push(format!("software emulation instead of KVM ({reason})"));
                Accelerator::Tcg
            }
        };
        notices.extend(walls.notice());
        Ok(Self { finder, accelerator, walls, notices })
    }

    /// What was found out already.
    #[must_use]
    pub fn of(finder: Finder, accelerator: Accelerator, walls: Walls) -> Self {
        Self { notices: walls.notice().into_iter().collect(), finder, accelerator, walls }
    }

    /// What the user should know, each in one line.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}
