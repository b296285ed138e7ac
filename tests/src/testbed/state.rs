//! Saved states of a machine that waits for an order, and machines that go on from there.
//!
//! One waits as it booted; in the other, which goes on from the first, the root helper is installed.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cache::{Cache, Kind, key};
use super::emulator::Emulator;
use super::image::{Image, SIZE};
use super::machine::{BOARD, KERNEL_ARGUMENTS, Machine, Parts, Root, Start};
use super::order::Ended;
use super::overlay;
use super::payload::Payload;

/// The kinds of part in the cache.
const BOOTED: Kind = Kind::lasting("testbed-state");
const PREPARED: Kind = Kind::of_a_build("testbed-prepared");

/// What is kept of a state, in words for its name.
const KEPT: &[u8] = b"memory, devices, overlay";
/// What makes the second state of the first.
const PREPARE: &str = "bash /payload/prepare.sh";
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A saved state in the cache: memory, devices, and what was written to the disk. What its memory
/// has of the disk is no other's: read again, it must be there.
#[derive(Debug)]
struct Saved {
    folder: PathBuf,
}

impl Saved {
    fn memory(&self) -> PathBuf {
        self.folder.join("memory")
    }

    fn overlay(&self) -> PathBuf {
        self.folder.join("overlay")
    }

    /// A shell's word for the file of the devices' state.
    fn devices(&self) -> String {
        let path = self.folder.join("devices");
        format!("'{}'", path.to_str().expect("a path of letters").replace('\'', r"'\''"))
    }
}

/// Machines of one payload, and the names of what they are made of.
#[derive(Debug)]
pub struct Testbed {
    cache: Cache,
    emulator: Emulator,
    payload: Payload,
    disk: File,
    guests: File,
    image: String,
    booted: String,
    prepared: Option<String>,
}

/// Starts a machine that waits for an order; `None`, with the skip noted, where there can be none.
pub fn start(payload: Payload) -> Option<Machine> {
    Testbed::new(payload)?.start()
}

impl Testbed {
    /// Looks up what there is; `None`, with the skip noted, where there can be no machines.
    pub fn new(payload: Payload) -> Option<Self> {
        let cache = Cache::open()?;
        let emulator = Emulator::find_or_make(&cache)?;
        let guests = payload.guests()?;
        let image = Image::key();
        let booted = state_key(&emulator, &image);
        let prepared = payload.is_for_prepared().then(|| {
            let files = Payload::to_prepare().key();
            key([booted.as_bytes(), files.as_bytes(), PREPARE.as_bytes()])
        });
        let disk = payload.disk();
        Some(Self { cache, emulator, payload, disk, guests, image, booted, prepared })
    }

    /// Starts a machine that waits for an order; what it writes is thrown away.
    pub fn start(&self) -> Option<Machine> {
        for attempt in 0..2 {
            let (image, saved) = self.find_or_make()?;
            let error = match self.restore(&image, &saved, Root::Above(&saved.overlay())) {
                Ok(machine) => {
                    self.cache.unlock();
                    return Some(machine);
                }
                Err(error) => error,
            };
            if attempt > 0 {
                self.cache.unlock();
                eprintln!("no saved testbed can be restored here, and it is booted: {error}");
                return Some(self.boot_instead(&image));
            }
            // Of a QEMU that calls itself by the same name, or cut short by a full disk.
            eprintln!("the saved testbed cannot be restored, and is made anew: {error}");
            self.cache.lock_for_making();
            // Whoever came first has made it anew already, or made it useless.
            let _gone = fs::remove_dir_all(self.cache.part(BOOTED, &self.booted));
            let _gone = fs::remove_dir_all(&saved.folder);
            self.cache.unlock();
        }
        None
    }

    /// Starts a machine whose disk goes on in `overlay`, an empty file; `None`, with the skip noted,
    /// where there can be none.
    pub fn start_into(&self, overlay: &Path) -> Option<Machine> {
        let (image, saved) = self.find_or_make()?;
        let mut file = File::options().write(true).open(overlay).expect("it is there");
        overlay::make(&mut file, &saved.overlay(), "qcow2", SIZE).expect("it can be written");
        let machine = self.restore(&image, &saved, Root::Into(overlay));
        self.cache.unlock();
        Some(machine.unwrap_or_else(|error| panic!("the testbed cannot be restored: {error}")))
    }

    /// Boots a machine from the disk that [`Self::start_into`] left, as after a reset.
    pub fn boot(&self, overlay: &Path) -> Option<Machine> {
        // Found again, so that it stays in the cache.
        let (image, _saved) = self.find_or_make()?;
        let guests = self.guests.try_clone().expect("a file can be shared");
        // What was unpacked lay in memory.
        let payload = self.payload.with_what_prepares().disk();
        let (memory, root) = (Path::new(""), Root::Into(overlay));
        let emulator = &self.emulator;
        let parts = Parts { emulator, image: &image, memory, root, payload, guests };
        let machine = Machine::start(parts, Start::Boot);
        self.cache.unlock();
        Some(ready(machine.expect("QEMU can be started")))
    }

    fn machine(&self, image: &Image, root: Root<'_>, memory: &Path, how: Start) -> Result<Machine> {
        let (payload, guests) = (self.disk.try_clone()?, self.guests.try_clone()?);
        let emulator = &self.emulator;
        Machine::start(Parts { emulator, image, memory, root, payload, guests }, how)
    }

