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
        let Some(card) = &spec.network else {
            return Contribution::default();
        };
        let dns = card.nameservers.iter().map(ToString::to_string).collect::<Vec<_>>();
        let configuration = format!(
            "MAC={}\nADDRESS={}\nPREFIX={}\nNETMASK={}\nGATEWAY={}\nDNS='{}'\n",
            card.mac,
            card.address,
            card.prefix,
            card.netmask(),
            card.gateway,
            dns.join(" "),
        );
        let mut files = vec![
            // A file, where distributions have a link to one that another program writes.
            GuestFile::text("/etc/resolv.conf", resolv_conf(&dns)),
            GuestFile::text("/etc/banger/network.conf", configuration),
            GuestFile::program(PROGRAM.path, SCRIPT),
        ];
        files.extend(PROGRAM.files(image));
        Contribution { files, mounts: Vec::new() }
    }
}

/// The C library asks the guest itself where nobody is named, which answers at once that nobody
/// listens there: better than waiting for servers that cannot be reached.
fn resolv_conf(nameservers: &[String]) -> String {
    if nameservers.is_empty() {
        return "# nobody resolves names for this VM: it has no way to a name server\n".to_owned();
    }
    nameservers.iter().map(|address| format!("nameserver {address}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::{Command, Output};

    use super::super::plan::tests::spec;
    use super::*;

    #[test]
    fn without_a_network_the_image_keeps_its_own() {
        let spec = GuestSpec { network: None, ..spec() };
        assert!(Network.contribute(&spec, &ImageFacts::default()).files.is_empty());
    }

    /// Runs the script twice in a network of its own, with a card of the address
    /// `card` and the given programs only, and says what addresses and routes are
    /// there then.
    fn run(card: &str, programs: &[(&str, &Path)]) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let tools = folder.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        for (name, program) in programs {
            symlink(program, tools.join(name)).unwrap();
        }
        let configuration = folder.path().join("network.conf");
        let written = Network.contribute(&spec(), &ImageFacts::default()).files;
        let text = |path: &str| {
            let file = written.iter().find(|file| file.path == path).unwrap();
            let super::super::file::Content::File(bytes) = &file.content else { panic!() };
            String::from_utf8(bytes.clone()).unwrap()
        };
        std::fs::write(&configuration, text("/etc/banger/network.conf")).unwrap();
        let console = folder.path().join("console").display().to_string();
        let script = text(PROGRAM.path)
            .replace("/etc/banger/network.conf", configuration.to_str().unwrap())
            .replace("PATH=/usr/sbin:/usr/bin:/sbin:/bin", &format!("PATH={}", tools.display()))
            .replace("/dev/console", &console)
            .replace("-gt 200", "-gt 3");
        let file = folder.path().join("script");
        std::fs::write(&file, script).unwrap();
        let around = format!(
            "set -e; PATH=/usr/sbin:/usr/bin:/sbin:/bin; mount -t sysfs none /sys; \
             ip link add eth7 address {card} type bridge; \
             sh {0} || {{ cat {console}; exit 1; }}
             sh {0}; ip -brief address show up; ip route; cat {console}",
            file.display()
        );
        Command::new("unshare")
            .args(["--map-root-user", "--net", "--mount", "sh", "-c", &around])
            .output()
            .unwrap()
    }

    #[test]
    fn the_script_manages_with_what_the_image_has() {
        let mac = spec().network.unwrap().mac;
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "this test needs busybox: apt install busybox-static");
        let ip = ["/usr/bin/ip", "/usr/sbin/ip", "/bin/ip", "/sbin/ip"].map(Path::new);
        let ip = *ip.iter().find(|path| path.exists()).unwrap();
        for programs in
            [&[("ip", ip)][..], &[("ip", busybox)], &[("ifconfig", busybox), ("route", busybox)]]
        {
            let output = run(&mac.to_string(), programs);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{programs:?}: {complaint}");
            let told = "banger-network: up: eth7 has 10.0.2.15, and its way out is 10.0.2.2\n";
            for part in ["127.0.0.1/8", "10.0.2.15/24", "default via 10.0.2.2 dev eth7", told] {
                assert!(said.contains(part), "{programs:?}: no {part} in:\n{said}{complaint}");
            }
        }
    }

    #[test]
    fn a_missing_card_and_missing_programs_are_said() {
        let busybox = Path::new("/bin/busybox");
        let output = run("02:00:00:00:00:01", &[("ip", busybox), ("sleep", busybox)]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("banger-network: failed: there is no network card"), "{said}");
        let mac = spec().network.unwrap().mac;
        let output = run(&mac.to_string(), &[]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("banger-network: failed: neither ip nor ifconfig"), "{said}");
    }
}
