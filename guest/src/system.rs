//! The system calls, and what the kernel leaves on the stack.
#![expect(unsafe_code, reason = "there is no library that would make system calls")]

use core::arch::asm;
use core::ffi::CStr;

/// What a system call failed with, as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// There is no such file.
    pub const NOENT: Self = Self(2);
    /// The file is no program.
    pub const NOEXEC: Self = Self(8);
    /// It is there already.
    pub const EXIST: Self = Self(17);
    /// There is no such device.
    pub const NODEV: Self = Self(19);
    /// Something that was said is not possible.
    pub const INVAL: Self = Self(22);
    /// Something is longer than it can be.
    pub const NAMETOOLONG: Self = Self(36);

    /// In words, where it is one that is to be expected.
    #[must_use]
    pub fn words(self) -> Option<&'static [u8]> {
        Some(match self.0 {
            1 => b"not permitted",
            2 => b"there is none",
            5 => b"it cannot be read or written",
            6 => b"there is no such device",
            8 => b"it is no program, or no module of this kernel",
            12 => b"there is too little memory",
            13 => b"permission denied",
            15 => b"it is no disk",
            16 => b"it is in use",
            19 => b"the kernel does not know it",
            20 => b"it is no folder",
            22 => b"the kernel does not take it",
            30 => b"it is read-only",
            36 => b"it is too long",
            117 => b"it is damaged",
            _ => return None,
        })
    }
}

/// Numbers of calls, as the kernel has them on x86-64.
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const OPEN: usize = 2;
    pub(super) const CLOSE: usize = 3;
    pub(super) const PREAD: usize = 17;
    pub(super) const DUP2: usize = 33;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const EXECVE: usize = 59;
    pub(super) const EXIT: usize = 60;
    pub(super) const FCNTL: usize = 72;
    pub(super) const CHDIR: usize = 80;
    pub(super) const MKDIR: usize = 83;
    pub(super) const UNLINK: usize = 87;
    pub(super) const CHROOT: usize = 161;
    pub(super) const MOUNT: usize = 165;
    pub(super) const UMOUNT: usize = 166;
    pub(super) const FINIT_MODULE: usize = 313;
}

/// Mounts for reading alone.
pub const MS_RDONLY: usize = 1;
/// Moves a mount.
pub const MS_MOVE: usize = 8192;

/// SAFETY: what is pointed to must be there for the call, and be as long as it says.
unsafe fn call(number: usize, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: a system call touches no other registers, and of memory what its arguments say: the caller's.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // Of all numbers the last 4095 are errors.
    usize::try_from(answer).map_err(|_| Errno(answer.unsigned_abs() as u16))
}

/// A call whose arguments are numbers and words.
fn plain(number: usize, arguments: [usize; 5]) -> Result<usize, Errno> {
    // SAFETY: those who call this give words that they hold, and numbers.
    unsafe { call(number, arguments) }
}

fn word(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

/// A file that is open until it is dropped.
#[derive(Debug)]
pub struct File(usize);

impl Drop for File {
    fn drop(&mut self) {
        let _closed = plain(number::CLOSE, [self.0, 0, 0, 0, 0]);
    }
}

impl File {
    fn open_as(path: &CStr, flags: usize) -> Result<Self, Errno> {
        plain(number::OPEN, [word(path), flags, 0, 0, 0]).map(Self)
    }

    /// Opens a file for reading; programs that are run do not get it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        const CLOSE_ON_EXEC: usize = 0o2_000_000;
        Self::open_as(path, CLOSE_ON_EXEC)
    }

    /// Reads as much as there is and has a place; returns that.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read<'a>(&self, to: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let mut len = 0;
        while let Some(rest) = to.get_mut(len..).filter(|rest| !rest.is_empty()) {
            let place = rest.as_mut_ptr().expose_provenance();
            // SAFETY: it is the rest of the buffer, and that long.
            let count = unsafe { call(number::READ, [self.0, place, rest.len(), 0, 0]) }?;
            if count == 0 {
                break;
            }
            len += count;
        }
        Ok(to.get(..len).unwrap_or_default())
    }

    /// Fills the buffer from byte `offset` on.
    ///
    /// # Errors
    /// What the kernel says; [`Errno::NODEV`] where there is less.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<(), Errno> {
        let (place, len) = (to.as_mut_ptr().expose_provenance(), to.len());
        // SAFETY: it is the buffer, and that long.
        let count = unsafe { call(number::PREAD, [self.0, place, len, offset as usize, 0]) }?;
        if count == len { Ok(()) } else { Err(Errno::NODEV) }
    }

    /// Loads it as a module of the kernel.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn load_module(&self, parameters: &CStr) -> Result<(), Errno> {
        plain(number::FINIT_MODULE, [self.0, word(parameters), 0, 0, 0]).map(drop)
    }
}

