//! What lets this host's programs find VMs by their names.

use std::fs;
use std::path::Path;

use super::super::super::facts::NameService;

const MODULE: &str = "libnss_banger.so.2";
const SWITCH: &str = "/etc/nsswitch.conf";

pub(super) fn look() -> NameService {
    // Where `packaging/helper.sh` puts it.
    let of_debian = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [of_debian.as_str(), "/usr/lib64", "/usr/lib"];
    let uid = rustix::process::getuid().as_raw();
    NameService {
        module: folders.iter().any(|folder| Path::new(folder).join(MODULE).exists()),
        asked: asks(&fs::read_to_string(SWITCH).unwrap_or_default()),
        runtime: Path::new(&format!("/run/user/{uid}")).is_dir(),
    }
}

/// Whether hosts are looked for in banger's module.
fn asks(text: &str) -> bool {
    let hosts = text.lines().filter_map(|line| line.trim_start().strip_prefix("hosts:"));
    let mut services =
        hosts.flat_map(|line| line.split('#').next().unwrap_or_default().split_ascii_whitespace());
    services.any(|service| service == "banger")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_of_the_line_of_hosts_counts() {
        for text in ["hosts: files banger dns", "passwd: x\nhosts:\tbanger\n"] {
            assert!(asks(text), "{text}");
        }
        for text in ["", "hosts: files dns # banger", "passwd: banger", "hosts: bangers"] {
            assert!(!asks(text), "{text}");
        }
    }
}
