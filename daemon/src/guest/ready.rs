//! How a guest that nobody can reach over a network says that it has booted.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::init::BootProgram;
use super::plan::{Capability, Contribution, GuestSpec};

/// What it says on its console, in a line.
pub(super) const WORDS: &str = "banger-ready: the guest has booted";

const PROGRAM: BootProgram<'_> = BootProgram {
    name: "banger-ready",
    description: "Tells banger that the guest has booted",
    path: "/usr/local/sbin/banger-ready",
};

/// The line on the console of a guest without a network.
pub(super) struct Ready;

impl Capability for Ready {
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        if spec.network.is_some() {
            return Contribution::default();
        }
        let script = format!("#!/bin/sh\necho '{WORDS}' >/dev/console\n");
        let mut files = vec![GuestFile::program(PROGRAM.path, script)];
        files.extend(if image.has_systemd { systemd() } else { PROGRAM.files(image) });
        Contribution { files, mounts: Vec::new() }
    }
}

/// Wanted by the target and after it: all that belongs to a boot has been started then.
fn systemd() -> Vec<GuestFile> {
    let BootProgram { name, description, path } = PROGRAM;
    let unit = format!(
        "[Unit]\n\
         Description={description}\n\
         After=multi-user.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={path}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    );
    let file = format!("/etc/systemd/system/{name}.service");
    let link = format!("/etc/systemd/system/multi-user.target.wants/{name}.service");
    vec![GuestFile::text(&file, unit), GuestFile::link(&link, &file)]
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::spec;
    use super::*;

    #[test]
    fn only_a_guest_without_a_network_says_so() {
        let image = ImageFacts { has_systemd: true, ..ImageFacts::default() };
        assert!(Ready.contribute(&spec(), &image).files.is_empty());
        let alone = GuestSpec { network: None, ..spec() };
        let paths = |image: &ImageFacts| -> Vec<String> {
            Ready.contribute(&alone, image).files.into_iter().map(|file| file.path).collect()
        };
        assert_eq!(paths(&image).len(), 3);
        assert_eq!(paths(&ImageFacts::default()), [PROGRAM.path, "/etc/rc.local"]);
    }
}
