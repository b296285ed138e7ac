//! The helper's units, as systemd has them.

use super::super::super::facts::{Unit, Units};
use super::super::programs;
use crate::spawn::{Finder, SYSTEMCTL};
use crate::vmm::console::printable;

const SOCKET: &str = "banger-roothelper.socket";
const SERVICE: &str = "banger-roothelper.service";

/// Both; nothing where systemd does not tell.
pub(super) async fn both(finder: &Finder) -> Option<Units> {
    let wanted = "--property=Id,LoadState,ActiveState,UnitFileState";
    let shown =
        programs::ended(finder, &SYSTEMCTL, &["show", wanted, SOCKET, SERVICE]).await.ok()?;
    shown.status.success().then(|| read(&printable(&shown.stdout)))?
}

/// A unit a paragraph.
fn read(text: &str) -> Option<Units> {
    let unit = |name: &str| {
        let id = format!("Id={name}");
        let paragraph = text.split("\n\n").find(|lines| lines.lines().any(|line| line == id))?;
        let value = |key: &str| {
            let value =
                paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.unwrap_or_default().to_owned()
        };
        Some(Unit {
            load: value("LoadState"),
            active: value("ActiveState"),
            file: value("UnitFileState"),
        })
    };
    Some(Units { socket: unit(SOCKET)?, service: unit(SERVICE)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_in_any_order_and_only_whole() {
        let text = "Id=banger-roothelper.service\nLoadState=loaded\nActiveState=inactive\n\
                    UnitFileState=static\n\nLoadState=masked\nId=banger-roothelper.socket\n";
        let units = read(text).unwrap();
        assert_eq!((&*units.service.active, &*units.service.file), ("inactive", "static"));
        assert_eq!((&*units.socket.load, &*units.socket.active), ("masked", ""));
        assert_eq!(read("Id=banger-roothelper.socket\n"), None);
        assert_eq!(read(""), None);
    }
}
