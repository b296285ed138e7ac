//! The guest's network: its addresses, who resolves names, and what brings it up.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::init::BootProgram;
use super::plan::{Capability, Contribution, GuestSpec};

/// The guest's network card.
pub(super) struct Network;

const SCRIPT: &str = include_str!("banger-network.sh");

const PROGRAM: BootProgram<'_> = BootProgram {
    name: "banger-network",
    description: "Network of this banger VM",
    path: "/usr/local/sbin/banger-network",
};

impl Capability for Network {
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        let Some((mac, plan)) = &spec.network else {
            return Contribution::default();
        };
        let configuration = format!(
            "MAC={mac}\nADDRESS={}\nPREFIX={}\nNETMASK={}\nGATEWAY={}\nDNS={}\n",
            plan.address,
            plan.prefix,
            plan.netmask(),
            plan.gateway,
            plan.dns,
        );
        let mut files = vec![
            // A file, where distributions have a link to one that another program writes.
            GuestFile::text("/etc/resolv.conf", format!("nameserver {}\n", plan.dns)),
            GuestFile::text("/etc/banger/network.conf", configuration),
            GuestFile::program(PROGRAM.path, SCRIPT),
        ];
        files.extend(PROGRAM.files(image));
        Contribution { files, mounts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::spec;
    use super::*;

    #[test]
    fn without_a_network_the_image_keeps_its_own() {
        let spec = GuestSpec { network: None, ..spec() };
        assert!(Network.contribute(&spec, &ImageFacts::default()).files.is_empty());
    }
}
