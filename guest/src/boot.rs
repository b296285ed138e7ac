//! From the kernel to the guest's own init, or to a word on why not.

use core::ffi::CStr;

use crate::command_line::{Root, Wanted, parameters};
use crate::disks::{HEAD, SUPERBLOCK, has_uuid, names};
use crate::system::{self, Errno, File, Given, MS_MOVE, MS_RDONLY};
use crate::text::{Text, Unfit, decimal};

/// Where the modules are, and their names in the order in which they are loaded, one a line.
const ORDER: &CStr = c"/modules/order";
/// Where the root filesystem is mounted before it becomes the root.
const ROOT: &CStr = c"/root";
/// Longest path, in bytes.
const PATH: usize = 512;
/// Longest command line, in bytes: the kernel's is half of that.
const LINE: usize = 4096;
/// How often the root disk is looked for, and the milliseconds between: half a minute.
const LOOKS: u16 = 1500;
const BETWEEN: u16 = 20;
/// Inits that are tried, as the kernel does.
const INITS: [&CStr; 4] = [c"/sbin/init", c"/etc/init", c"/bin/init", c"/bin/sh"];

/// What could not be done has been said on the console.
#[derive(Debug)]
struct Told;

/// Says what could not be done, with what, and why.
fn cannot(what: &[u8], which: &[u8], why: Errno) -> Told {
    let mut line = Text::<{ 2 * PATH }>::default();
    for part in [b"banger-init: cannot ", what, b" ", which, b": "] {
        line.push_what_fits(part);
    }
    match why.words() {
        Some(words) => line.push_what_fits(words),
        None => {
            line.push_what_fits(b"error ");
            line.push_what_fits(decimal(why.0.into()).bytes());
        }
    }
    system::say(line.bytes());
    system::say(b"\n");
    Told
}

impl From<Unfit> for Errno {
    fn from(_: Unfit) -> Self {
        Self::NAMETOOLONG
    }
}

/// Boots. When that fails it is said on the console, and the kernel panics.
pub fn run(given: &Given) -> ! {
    let Told = boot(given);
    system::exit(1)
}

/// Returns when there is nothing to become.
fn boot(given: &Given) -> Told {
    let mut line = [0; LINE];
    let prepared = prepare(&mut line).and_then(|line| {
        let wanted = Wanted::of(line);
        go_to_root(&wanted).map(|()| wanted.init)
    });
    match prepared {
        Ok(init) => become_init(given, init),
        Err(told) => told,
    }
}

/// Everything that is there before the root filesystem is; returns the kernel's command line.
fn prepare(line: &mut [u8; LINE]) -> Result<&[u8], Told> {
    let mounts = [(c"devtmpfs", c"/dev"), (c"proc", c"/proc")];
    for (kind, on) in mounts {
        system::make_folder(on)
            .and_then(|()| system::mount(kind, on, kind, 0, c""))
            .map_err(|why| cannot(b"mount", on.to_bytes(), why))?;
    }
    // Where it fails there is nobody to tell.
    let _no_console = system::open_console(c"/dev/console");
    let line = File::open(c"/proc/cmdline")
        .and_then(|file| file.read(line))
        .map_err(|why| cannot(b"read", b"/proc/cmdline", why))?;
    load_modules(line)?;
    Ok(line)
}

/// Loads all modules that there are. One that is not loaded is told of: what it was needed for is seen then.
fn load_modules(line: &[u8]) -> Result<(), Told> {
    let mut order = [0; LINE];
    let order = File::open(ORDER)
        .and_then(|file| file.read(&mut order))
        .map_err(|why| cannot(b"read", ORDER.to_bytes(), why))?;
    for name in order.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()) {
        match load(name, line) {
            // It is there, or there is nothing here that it is for.
            Ok(()) | Err(Errno::EXIST | Errno::NODEV) => {}
            Err(why) => drop(cannot(b"load the module", name, why)),
        }
    }
    Ok(())
}

fn load(name: &[u8], line: &[u8]) -> Result<(), Errno> {
    let path = Text::<PATH>::of(&[b"/modules/", name, b".ko"])?;
    let parameters = parameters::<LINE>(line, name)?;
    File::open(path.word()?)?.load_module(parameters.word()?)?;
    // What it took of the memory is free again.
    system::remove(path.word()?)
}

