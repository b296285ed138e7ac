//! An operation of several steps, undone in reverse when one of them fails.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use banger_proto::{Code, Refusal};

use crate::Ownership;
use crate::kernel::device::{Binding, Device, LoopNumber, Removal};
use crate::kernel::{Hold, Kernel};

/// A step that was done, or begun.
#[derive(Debug)]
pub(crate) enum Done {
    /// An overlay file was made.
    Overlay(Ownership),
    /// A loop device was claimed; it is held until the operation's end.
    Loop(LoopNumber, Hold),
    /// A device was made.
    Device(Ownership),
    /// A node was to be lent.
    Lent(Device),
}

impl Done {
    fn undo(self, kernel: &dyn Kernel) -> Result<(), String> {
        let left = |what: String| move |error: io::Error| format!("{what} is left: {error}");
        match self {
            Self::Overlay(of) => {
                kernel.remove_overlay(of).map_err(left(format!("the overlay of VM {}", of.vm)))
            }
            Self::Loop(number, hold) => {
                drop(hold);
                kernel.release_loop(number).map_err(left(number.to_string()))
            }
            Self::Device(of) => {
                let removed = kernel.unused(of).and_then(|_| kernel.remove_device(of));
                match removed.map_err(left(format!("the device of VM {}", of.vm)))? {
                    Removal::Done => Ok(()),
                    Removal::Pending => Err("the device is left while somebody has it open".into()),
                }
            }
            Self::Lent(device) => {
                kernel.give_node(&device, None).map_err(left("the owner of the node".into()))
            }
        }
    }
}

/// What was done so far.
#[derive(Debug)]
pub(crate) struct Undo<'a> {
    kernel: &'a dyn Kernel,
    done: Vec<Done>,
}

impl Undo<'_> {
    /// Remembers a step.
    pub(crate) fn did(&mut self, done: Done) {
        self.done.push(done);
    }

    /// A loop device over a file, held until the operation's end.
    pub(crate) fn bind(
        &mut self,
        file: BorrowedFd<'_>,
        binding: &Binding,
    ) -> Result<LoopNumber, Refusal> {
        let (number, hold) = self.kernel.claim_loop().map_err(cannot("take a loop device"))?;
        self.did(Done::Loop(number, hold));
        self.kernel
            .bind_loop(number, file, binding)
            .map_err(cannot("put a loop device over the file"))?;
        Ok(number)
    }

    /// Undoes it all; what could not be undone is told with the refusal.
    fn fail(mut self, mut refusal: Refusal) -> Refusal {
        let mut left = Vec::new();
        while let Some(done) = self.done.pop() {
            left.extend(done.undo(self.kernel).err());
        }
        if !left.is_empty() {
            refusal.message.push_str("; not all of it could be undone");
            refusal.chain.extend(left);
        }
        refusal
    }
}

/// Makes some steps; when one fails, also by a panic, those before it are undone.
pub(crate) fn undoing<T>(
    kernel: &dyn Kernel,
    steps: impl FnOnce(&mut Undo<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut undo = Undo { kernel, done: Vec::new() };
    match catch_unwind(AssertUnwindSafe(|| steps(&mut undo))) {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(refusal)) => Err(undo.fail(refusal)),
        Err(_) => {
            let defect = Refusal::new(Code::Internal, "the helper met a defect of its own");
            let hint = "report it, with what this says: sudo journalctl --unit banger-roothelper";
            Err(undo.fail(defect.hint(hint)))
        }
    }
}

/// What helps where the host's disk has no block or no inode left.
pub(crate) const NO_ROOM: &str =
    "make room in /var/lib/banger's filesystem: df -h, and df -i, show it";

/// For `map_err` behind each step.
pub(crate) fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |error| {
        use io::ErrorKind::{QuotaExceeded, ResourceBusy, StorageFull};
        let (code, hint) = match error.kind() {
            StorageFull | QuotaExceeded => (Code::ResourceExhausted, NO_ROOM),
            ResourceBusy => {
                (Code::FailedPrecondition, "see who has it: sudo fuser --verbose /dev/dm-*")
            }
            _ => (Code::Internal, "the kernel may say why: sudo dmesg"),
        };
        Refusal {
            message: format!("cannot {what}"),
            chain: vec![error.to_string()],
            ..Refusal::new(code, "").hint(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerUid;
    use crate::kernel::Devices;
    use crate::kernel::simulated::Simulated;
    use banger_proto::VmId;

    fn steps(kernel: &Simulated, panics: bool) -> Refusal {
        let of = Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() };
        undoing(kernel, |undo| {
            kernel.create_overlay(of, 1 << 20).unwrap();
            undo.did(Done::Overlay(of));
            let (number, hold) = kernel.claim_loop().unwrap();
            undo.did(Done::Loop(number, hold));
            assert!(!panics, "as it is to");
            Err::<(), _>(Refusal::new(Code::Internal, "no"))
        })
        .unwrap_err()
    }

    #[test]
    fn a_full_disk_is_told_with_what_helps() {
        let refusal = cannot("make it")(io::ErrorKind::StorageFull.into());
        assert_eq!(refusal.code, Code::ResourceExhausted);
        assert_eq!((refusal.message.as_str(), refusal.hint.as_str()), ("cannot make it", NO_ROOM));
        assert_eq!(
            cannot("make it")(io::Error::other("no")).hint,
            "the kernel may say why: sudo dmesg"
        );
    }

    #[test]
    fn an_error_and_a_panic_are_undone() {
        for panics in [false, true] {
            let kernel = Simulated::default();
            let refusal = steps(&kernel, panics);
            assert_eq!((refusal.code, refusal.chain.len()), (Code::Internal, 0), "{refusal:?}");
            assert!(kernel.state().overlays.is_empty() && kernel.state().loops.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_undone_is_told_and_the_rest_is_undone() {
        let kernel = Simulated::default();
        kernel.state().failing.insert(3);
        let refusal = steps(&kernel, false);
        assert_eq!(refusal.message, "no; not all of it could be undone");
        assert_eq!(refusal.chain, ["loop1000000 is left: step 3 fails"]);
        assert!(kernel.state().overlays.is_empty());
        assert_eq!(kernel.release_stray_loops().unwrap(), 1);
    }
}
