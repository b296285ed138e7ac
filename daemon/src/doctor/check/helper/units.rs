//! The units of the root helper.

use banger_proto::Check;

use super::super::super::facts::{Helper, Unit, Units};
use super::super::{ok, warning};
use super::{GROUP, INSTALL, lacking};

const NAME: &str = "units";
const SOCKET: &str = "banger-roothelper.socket";

/// Whether the socket listens, as far as systemd tells.
pub(super) fn is_open(helper: &Helper) -> bool {
    helper.units.as_ref().is_none_or(|units| units.socket.active == "active")
}

pub(super) fn check(helper: &Helper) -> Check {
    let why = "systemd listens for it, and starts it when it is asked";
    let lacks = |found: String, steps: &[&str]| {
        lacking(helper, NAME, why, found).remedy(steps.iter().copied())
    };
    let Some(Units { socket, service }) = &helper.units else {
        let found = "systemd does not tell: it is what starts the helper".to_owned();
        return lacks(found, &["systemctl status banger-roothelper.socket"]);
    };
    for (name, Unit { load, .. }) in [(SOCKET, socket), ("banger-roothelper.service", service)] {
        match load.as_str() {
            "loaded" => {}
            "masked" => {
                let unmask = format!("sudo systemctl unmask {name}");
                return lacks(format!("{name} is masked"), &[&unmask, ENABLE]);
            }
            "not-found" => {
                let found = format!("systemd does not know {name}");
                return lacks(found, &["sudo systemctl daemon-reload", INSTALL]);
            }
            load => {
                let look = format!("systemctl status {name}");
                return lacks(format!("{name}: {load}"), &[&look]);
            }
        }
    }
    if service.active == "failed" {
        let found = "the service failed".to_owned();
        return lacks(
            found,
            &[
                "sudo journalctl --unit banger-roothelper --lines 20",
                "sudo systemctl reset-failed banger-roothelper.service",
                ENABLE,
            ],
        );
    }
    match (socket.active.as_str(), socket.file.as_str()) {
        ("active", "enabled" | "enabled-runtime" | "static" | "alias" | "indirect") => {
            let runs = match service.active.as_str() {
                "active" => "the service runs",
                _ => "the service starts when it is asked",
            };
            ok((GROUP, NAME), why, format!("the socket listens; {runs}"))
        }
        ("active", _) => {
            let found = "the socket listens, and will not after the next boot";
            let enable = format!("sudo systemctl enable {SOCKET}");
            warning((GROUP, NAME), why, found).remedy([enable])
        }
        ("failed", _) => lacks(
            "the socket failed".to_owned(),
            &["systemctl status banger-roothelper.socket", ENABLE],
        ),
        _ => lacks("the socket does not listen".to_owned(), &[ENABLE]),
    }
}

const ENABLE: &str = "sudo systemctl enable --now banger-roothelper.socket";
