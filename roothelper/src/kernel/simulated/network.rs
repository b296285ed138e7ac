//! Bridge, taps and rules of the kernel for tests.

use std::io;
use std::sync::MutexGuard;

use super::{Simulated, State};
use crate::Pool;
use crate::kernel::network::{Bridge, Guest, Network, NetworkError, Route, Rules, Tap, Wiring};

/// What there is of the network; tests change it at will.
#[derive(Debug)]
pub struct Cables {
    /// The bridge.
    pub bridge: Bridge,
    /// The network that it has the first address of.
    pub pool: Option<Pool>,
    /// The taps, each with its index.
    pub taps: Vec<Tap>,
    /// The host's routes.
    pub routes: Vec<Route>,
    /// Whether packets are forwarded.
    pub forwarding: bool,
    /// The tap that somebody opens just before it would be removed.
    pub opened_late: Option<u32>,
    /// What the rules say, when there are any.
    pub rules: Option<Rules>,
    /// What does not succeed any more, by its name; each time it is tried one is used up.
    pub failing: Vec<&'static str>,
    /// The index of the interface that was made last.
    pub index: u32,
}

impl Default for Cables {
    fn default() -> Self {
        Self {
            bridge: Bridge::Missing,
            pool: None,
            taps: Vec::new(),
            routes: Vec::new(),
            forwarding: true,
            opened_late: None,
            rules: None,
            failing: Vec::new(),
            index: 1,
        }
    }
}

impl Simulated {
    /// The next step, when it is not one that fails.
    fn doing(&self, doing: &'static str) -> Result<MutexGuard<'_, State>, NetworkError> {
        let failed = |source| NetworkError { doing, said: String::new(), source };
        let mut state = self.step().map_err(failed)?;
        let failing = &mut state.cables.failing;
        let Some(at) = failing.iter().position(|failing| *failing == doing) else {
            return Ok(state);
        };
        failing.remove(at);
        Err(failed(io::Error::from_raw_os_error(libc::EPERM)))
    }
}

impl Network for Simulated {
    fn wiring(&self) -> Result<Wiring, NetworkError> {
        let cables = &mut self.doing("wiring")?.cables;
        Ok(Wiring {
            bridge: cables.bridge,
            taps: cables.taps.clone(),
            routes: cables.routes.clone(),
            forwarding: cables.forwarding,
        })
    }

    fn make_bridge(&self, pool: Pool) -> Result<(), NetworkError> {
        let cables = &mut self.doing("make_bridge")?.cables;
        assert_ne!(cables.bridge, Bridge::Foreign, "nobody changes what is not ours");
        (cables.bridge, cables.pool) = (Bridge::Ours, Some(pool));
        Ok(())
    }

    fn set_rules(&self, rules: &Rules) -> Result<(), NetworkError> {
        let cables = &mut self.doing("set_rules")?.cables;
        assert_eq!(cables.bridge, Bridge::Ours, "rules are those of a bridge");
        cables.rules = Some(rules.clone());
        Ok(())
    }

    fn make_tap(&self, guest: Guest) -> Result<u32, NetworkError> {
        let cables = &mut self.doing("make_tap")?.cables;
        let rules = cables.rules.as_ref().is_some_and(|rules| rules.guests.contains(&guest));
        assert!(rules, "a tap appears behind rules that know it");
        let same = |tap: &Tap| {
            tap.guest.ownership == guest.ownership || tap.guest.address == guest.address
        };
        assert!(!cables.taps.iter().any(same), "a second tap of {guest:?}");
        cables.index += 1;
        let tap = Tap { guest, index: cables.index, open: false };
        cables.taps.push(tap);
        cables.taps.sort_unstable_by_key(|tap| tap.guest.address);
        Ok(tap.index)
    }

    fn mend_tap(&self, tap: Tap) -> Result<(), NetworkError> {
        let cables = &mut self.doing("mend_tap")?.cables;
        assert!(cables.taps.contains(&tap), "only a tap that is there is mended");
        Ok(())
    }

    fn remove_tap(&self, tap: Tap) -> Result<(), NetworkError> {
        let cables = &mut self.doing("remove_tap")?.cables;
        cables.taps.retain(|there| there.index != tap.index);
        Ok(())
    }

    fn remove_idle_tap(&self, tap: Tap) -> Result<bool, NetworkError> {
        let cables = &mut self.doing("remove_idle_tap")?.cables;
        for there in &mut cables.taps {
            there.open |= cables.opened_late == Some(there.index);
        }
        let is_open = cables.taps.iter().any(|there| there.index == tap.index && there.open);
        if !is_open {
            cables.taps.retain(|there| there.index != tap.index);
        }
        Ok(!is_open)
    }

    fn remove_network(&self) -> Result<(), NetworkError> {
        let cables = &mut self.doing("remove_network")?.cables;
        if cables.bridge == Bridge::Ours {
            cables.bridge = Bridge::Missing;
        }
        (cables.pool, cables.rules) = (None, None);
        Ok(())
    }
}
