//! The bridge's network beside the host's.

use banger_proto::Check;

use super::super::super::facts::{Helper, Network};
use super::super::{ok, warning};
use super::{GROUP, lacking};

const NAME: &str = "bridge";
const EDIT: &str = "sudo ${EDITOR:-vi} /etc/banger/roothelper.toml";
const RESTART: &str = "sudo systemctl stop banger-roothelper.service";

/// Whether an address is in both.
fn overlap(one: Network, other: Network) -> bool {
    let bits = u32::from(one.prefix.min(other.prefix));
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    (one.address.to_bits() ^ other.address.to_bits()) & mask == 0
}

fn words(Network { address, prefix }: Network) -> String {
    format!("{address}/{prefix}")
}

pub(super) fn check(helper: &Helper) -> Check {
    let why = "VMs with an address of their own are behind it";
    let bridge = &helper.bridge;
    let (pool, nat) = match &bridge.wanted {
        Ok(wanted) => *wanted,
        Err(trouble) => {
            let found = format!("{trouble}: the helper does not start with it");
            return lacking(helper, NAME, why, found).remedy([EDIT, RESTART]);
        }
    };
    let pool_words = words(pool);
    if let Some((network, through)) = bridge.routes.iter().find(|(route, _)| overlap(pool, *route))
    {
        let found = format!(
            "its pool {pool_words} collides with this host's route to {} through {through}",
            words(*network)
        );
        let step = "# another `pool` in [network], such as \"10.213.0.0/24\"";
        return lacking(helper, NAME, why, found).remedy([EDIT, step, RESTART]);
    }
    if nat && !bridge.forwards {
        let found = format!("{pool_words} with NAT, and this host does not forward packets");
        return warning((GROUP, NAME), why, found).remedy([
            "echo 'net.ipv4.ip_forward = 1' | sudo tee /etc/sysctl.d/61-banger.conf",
            "sudo sysctl -p /etc/sysctl.d/61-banger.conf",
        ]);
    }
    let reach = if nat { "with NAT" } else { "without NAT: guests reach this host alone" };
    ok((GROUP, NAME), why, format!("{pool_words}, no route collides; {reach}"))
}
