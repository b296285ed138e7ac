//! Why a kernel cannot be unpacked.

use std::io;

use super::format::Format;

/// A kernel that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum KernelError {
    /// The file fails, not what is in it.
    #[error("the kernel cannot be read")]
    Read(#[source] io::Error),
    /// The file that it goes to fails.
    #[error("the unpacked kernel cannot be written")]
    Write(#[source] io::Error),
    /// The other file fails that is made.
    #[error("the initial RAM disk cannot be written")]
    Initrd(#[source] io::Error),
    /// It is not of the form that bootloaders read.
    #[error("it is no kernel for x86-64: {0}")]
    Form(&'static str),
    /// It may be a kernel, packed in a way that is not read.
    #[error("its compression is not known: it begins with {0}")]
    Unknown(String),
    /// What is packed makes no sense.
    #[error("its {format} data is damaged")]
    Damaged {
        /// How it is packed.
        format: Format,
        /// What the reader of that format said.
        #[source]
        source: io::Error,
    },
    /// It says how large it is, and is not.
    #[error("it unpacks to other than the {0} bytes that it says")]
    Size(u64),
    /// What was packed cannot be started.
    #[error("what is packed in it cannot be loaded: {0}")]
    Load(&'static str),
}
