//! Linux itself.

mod device_mapper;
mod devices;
mod loops;
mod net;
mod netlink;
mod nft;
mod nodes;
mod overlays;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Kernel, Overlay, Release, Seen};
use crate::{OwnerUid, Ownership};

/// Where systemd makes the folder of overlay files (`StateDirectory=banger`).
const STATE: &str = "/var/lib/banger";
/// Where udev's rules may lie, the administrator's first.
const RULES: [&str; 4] =
    ["/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
/// The rules without which no device of a guest's may appear.
const NEEDED_RULES: [&str; 2] = ["56-banger-dm.rules", "59-banger-loop.rules"];

/// Linux.
#[derive(Debug)]
pub struct Linux {
    state: PathBuf,
}

impl Default for Linux {
    fn default() -> Self {
        Self::with_state(Path::new(STATE))
    }
}

impl Linux {
    /// Linux with the overlay files in another folder, for tests.
    #[must_use]
    pub fn with_state(folder: &Path) -> Self {
        Self { state: folder.to_owned() }
    }
}

/// Opens a device for control, which must be the one of this number: devices are what root
/// says they are, and a file of that name is none.
fn control(path: &str, number: (u32, u32)) -> Result<OwnedFd, String> {
    let missing = |error: io::Error| format!("{path}: {error}");
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(missing)?;
    let metadata = file.metadata().map_err(missing)?;
    let device = metadata.rdev();
    let found = (rustix::fs::major(device), rustix::fs::minor(device));
    if metadata.file_type().is_char_device() && found == number {
        Ok(file.into())
    } else {
        Err(format!("{path} is not the device {}:{}", number.0, number.1))
    }
}

/// Looks until there is something to see, or for so long.
fn patience<T>(most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let seen = look();
        if seen.is_some() || begun.elapsed() >= most {
            return seen;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

impl Kernel for Linux {
    fn release(&self) -> io::Result<Release> {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        release.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn device_mapper(&self) -> Seen {
        // The control device of the misc driver: its number is fixed.
        let control = control("/dev/mapper/control", (10, 236))?;
        device_mapper::snapshot_target(&control)
    }

    fn loop_control(&self) -> Seen {
        control("/dev/loop-control", (10, 237))?;
        Ok("/dev/loop-control".into())
    }

    fn udev_rules(&self) -> Seen {
        for name in NEEDED_RULES {
            // A link to /dev/null, or an empty file, is how an administrator turns rules off.
            let here = RULES.iter().map(|folder| Path::new(folder).join(name));
            match here.filter_map(|path| path.metadata().ok()).next() {
                None => return Err(format!("{name} is not in {}", RULES[2])),
                Some(file) if !file.is_file() || file.len() == 0 => {
                    return Err(format!("{name} is turned off"));
                }
                Some(_) => {}
            }
        }
        Ok(NEEDED_RULES.join(", "))
    }

    fn tun(&self) -> Seen {
        control("/dev/net/tun", (10, 200))?;
        Ok("/dev/net/tun".into())
    }

    fn landlock(&self) -> Seen {
        super::landlock::landlock()
    }

    fn overlay_folder(&self) -> Seen {
        overlays::folder(&self.state)
    }

    fn overlays_of(&self, uid: OwnerUid) -> io::Result<Vec<Overlay>> {
        overlays::list(&self.state, uid)
    }

    fn owners(&self) -> io::Result<BTreeSet<OwnerUid>> {
        let mut owners = BTreeSet::new();
        // Without device-mapper there are no devices.
        if Path::new("/dev/mapper/control").exists() {
            let mapper = control("/dev/mapper/control", (10, 236)).map_err(io::Error::other)?;
            owners.extend(device_mapper::of_all(&mapper)?.into_iter().map(|of| of.uid));
        }
        owners.extend(loops::all()?.into_iter().filter_map(|found| found.of).map(|of| of.uid));
        owners.extend(overlays::owners(&self.state)?);
        Ok(owners)
    }

    fn overlay_space(&self) -> io::Result<u64> {
        overlays::space(&self.state)
    }

    fn create_overlay(&self, of: Ownership, size: u64) -> io::Result<()> {
        overlays::create(&self.state, of, size)
    }

    fn open_overlay(&self, of: Ownership) -> io::Result<File> {
        overlays::open(&self.state, of)
    }

    fn remove_overlay(&self, of: Ownership) -> io::Result<()> {
        overlays::remove(&self.state, of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_tells_its_version() {
        assert!(Linux::default().release().unwrap() >= Release::new(3, 0));
    }

    #[test]
    fn a_file_in_the_place_of_a_device_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        std::fs::write(&path, "").unwrap();
        assert!(control(path.to_str().unwrap(), (10, 236)).unwrap_err().contains("not the device"));
        assert!(control("/dev/null", (10, 236)).unwrap_err().contains("not the device"));
        assert!(control("/dev/null", (1, 3)).is_ok());
        assert!(control("/nowhere", (1, 3)).is_err());
    }
}