/// Has standard input, output and error lead to the console where they lead nowhere.
///
/// # Errors
/// What the kernel says.
pub fn open_console(path: &CStr) -> Result<(), Errno> {
    const READ_WRITE: usize = 2;
    const GET_FLAGS: usize = 1;
    if plain(number::FCNTL, [2, GET_FLAGS, 0, 0, 0]).is_ok() {
        return Ok(());
    }
    let console = core::mem::ManuallyDrop::new(File::open_as(path, READ_WRITE)?);
    for stream in 0..3 {
        plain(number::DUP2, [console.0, stream, 0, 0, 0])?;
    }
    Ok(())
}

/// Mounts.
///
/// # Errors
/// What the kernel says.
pub fn mount(from: &CStr, on: &CStr, kind: &CStr, flags: usize, data: &CStr) -> Result<(), Errno> {
    let arguments = [word(from), word(on), word(kind), flags, word(data)];
    plain(number::MOUNT, arguments).map(drop)
}

/// Takes a mount out of sight; it goes when nobody uses it.
///
/// # Errors
/// What the kernel says.
pub fn unmount(path: &CStr) -> Result<(), Errno> {
    const DETACH: usize = 2;
    plain(number::UMOUNT, [word(path), DETACH, 0, 0, 0]).map(drop)
}

/// Makes a folder, unless it is there.
///
/// # Errors
/// What the kernel says.
pub fn make_folder(path: &CStr) -> Result<(), Errno> {
    match plain(number::MKDIR, [word(path), 0o755, 0, 0, 0]) {
        Err(Errno::EXIST) => Ok(()),
        made => made.map(drop),
    }
}

/// Removes a file.
///
/// # Errors
/// What the kernel says.
pub fn remove(path: &CStr) -> Result<(), Errno> {
    plain(number::UNLINK, [word(path), 0, 0, 0, 0]).map(drop)
}

/// Goes to a folder.
///
/// # Errors
/// What the kernel says.
pub fn go_to(path: &CStr) -> Result<(), Errno> {
    plain(number::CHDIR, [word(path), 0, 0, 0, 0]).map(drop)
}

/// Makes a folder the root of this process.
///
/// # Errors
/// What the kernel says.
pub fn change_root(path: &CStr) -> Result<(), Errno> {
    plain(number::CHROOT, [word(path), 0, 0, 0, 0]).map(drop)
}

/// Waits for so many milliseconds, less than a thousand.
pub fn sleep(milliseconds: u16) {
    let span = [0_i64, i64::from(milliseconds) * 1_000_000];
    let _awake = plain(number::NANOSLEEP, [span.as_ptr().expose_provenance(), 0, 0, 0, 0]);
}

/// Writes to the console.
pub fn say(text: &[u8]) {
    let place = text.as_ptr().expose_provenance();
    // SAFETY: it is the text, and that long.
    let _nobody_reads = unsafe { call(number::WRITE, [2, place, text.len(), 0, 0]) };
}

/// Ends. Of the first process the kernel does not outlive that: it panics, and says so.
pub fn exit(code: u8) -> ! {
    loop {
        let _ended = plain(number::EXIT, [code.into(), 0, 0, 0, 0]);
    }
}

/// The words and the environment that the kernel gave, for whoever is run next.
#[derive(Debug)]
pub struct Given {
    words: *mut *const u8,
    environment: *const *const u8,
}

impl Given {
    /// What lies on the stack.
    ///
    /// # Safety
    /// It is the stack as it was when the program was entered, and nobody else uses it.
    #[must_use]
    pub unsafe fn on(stack: *mut usize) -> Self {
        // SAFETY: the number of words lies there, then they, then a zero, then the environment.
        unsafe {
            let words = stack.add(1);
            Self { words: words.cast(), environment: words.add(stack.read() + 1).cast() }
        }
    }

    /// Becomes another program, which has the same words but for its name. Returns when that fails.
    #[must_use]
    pub fn become_program(&self, path: &CStr) -> Errno {
        // SAFETY: there is one word at least, or the zero behind them, which is put back.
        let failed = unsafe {
            let before = self.words.read();
            if !before.is_null() {
                self.words.write(path.as_ptr().cast());
            }
            let words = self.words.expose_provenance();
            let environment = self.environment.expose_provenance();
            let failed = call(number::EXECVE, [word(path), words, environment, 0, 0]);
            self.words.write(before);
            failed
        };
        failed.err().unwrap_or(Errno::NOENT)
    }
}
