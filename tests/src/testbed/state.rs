//! The saved state of a machine that waits for an order, and machines that go on from there.

use std::fs::{self, File};
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache::{Cache, key};
use super::image::Image;
use super::machine::{BOARD, KERNEL_ARGUMENTS, Machine, QEMU, Start};
use super::payload::Payload;
use crate::{root, skip};

/// The kind of part in the cache.
const KIND: &str = "testbed-state";

/// Starts a machine that waits for an order; `None`, with the skip noted, where there can be none.
pub fn start(payload: Payload) -> Option<Machine> {
    if !root::has(QEMU) {
        skip("qemu-system-x86_64 is missing (apt-get install qemu-system-x86)");
        return None;
    }
    let cache = Cache::open()?;
    let image_key = Image::key();
    let state_key = state_key(&image_key);
    let payload = payload.disk();
    let again = || payload.try_clone().expect("a file can be shared");
    for attempt in 0..2 {
        let (image, state) = find_or_make(&cache, &image_key, &state_key)?;
        let machine = restore(&image, &state, again());
        match machine {
            Ok(machine) => {
                cache.unlock();
                return Some(machine);
            }
            Err(error) if attempt == 0 => {
                // Of a QEMU that calls itself by the same name, or cut short by a full disk.
                eprintln!("the saved testbed cannot be restored, and is made anew: {error}");
                cache.lock_for_making();
                // Whoever came first has made it anew already, or made it useless.
                let _gone = fs::remove_dir_all(&state);
                cache.unlock();
            }
            Err(error) => {
                eprintln!("no saved testbed can be restored here, and it is booted: {error}");
                let mut machine = Machine::start(&image, Path::new(""), again(), Start::Boot)
                    .expect("QEMU can be started");
                cache.unlock();
                let said = machine.wait_until_ready();
                assert!(said.is_ok(), "the testbed does not boot: {said:?}\n{}", machine.console());
                return Some(machine);
            }
        }
    }
    None
}

/// The image, the board, and QEMU as it calls itself.
fn state_key(image: &str) -> String {
    let version = Command::new(QEMU).arg("--version").output().expect("QEMU can be started").stdout;
    let board = BOARD.join(" ");
    key([image.as_bytes(), &version, board.as_bytes(), KERNEL_ARGUMENTS.as_bytes()])
}

/// Both parts, with the lock held for use.
fn find_or_make(cache: &Cache, image_key: &str, state_key: &str) -> Option<(Image, PathBuf)> {
    loop {
        cache.lock_for_use();
        let state = cache.part(KIND, state_key);
        if let (Some(image), true) = (Image::find(cache, image_key), state.exists()) {
            Cache::touch(&state);
            return Some((image, state));
        }
        cache.unlock();
        cache.lock_for_making();
        let image = Image::make(cache, image_key)?;
        if !state.exists() {
            cache.make(KIND, state_key, |folder| {
                let saved = save(&image, folder);
                saved.unwrap_or_else(|error| panic!("the testbed cannot be saved: {error}"));
            });
        }
        cache.unlock();
    }
}

fn memory(state: &Path) -> PathBuf {
    state.join("memory")
}

/// A shell's word for the file of the devices' state.
fn devices(state: &Path) -> String {
    let path = state.join("devices");
    format!("'{}'", path.to_str().expect("a path of letters").replace('\'', r"'\''"))
}

/// Boots a machine, and saves it as soon as it waits for an order.
fn save(image: &Image, folder: &Path) -> Result<()> {
    File::create_new(memory(folder))?;
    let payload = Payload::default().disk();
    let mut machine = Machine::start(image, &memory(folder), payload, Start::BootToSave)?;
    let said = machine.wait_until_ready();
    let ready = said.as_ref().is_ok_and(|state| state == "running");
    assert!(ready, "the testbed does not come up: {said:?}\n{}", machine.console());
    machine.monitor.save(&format!("cat >{}", devices(folder)))?;
    machine.monitor.quit()?;
    machine.ended();
    Ok(())
}

/// A machine that goes on from there.
fn restore(image: &Image, state: &Path, payload: File) -> Result<Machine> {
    let mut machine = Machine::start(image, &memory(state), payload, Start::Restore)?;
    machine.monitor.restore(&format!("cat {}", devices(state)))?;
    Ok(machine)
}
