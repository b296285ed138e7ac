//! Whether this host's programs find VMs by their names.

use banger_proto::Check;

use super::super::super::facts::{Helper, NameService};
use super::super::{ok, warning};
use super::{GROUP, INSTALL};

const NAME: &str = "names of VMs";

pub(super) fn check(helper: &Helper, user: &str) -> Check {
    let why = "programs here find VMs that run on the bridge by their names";
    let NameService { module, asked, runtime } = helper.name_service;
    let warns = |found: &str| warning((GROUP, NAME), why, found);
    match (module, asked, runtime) {
        (true, true, true) => {
            ok((GROUP, NAME), why, "the name service knows them: getent hosts NAME")
        }
        (false, ..) => {
            warns("glibc's name service has no module libnss_banger.so.2").remedy([INSTALL])
        }
        (_, false, _) => warns("/etc/nsswitch.conf has nobody ask banger's module for hosts")
            .remedy(["# add `banger` behind `files` in the line `hosts:` of /etc/nsswitch.conf"]),
        (.., false) => {
            warns("you have no runtime directory, where the names are: it comes with a login")
                .remedy([format!("sudo loginctl enable-linger {user}   # or log in")])
        }
    }
}
