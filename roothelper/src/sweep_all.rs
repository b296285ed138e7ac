//! `banger-roothelper sweep --all`: as root and without the socket, all users' devices that
//! nobody uses go. For uninstalling, and for an administrator who wants them gone.

use std::io::{self, Write};

use banger_proto::Refusal;
use banger_proto::roothelper::{Fate, Interaction, ObjectKind, Sweep, Swept};

use crate::kernel::Kernel;
use crate::kernel::network::BRIDGE;
use crate::undo::cannot;
use crate::verb::{Broom, Wire, failed, remove_all};
use crate::vm_lock::VmLocks;
use crate::{Config, OwnerUid};

/// What became of everything.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// By user, in the order in which they were swept.
    pub(crate) swept: Vec<(OwnerUid, Swept)>,
    /// Users whose objects could not be listed, and why.
    pub(crate) failed: Vec<(OwnerUid, Refusal)>,
    /// Bridge and rules are there and may not be as configured: how that is, nobody can say.
    pub(crate) unconfigured: bool,
}

/// Removes every user's devices. Without a configuration the bridge and its rules, where taps stay that need them, are left as
/// they are; what guests wrote too, when that is meant.
pub(crate) fn sweep_all(
    kernel: &dyn Kernel,
    config: Option<Config>,
    include_overlays: bool,
) -> Result<Report, Refusal> {
    let (locks, wire) = (VmLocks::default(), Wire::default());
    let broom = Broom { kernel, locks: &locks, wire: &wire, config };
    let (keep, dry_run, interaction) = (Vec::new(), false, Interaction::Never);
    let request = Sweep { keep, dry_run, include_overlays, interaction };
    let mut report = Report::default();
    let mut owners = kernel.owners().map_err(cannot("list what there is"))?;
    let taps = || kernel.wiring().map_err(|error| failed(&error)).map(|wiring| wiring.taps);
    owners.extend(taps()?.iter().map(|tap| tap.guest.ownership.uid));
    for uid in owners {
        match broom.sweep_user(uid, &request) {
            Ok(swept) => report.swept.extend(swept.into_iter().map(|swept| (uid, swept))),
            Err(refusal) => report.failed.push((uid, refusal)),
        }
    }
    // Bridge and rules, once nobody uses them.
    if taps()?.is_empty() {
        remove_all(kernel).map_err(|error| failed(&error))?;
    } else {
        report.unconfigured = config.is_none();
    }
    Ok(report)
}

impl Report {
    /// Tells it, a line an object; that guests' overlays stay is no news where they were not meant.
    pub(crate) fn tell(&self, to: &mut dyn Write) -> io::Result<()> {
        for (uid, Swept { object, fate }) in &self.swept {
            let (name, vm) = (&object.name, object.vm);
            match fate {
                Fate::Removed => writeln!(to, "removed {name} of VM {vm} of uid {uid}")?,
                Fate::Stays(why) => writeln!(to, "left {name} of VM {vm} of uid {uid}: {why}")?,
            }
        }
        for (uid, refusal) in &self.failed {
            writeln!(
                to,
                "left all of uid {uid}: {}: {}",
                refusal.message,
                refusal.chain.join(": ")
            )?;
        }
        if self.unconfigured {
            writeln!(
                to,
                "left the bridge {BRIDGE} and its rules as they are: without a configuration it is not known how they should be"
            )?;
        }
        Ok(())
    }