    /// A machine that goes on from a saved state.
    fn restore(&self, image: &Image, saved: &Saved, root: Root<'_>) -> Result<Machine> {
        let mut machine = self.machine(image, root, &saved.memory(), Start::Restore)?;
        machine.monitor.restore(&format!("cat {}", saved.devices()))?;
        Ok(machine)
    }

    /// A machine for where nothing can be restored: in the state that was wanted, but late.
    fn boot_instead(&self, image: &Image) -> Machine {
        let guests = self.guests.try_clone().expect("a file can be shared");
        let payload = if self.prepared.is_some() {
            self.payload.with_what_prepares().disk()
        } else {
            self.disk.try_clone().expect("a file can be shared")
        };
        let (emulator, memory, root) = (&self.emulator, Path::new(""), Root::Image);
        let parts = Parts { emulator, image, memory, root, payload, guests };
        let mut machine = ready(Machine::start(parts, Start::Boot).expect("QEMU can be started"));
        if self.prepared.is_some() {
            prepare(&mut machine);
        }
        machine
    }

    /// All parts, with the lock held for use.
    fn find_or_make(&self) -> Option<(Image, Saved)> {
        let cache = &self.cache;
        let booted = Saved { folder: cache.part(BOOTED, &self.booted) };
        let prepared = self.prepared.as_ref().map(|key| cache.part(PREPARED, key));
        loop {
            cache.lock_for_use();
            let folder = prepared.as_ref().unwrap_or(&booted.folder);
            if let (Some(image), true) = (Image::find(cache, &self.image), folder.exists()) {
                Cache::touch(&booted.folder);
                Cache::touch(folder);
                return Some((image, Saved { folder: folder.clone() }));
            }
            cache.unlock();
            cache.lock_for_making();
            let image = Image::make(cache, &self.image)?;
            if !booted.folder.exists() {
                cache.make(BOOTED, &self.booted, |folder| {
                    let saved = save_booted(&self.emulator, &image, folder);
                    saved.unwrap_or_else(|error| panic!("the testbed cannot be saved: {error}"));
                });
            }
            if let (Some(key), false) = (&self.prepared, folder.exists()) {
                cache.make(PREPARED, key, |folder| {
                    let saved = save_prepared(&self.emulator, &image, &booted, folder);
                    saved.unwrap_or_else(|error| panic!("the testbed cannot be prepared: {error}"));
                });
            }
            cache.unlock();
        }
    }
}

/// The image, the board, and QEMU as it calls itself.
fn state_key(emulator: &Emulator, image: &str) -> String {
    let version = emulator.version();
    let board = BOARD.join(" ");
    let parts = [image.as_bytes(), &version, board.as_bytes(), KERNEL_ARGUMENTS.as_bytes(), KEPT];
    key(parts)
}

/// The machine, once it waits for an order.
fn ready(mut machine: Machine) -> Machine {
    let said = machine.wait_until_ready();
    let ready = said.as_ref().is_ok_and(|state| state == "running");
    assert!(ready, "the testbed does not come up: {said:?}\n{}", machine.console());
    machine
}

fn prepare(machine: &mut Machine) {
    let outcome = machine.prepare(PREPARE, LIMIT);
    let prepared = outcome.ended == Ended::Status(0);
    assert!(prepared, "the testbed cannot be prepared\n{}", outcome.told(&machine.console()));
}

/// Boots a machine, and saves it as soon as it waits for an order.
fn save_booted(emulator: &Emulator, image: &Image, folder: &Path) -> Result<()> {
    let saved = Saved { folder: folder.to_owned() };
    let (memory, overlay) = (saved.memory(), saved.overlay());
    File::create_new(&memory)?;
    overlay::make(&mut File::create_new(&overlay)?, &image.disk(), "raw", SIZE)?;
    let nothing = Payload::default();
    let guests = nothing.guests().ok_or_else(|| Error::other("no disk for guests"))?;
    let root = Root::Into(&overlay);
    let payload = nothing.disk();
    let parts = Parts { emulator, image, memory: &memory, root, payload, guests };
    let mut machine = ready(Machine::start(parts, Start::BootToSave)?);
    save(&mut machine, &saved)
}

/// Goes on from there, and saves the machine again when it has what tests of the helper begin with.
fn save_prepared(emulator: &Emulator, image: &Image, booted: &Saved, folder: &Path) -> Result<()> {
    let saved = Saved { folder: folder.to_owned() };
    let (memory, overlay) = (saved.memory(), saved.overlay());
    for (from, to) in [(&booted.memory(), &memory), (&booted.overlay(), &overlay)] {
        let copied = Command::new("cp")
            .args(["--sparse=always", "--reflink=auto", "--"])
            .args([from, to])
            .status()?;
        if !copied.success() {
            return Err(Error::other("the first saved state cannot be copied"));
        }
    }
    let payload = Payload::to_prepare();
    let guests = payload.guests().ok_or_else(|| Error::other("no disk for guests"))?;
    let root = Root::Into(&overlay);
    let payload = payload.disk();
    let parts = Parts { emulator, image, memory: &memory, root, payload, guests };
    let mut machine = Machine::start(parts, Start::RestoreToSave)?;
    machine.monitor.restore(&format!("cat {}", booted.devices()))?;
    prepare(&mut machine);
    save(&mut machine, &saved)
}

fn save(machine: &mut Machine, saved: &Saved) -> Result<()> {
    machine.monitor.save(&format!("cat >{}", saved.devices()))?;
    machine.monitor.quit()?;
    machine.ended();
    Ok(())
}
