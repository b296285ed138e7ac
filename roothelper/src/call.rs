//! The calls of the contract, each a type of its own, as they are frozen before anybody is
//! asked about them: checked nouns and open descriptors, and nothing that anybody else could
//! change meanwhile.

use banger_proto::VmId;
use banger_proto::roothelper as nouns;
use banger_proto::roothelper::{DeviceHandle, Diskseq, Interaction, OfVm};

use crate::{BaseImage, Method};

/// What polkit and the log must know of a call.
pub trait Call: Send {
    /// Which one it is.
    const METHOD: Method;

    /// The VM that it is about, when it is about one.
    fn vm(&self) -> Option<VmId>;

    /// The device of that VM, when it names one.
    fn device(&self) -> Option<Diskseq> {
        None
    }

    /// Whether polkit may put its question to the user.
    fn interaction(&self) -> Interaction;
}

/// What is there, and what polkit would say.
#[derive(Debug, Clone, Copy)]
pub struct Describe {
    /// Whether polkit is asked about each action, without troubling anybody.
    pub check_actions: bool,
}

/// Makes a snapshot of a base image.
#[derive(Debug)]
pub struct AttachSnapshot {
    /// What is asked.
    pub request: nouns::AttachSnapshot,
    /// The base image, open since before the question.
    pub base: BaseImage,
}

/// Reads files on a device.
#[derive(Debug)]
pub struct ReadExt4File(pub nouns::ReadExt4);

/// Changes files on a device.
#[derive(Debug)]
pub struct WriteExt4Files(pub nouns::WriteExt4);

/// Gives a device's node to the caller.
#[derive(Debug, Clone, Copy)]
pub struct LendDevice(pub nouns::LendDevice);

/// Takes a snapshot away.
#[derive(Debug, Clone, Copy)]
pub struct DetachSnapshot(pub nouns::DetachSnapshot);

/// Removes what a guest wrote.
#[derive(Debug, Clone, Copy)]
pub struct DiscardOverlay(pub OfVm);

/// Makes a VM's tap.
#[derive(Debug, Clone, Copy)]
pub struct AttachNetwork(pub OfVm);

/// Removes it.
#[derive(Debug, Clone, Copy)]
pub struct DetachNetwork(pub OfVm);

/// Lists the caller's objects.
#[derive(Debug, Clone, Copy)]
pub struct ListObjects;

/// Removes what belongs to no VM.
#[derive(Debug)]
pub struct Sweep(pub nouns::Sweep);

impl Call for Describe {
    const METHOD: Method = Method::Describe;

    fn vm(&self) -> Option<VmId> {
        None
    }

    fn interaction(&self) -> Interaction {
        Interaction::Never
    }
}

impl Call for ListObjects {
    const METHOD: Method = Method::ListObjects;

    fn vm(&self) -> Option<VmId> {
        None
    }

    fn interaction(&self) -> Interaction {
        Interaction::Never
    }
}

impl Call for Sweep {
    const METHOD: Method = Method::Sweep;

    fn vm(&self) -> Option<VmId> {
        None
    }

    fn interaction(&self) -> Interaction {
        self.0.interaction
    }
}

impl Call for AttachSnapshot {
    const METHOD: Method = Method::AttachSnapshot;

    fn vm(&self) -> Option<VmId> {
        Some(self.request.vm)
    }

    fn interaction(&self) -> Interaction {
        self.request.interaction
    }
}

impl Call for DetachSnapshot {
    const METHOD: Method = Method::DetachSnapshot;

    fn vm(&self) -> Option<VmId> {
        Some(self.0.vm)
    }

    fn device(&self) -> Option<Diskseq> {
        self.0.diskseq
    }

    fn interaction(&self) -> Interaction {
        self.0.interaction
    }
}

/// Calls about a device that they name.
macro_rules! of_device {
    ($($call:ident),+) => {$(
        impl Call for $call {
            const METHOD: Method = Method::$call;

            fn vm(&self) -> Option<VmId> {
                let DeviceHandle { vm, .. } = self.0.device;
                Some(vm)
            }

            fn device(&self) -> Option<Diskseq> {
                Some(self.0.device.diskseq)
            }

            fn interaction(&self) -> Interaction {
                self.0.interaction
            }
        }
    )+};
}

/// Calls about a VM and nothing else.
macro_rules! of_vm {
    ($($call:ident),+) => {$(
        impl Call for $call {
            const METHOD: Method = Method::$call;

            fn vm(&self) -> Option<VmId> {
                Some(self.0.vm)
            }

            fn interaction(&self) -> Interaction {
                self.0.interaction
            }
        }
    )+};
}

of_device!(ReadExt4File, WriteExt4Files, LendDevice);
of_vm!(DiscardOverlay, AttachNetwork, DetachNetwork);