/// Makes the root filesystem the root.
fn go_to_root(wanted: &Wanted<'_>) -> Result<(), Told> {
    let root = wanted
        .root
        .ok_or_else(|| cannot(b"find", b"root= in what the kernel was told", Errno::NOENT))?;
    let device = wait_for(root)?;
    mount_root(&device, wanted)?;
    // The next init has them anew; what is left of them lies below the root, and takes nothing.
    let _left = system::unmount(c"/proc");
    if system::mount(c"/dev", c"/root/dev", c"", MS_MOVE, c"").is_err() {
        let _left = system::unmount(c"/dev");
    }
    let _left = system::remove(c"/init");
    let _left = system::remove(ORDER);
    system::go_to(ROOT)
        .and_then(|()| system::mount(c".", c"/", c"", MS_MOVE, c""))
        .and_then(|()| system::change_root(c"."))
        .and_then(|()| system::go_to(c"/"))
        .map_err(|why| {
            cannot(b"make the root filesystem the root, which is on", device.bytes(), why)
        })
}

/// The device of the root filesystem, once it is there.
fn wait_for(root: Root<'_>) -> Result<Text<PATH>, Told> {
    let name = match root {
        Root::Uuid(_) => b"the disk of the root filesystem by its UUID, among" as &[u8],
        Root::Device(path) => path,
        Root::Unknown(name) => {
            return Err(cannot(b"look for the root filesystem by", name, Errno::INVAL));
        }
    };
    let mut why = Errno::NOENT;
    for _ in 0..LOOKS {
        match look(root) {
            Ok(found) => return Ok(found),
            Err(error) => why = error,
        }
        system::sleep(BETWEEN);
    }
    let mut which = Text::<PATH>::default();
    which.push_what_fits(name);
    if matches!(root, Root::Uuid(_)) {
        let mut told = [0; LINE];
        for disk in names(partitions(&mut told).unwrap_or_default()) {
            which.push_what_fits(b" ");
            which.push_what_fits(disk);
        }
        if which.bytes() == name {
            which.push_what_fits(b" no disks at all");
        }
    }
    Err(cannot(b"find", which.bytes(), why))
}

fn partitions(told: &mut [u8]) -> Result<&[u8], Errno> {
    File::open(c"/proc/partitions")?.read(told)
}

/// Looks once.
fn look(root: Root<'_>) -> Result<Text<PATH>, Errno> {
    let uuid = match root {
        Root::Uuid(uuid) => uuid,
        Root::Device(path) => {
            let path = Text::of(&[path])?;
            return File::open(path.word()?).map(|_| path);
        }
        Root::Unknown(_) => return Err(Errno::INVAL),
    };
    let mut told = [0; LINE];
    for name in names(partitions(&mut told)?) {
        let path = Text::of(&[b"/dev/", name])?;
        let mut head = [0; HEAD];
        let read = File::open(path.word()?).and_then(|disk| disk.read_at(SUPERBLOCK, &mut head));
        if read.is_ok() && has_uuid(&head, uuid) {
            return Ok(path);
        }
    }
    Err(Errno::NOENT)
}

fn mount_root(device: &Text<PATH>, wanted: &Wanted<'_>) -> Result<(), Told> {
    let mut why = Errno::NODEV;
    for kind in wanted.types.split(|byte| *byte == b',').filter(|kind| !kind.is_empty()) {
        let mounted = Text::<PATH>::of(&[kind]).and_then(|kind| {
            let flags = Text::<PATH>::of(&[wanted.flags])?;
            let how = if wanted.read_only { MS_RDONLY } else { 0 };
            Ok(system::make_folder(ROOT).and_then(|()| {
                system::mount(device.word()?, ROOT, kind.word()?, how, flags.word()?)
            }))
        });
        match mounted.map_err(Errno::from).and_then(|mounted| mounted) {
            Ok(()) => return Ok(()),
            Err(error) => why = error,
        }
    }
    let mut which = Text::<PATH>::default();
    for part in [device.bytes(), b" as ", wanted.types] {
        which.push_what_fits(part);
    }
    Err(cannot(b"mount the root filesystem", which.bytes(), why))
}

/// Becomes the init that is asked for, else the first of the usual ones that there is.
fn become_init(given: &Given, asked: Option<&[u8]>) -> Told {
    if let Some(path) = asked {
        let tried = Text::<PATH>::of(&[path]);
        let why = match tried.as_ref().map(|text| text.word()) {
            Ok(Ok(word)) => given.become_program(word),
            _ => Errno::NAMETOOLONG,
        };
        return cannot(b"run the init that was asked for,", path, why);
    }
    for path in INITS {
        let why = given.become_program(path);
        if why != Errno::NOENT {
            let Told = cannot(b"run", path.to_bytes(), why);
        }
    }
    cannot(b"find", b"an init on the root filesystem", Errno::NOENT)
}
