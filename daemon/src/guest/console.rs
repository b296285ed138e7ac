//! The guest's serial console: a login of root's for whoever attaches.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::plan::{Capability, Contribution, GuestSpec};

/// A login on the serial line.
///
/// Whoever reaches the line owns the VM, and has its key for root besides: a password would
/// protect nothing, and the guest's root has none. An image that has a login there keeps it.
pub(super) struct Console;

/// `serial-getty@.service` waits for udev to announce the line, which not every image's udev
/// does at boot. `--wait-cr` keeps the log free of prompts that nobody asked for, and the
/// shell away until somebody comes.
const UNIT: &str = "[Unit]\n\
    Description=Login on the console of this banger VM\n\
    After=systemd-user-sessions.service\n\
    Before=getty.target\n\
    ConditionPathExists=/dev/ttyS0\n\
    IgnoreOnIsolate=yes\n\
    \n\
    [Service]\n\
    ExecStart=-/sbin/agetty --autologin root --wait-cr --noclear --keep-baud 115200 ttyS0 vt220\n\
    Type=idle\n\
    Restart=always\n\
    UtmpIdentifier=ttyS0\n\
    StandardInput=tty\n\
    StandardOutput=tty\n\
    TTYPath=/dev/ttyS0\n\
    TTYReset=yes\n\
    TTYVHangup=yes\n\
    KillMode=process\n\
    IgnoreSIGPIPE=no\n\
    SendSIGHUP=yes\n";

const NAME: &str = "banger-console.service";

impl Capability for Console {
    fn contribute(&self, _spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        if !image.has_systemd || !image.has_agetty || image.has_serial_login {
            return Contribution::default();
        }
        let files = vec![
            GuestFile::text(&format!("/etc/systemd/system/{NAME}"), UNIT),
            GuestFile::link(
                &format!("/etc/systemd/system/getty.target.wants/{NAME}"),
                &format!("../{NAME}"),
            ),
        ];
        Contribution { files, mounts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::spec;
    use super::*;

    #[test]
    fn a_login_is_added_where_it_works_and_none_is_there() {
        let count = |image: &ImageFacts| Console.contribute(&spec(), image).files.len();
        let debian = ImageFacts { has_systemd: true, has_agetty: true, ..ImageFacts::default() };
        assert_eq!(count(&debian), 2);
        assert_eq!(count(&ImageFacts { has_serial_login: true, ..debian.clone() }), 0);
        assert_eq!(count(&ImageFacts { has_agetty: false, ..debian.clone() }), 0);
        assert_eq!(count(&ImageFacts { has_systemd: false, ..debian }), 0);
    }
}
