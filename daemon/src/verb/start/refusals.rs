//! Why a start failed, as its caller is told: what, because, and what to do next.

use banger_proto::{Code, Refusal};

use crate::guest::wait::WaitError;
use crate::net::{self, NetworkError};
use crate::store::VmRecord;
use crate::verb::shares;
use crate::vmm::{Files, StartError};

/// The VMM would not start.
pub(super) fn vmm_refusal(error: &StartError, files: &Files) -> Refusal {
    let (code, hint) = match error {
        StartError::Network(NetworkError::Published(port)) => {
            return net::taken(port, &std::io::ErrorKind::AddrInUse.into());
        }
        StartError::Share(error) => return shares::refusal(error),
        StartError::Missing(_) | StartError::Network(_) => (Code::FailedPrecondition, None),
        StartError::Unfit { .. } => (
            Code::FailedPrecondition,
            Some(
                "see what to do: banger doctor; a VM made with --vmm qemu runs with QEMU"
                    .to_owned(),
            ),
        ),
        StartError::PortTaken { .. } => (Code::Unavailable, None),
        StartError::Ended { log } if log.contains("Cannot allocate memory") => (
            Code::ResourceExhausted,
            Some("stop another VM, or give this one less memory".to_owned()),
        ),
        StartError::Ended { .. } | StartError::Silent { .. } => {
            (Code::Internal, Some(format!("see all it said: {}", files.vmm_log().display())))
        }
        _ => (Code::Internal, None),
    };
    let refusal = Refusal::from_error(code, error);
    let refusal = match error {
        StartError::Ended { log } | StartError::Silent { log } => {
            let said = log.lines().map(str::to_owned).collect::<Vec<_>>();
            Refusal { chain: [said, refusal.chain].concat(), ..refusal }
        }
        _ => refusal,
    };
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// The guest does not answer.
pub(super) fn guest_refusal(error: &WaitError, record: &VmRecord) -> Refusal {
    let WaitError::NoAnswer { diagnosis, console, .. } = error else {
        return Refusal::from_error(Code::Internal, error);
    };
    let code = if diagnosis.is_final() { Code::Internal } else { Code::DeadlineExceeded };
    let refusal = Refusal::from_error(code, error).hint(diagnosis.hint(record.name.as_str()));
    Refusal { chain: diagnosis.causes(), console_tail: console.clone(), ..refusal }
}