    /// Whether all went that was meant to.
    pub(crate) fn is_complete(&self, include_overlays: bool) -> bool {
        let meant = |swept: &Swept| {
            include_overlays || !matches!(swept.object.kind, ObjectKind::Overlay { .. })
        };
        self.failed.is_empty()
            && !self.unconfigured
            && self.swept.iter().all(|(_, swept)| !meant(swept) || swept.fate == Fate::Removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ownership;
    use crate::kernel::Devices;
    use crate::kernel::network::{Bridge, Guest, Rules, Tap};
    use crate::kernel::simulated::Simulated;
    use banger_proto::VmId;

    #[expect(clippy::unnecessary_wraps, reason = "as it is handed on")]
    fn configured() -> Option<Config> {
        Some(Config::default())
    }

    fn told(report: &Report) -> String {
        let mut told = Vec::new();
        report.tell(&mut told).unwrap();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn every_users_devices_go_and_overlays_when_they_are_meant() {
        let kernel = Simulated::default();
        let made = [1000, 1001].map(|uid| {
            let of = Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() };
            kernel.make_device(of).unwrap();
            kernel.create_overlay(of, 1 << 20).unwrap();
            of
        });
        kernel.state().devices.get_mut(&made[1]).unwrap().open = 1;
        let report = sweep_all(&kernel, configured(), false).unwrap();
        let lines = told(&report);
        assert_eq!(lines.lines().count(), 4, "{lines}");
        let gone = format!("removed banger-u1000-{0} of VM {0} of uid 1000", made[0].vm);
        assert_eq!(lines.lines().next(), Some(&*gone));
        assert!(lines.contains("of uid 1001: a program has it open"), "{lines}");
        assert!(!report.is_complete(false));
        kernel.state().devices.get_mut(&made[1]).unwrap().open = 0;
        let report = sweep_all(&kernel, configured(), false).unwrap();
        assert!(report.is_complete(false) && !report.is_complete(true), "{report:?}");
        assert!(kernel.state().devices.is_empty() && kernel.state().overlays.len() == 2);
        assert!(sweep_all(&kernel, configured(), true).unwrap().is_complete(true));
        assert!(kernel.state().overlays.is_empty());
        assert_eq!(told(&sweep_all(&kernel, configured(), true).unwrap()), "");
    }

    #[test]
    fn one_users_failure_holds_up_nobody_elses() {
        let kernel = Simulated::default();
        let made = [1000, 1001].map(|uid| {
            let of = Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() };
            kernel.make_device(of).unwrap();
            of
        });
        // The first two steps of all list the users, the third is about the first of them.
        let now = kernel.state().steps;
        kernel.state().failing.insert(now + 3);
        let report = sweep_all(&kernel, configured(), false).unwrap();
        assert!(!report.is_complete(false));
        assert!(told(&report).contains("left all of uid 1000: cannot list devices: "));
        assert!(!kernel.state().devices.contains_key(&made[1]));
    }

    #[test]
    fn without_a_configuration_what_follows_from_it_is_left_and_told() {
        let kernel = Simulated::default();
        let guests = [0, 1].map(|at| Guest {
            ownership: Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() },
            address: Config::default().pool.guest(at),
        });
        let was = Rules { pool: Config::default().pool, nat: true, guests: guests.to_vec() };
        {
            let cables = &mut kernel.state().cables;
            (cables.bridge, cables.rules) = (Bridge::Ours, Some(was.clone()));
            let taps = guests.iter().zip([(7, false), (8, true)]);
            cables.taps.extend(taps.map(|(&guest, (index, open))| Tap { guest, index, open }));
        }
        kernel.make_device(guests[0].ownership).unwrap();
        let report = sweep_all(&kernel, None, false).unwrap();
        assert!(!report.is_complete(false));
        let lines = told(&report);
        assert!(lines.contains("left the bridge banger0 and its rules as they are"), "{lines}");
        assert!(kernel.state().devices.is_empty() && kernel.state().cables.taps.len() == 1);
        assert_eq!(kernel.state().cables.rules, Some(was));
        // Where nobody needs them any more, nothing has to be known.
        kernel.state().cables.taps[0].open = false;
        let report = sweep_all(&kernel, None, false).unwrap();
        assert!(report.is_complete(false), "{}", told(&report));
        let state = kernel.state();
        assert!(state.cables.rules.is_none() && state.cables.bridge == Bridge::Missing);
    }
}
