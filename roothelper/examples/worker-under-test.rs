//! The worker of tests: the helper's own, walls and all, which then does what its file's name
//! says. Never installed.
#![expect(
    clippy::exit,
    clippy::mem_forget,
    clippy::panic,
    reason = "a tool of the tests, which does what must not be done"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use banger_ext4::{Disk, Error, Result};
use banger_roothelper::worker;

/// What is to be done, and from which write or flush on.
static SCENARIO: OnceLock<(String, u64)> = OnceLock::new();

fn main() -> ExitCode {
    let name = std::env::current_exe().ok();
    let name = name.as_ref().and_then(|path| path.file_name()?.to_str()).unwrap_or_default();
    let (what, step) = name.rsplit_once("-at-").unwrap_or((name, "0"));
    let _once = SCENARIO.set((what.to_owned(), step.parse().unwrap_or_default()));
    worker::run_with(std::env::args_os(), inside).unwrap_or(ExitCode::from(64))
}

fn inside(disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
    let Some((what, step)) = SCENARIO.get() else { return disk };
    attack(what, &*disk);
    Arc::new(Staged { disk, what, step: *step, done: AtomicU64::new(0) })
}

/// What somebody would try who had taken the worker over.
fn attack(what: &str, disk: &dyn Disk) {
    match what {
        "open" => drop(std::fs::File::open("/etc/passwd")),
        "list" => drop(std::fs::read_dir("/")),
        "make" => drop(std::fs::write("/tmp/banger-worker-was-here", "x")),
        "exec" => drop(Command::new("/bin/true").status()),
        "thread" => drop(std::thread::spawn(|| ()).join()),
        "socket" => drop(UdpSocket::bind(("127.0.0.1", 0))),
        "ioctl" => drop(rustix::termios::tcgetattr(io::stdin())),
        "signal" => drop(rustix::process::getppid().map(rustix::process::test_kill_process)),
        "user" => drop(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT)),
        "duplicate" => drop(io::stdin().as_fd().try_clone_to_owned()),
        "seek" => drop(rustix::fs::seek(io::stdin(), rustix::fs::SeekFrom::Start(0))),
        "read-the-socket-as-a-file" => drop(rustix::io::pread(io::stdin(), &mut [0; 1], 0)),
        "write-the-device" => drop(disk.write_at(0, &[0; 512])),
        "flush-the-device" => drop(disk.flush()),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(60)),
        "panic" => panic!("of a test"),
        "abort" => std::process::abort(),
        "memory" => drop(std::hint::black_box(vec![1_u8; 1 << 30])),
        "leak" => loop {
            std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20]));
        },
        "stack" => drop(deep(0)),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "wait" => wait(),
        "exit" => std::process::exit(7),
        "say-nothing" => std::process::exit(0),
        "say-too-long" => say(&[0xff; 4]),
        "say-half" => say(&[0, 0, 0, 9, 1]),
        "say-another-kind" => say(&[0, 0, 0, 1, 99]),
        "say-other-paths" => say(&[0, 0, 0, 5, 1, 0, 0, 0, 200]),
        "say-much" => say(&[[0, 0, 0, 2, 3, 1]; 9].concat()),
        "say-written" => say(&[0, 0, 0, 2, 3, 1]),
        _ => {}
    }
}

/// Says it, and ends as if all were well.
fn say(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(len) = rustix::io::write(io::stdin(), rest)
        && len > 0
    {
        rest = rest.get(len..).unwrap_or_default();
    }
    std::process::exit(0);
}

/// A system call that it may not make: the kernel ends it here and now.
fn die() {
    let _never_known = rustix::process::getppid();
}

/// Until somebody ends it.
fn wait() {
    while rustix::io::read(io::stdin(), &mut [0_u8; 4096]).is_ok_and(|len| len > 0) {}
}

fn deep(level: u64) -> u64 {
    let more = std::hint::black_box([level; 512]);
    if level == u64::MAX { 0 } else { deep(level + 1).wrapping_add(more[7]) }
}

/// A disk that something happens to at a write or a flush.
struct Staged {
    disk: Arc<dyn Disk>,
    what: &'static str,
    step: u64,
    done: AtomicU64,
}

impl Staged {
    /// True when it is done, as far as the engine is told.
    fn happens(&self, write: Option<(u64, &[u8])>) -> Result<bool> {
        let now = self.done.fetch_add(1, Ordering::Relaxed);
        if now < self.step {
            return Ok(false);
        }
        match (self.what, write) {
            ("die", _) if now == self.step => die(),
            ("tear", Some((offset, data))) if now == self.step => {
                let half = data.len() / 1024 * 512;
                self.disk.write_at(offset, data.get(..half).unwrap_or_default())?;
                die();
            }
            ("stop", _) if now == self.step => wait(),
            ("fail", _) => {
                let source = io::Error::from_raw_os_error(5);
                return Err(Error::Io { action: "write", offset: 0, source });
            }
            ("lose", _) => return Ok(true),
            ("spoil", Some((offset, data))) => {
                self.disk.write_at(offset, &vec![0x5a; data.len()])?;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

impl Disk for Staged {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        if self.happens(Some((offset, data)))? { Ok(()) } else { self.disk.write_at(offset, data) }
    }

    fn flush(&self) -> Result<()> {
        if self.happens(None)? { Ok(()) } else { self.disk.flush() }
    }

    fn len(&self) -> u64 {
        self.disk.len()
    }
}
