//! A QEMU with the testbed in it. It dies with whoever started it, and leaves nothing.

use std::fs::File;
use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};

use super::emulator::Emulator;
use super::image::Image;
use super::monitor::Monitor;

/// What a saved state fits to.
///
/// Without cmpxchg16b: QEMU 7.2 leaves arbitrary flags behind it, the direction flag among them, and
/// an interrupt keeps them, so that a kernel of 6.12 crashes on a busy host within seconds (10.0 was not tried with it). Without
/// tables of five levels: each walk through them costs.
///
/// One processor. With a thread for each of two, one may run a breakpoint that the other has removed
/// from the kernel's text already, which crashes it. Where two take turns, guests under KVM stop or crash
/// at random: QEMU keeps the number of an interrupt that it has given to a guest, and when it is asked to
/// let the other processor have its turn before the guest has left the processor or met a fault, it gives
/// that interrupt once more, interrupts being off or not. A host with two processors is kept busy by two
/// machines.
pub(super) const BOARD: &[&str] = &[
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    "-accel",
    "tcg,thread=single",
    "-machine",
    "q35,memory-backend=memory",
    "-cpu",
    "max,-cx16,-la57",
    "-smp",
    "1",
    "-m",
    "4096M",
];

/// `oops=panic` and `panic=-1`: a kernel in trouble ends the machine, and so is seen.
pub(super) const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 root=/dev/vda rw quiet oops=panic panic=-1 mitigations=off random.trust_cpu=on";

/// How a machine begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Boots, with memory that will be kept.
    BootToSave,
    /// Boots.
    Boot,
    /// Waits for a saved state.
    Restore,
    /// The same, with memory that will be kept.
    RestoreToSave,
}

/// What is written to a machine's disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root<'a> {
    /// Is thrown away; below it is the image.
    Image,
    /// Is thrown away; below it is what this overlay of the image has.
    Above(&'a Path),
    /// Goes into this overlay.
    Into(&'a Path),
}

/// What a machine is put together of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) image: &'a Image,
    /// The file that its memory lies in, when it is or will be saved.
    pub(super) memory: &'a Path,
    pub(super) root: Root<'a>,
    /// The second disk, which is read only.
    pub(super) payload: File,
    /// The third, on which what is written is thrown away.
    pub(super) guests: File,
}

/// A machine; dropping it ends it.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    /// The terminal on which it takes orders.
    pub(super) orders: UnixStream,
    pub(super) monitor: Monitor,
    /// The serial line, and what QEMU itself says.
    console: File,
}

impl Machine {
    /// Starts one of these parts.
    pub(super) fn start(parts: Parts<'_>, how: Start) -> Result<Self> {
        let Parts { emulator, image, memory, root, payload, guests } = parts;
        let console = tempfile::tempfile_in("/var/tmp")?;
        let (orders, its_orders) = UnixStream::pair()?;
        let (control, its_control) = UnixStream::pair()?;
        let shared =
            if matches!(how, Start::BootToSave | Start::RestoreToSave) { "on" } else { "off" };
        let memory = if how == Start::Boot {
            "memory-backend-ram,id=memory,size=4096M".to_owned()
        } else {
            let path = escaped(memory);
            format!("memory-backend-file,id=memory,size=4096M,mem-path={path},share={shared}")
        };
        // A signal at the parent's end: QEMU itself would go on without anybody.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(emulator.line())
            .args(BOARD)
            .args(["-object", &memory])
            .arg("-kernel")
            .arg(image.kernel())
            .arg("-initrd")
            .arg(image.initrd())
            .args(["-append", KERNEL_ARGUMENTS])
            .arg("-drive")
            .arg(match root {
                Root::Image => drive("root", &image.disk(), "format=raw,snapshot=on"),
                Root::Above(overlay) => drive("root", overlay, "format=qcow2,snapshot=on"),
                Root::Into(overlay) => drive("root", overlay, "format=qcow2"),
            })
            .args(["-device", "virtio-blk-pci,drive=root"])
            .arg("-drive")
            .arg(drive("payload", Path::new("/proc/self/fd/5"), "format=raw,readonly=on"))
            .args(["-device", "virtio-blk-pci,drive=payload"])
            .arg("-drive")
            .arg(drive("guests", Path::new("/proc/self/fd/6"), "format=raw,snapshot=on"))
            .args(["-device", "virtio-blk-pci,drive=guests"])
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
            .args(["-chardev", "socket,id=orders,fd=3", "-device", "virtio-serial-pci"])
            .args(["-device", "virtconsole,chardev=orders"])
            .args(["-chardev", "socket,id=control,fd=4", "-mon", "chardev=control,mode=control"])
            .env("TMPDIR", "/var/tmp")
            .stdin(std::process::Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console.try_clone()?);
        if matches!(how, Start::Restore | Start::RestoreToSave) {
            command.args(["-incoming", "defer"]);
        }
        let given = |parent_fd: OwnedFd, child_fd| FdMapping { parent_fd, child_fd };
        let descriptors = vec![
            given(its_orders.into(), 3),
            given(its_control.into(), 4),
            given(payload.into(), 5),
            given(guests.into(), 6),
        ];
        command.fd_mappings(descriptors).map_err(Error::other)?;
        let mut qemu = command.spawn()?;
        // Its ends are closed here, so that its end is seen.
        drop(command);
        match Monitor::new(control) {
            Ok(monitor) => Ok(Self { qemu, orders, monitor, console }),
            Err(error) => {
                let _over = qemu.kill();
                qemu.wait()?;
                Err(Error::other(format!("{error}: {}", text(&console))))
            }
        }
    }

    /// What the console has shown, and QEMU has said.
    pub fn console(&self) -> String {
        text(&self.console)
    }

    /// Where its processors are.
    pub(super) fn processors(&mut self) -> String {
        self.monitor.processors().unwrap_or_else(|error| error.to_string())
    }

    /// Whether QEMU has ended, after a moment to do so.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            if let Ok(Some(status)) = self.qemu.try_wait() {
                return Some(status);
            }
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _over = self.qemu.kill();
        let _over = self.qemu.wait();
    }
}

fn drive(id: &str, path: &Path, option: &str) -> String {
    format!("if=none,id={id},cache=unsafe,file={},{option}", escaped(path))
}

/// A path as a value among QEMU's options.
fn escaped(path: &Path) -> String {
    path.to_str().expect("a path of letters").replace(',', ",,")
}

/// All of a file that others write at the end of.
fn text(file: &File) -> String {
    // By its own place in the file: the position is the writers'.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut content = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut content)
    });
    read.expect("the console can be read");
    String::from_utf8_lossy(&content).into_owned()
}
