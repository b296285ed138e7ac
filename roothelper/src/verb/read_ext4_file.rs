//! Reads files of the filesystem on an attached device.

use banger_proto::roothelper::Ext4Found;
use banger_proto::{Code, Refusal, VmId};

use super::Host;
use super::attach_snapshot::LANDLOCK;
use super::edit::open;
use crate::audit::Outcome;
use crate::kernel::device::Access;
use crate::worker::{Blame, NotRead};
use crate::{Method, Permit, call};

pub(crate) async fn read_ext4_file(
    permit: Permit<call::ReadExt4File>,
    host: Host,
) -> Result<Vec<Ext4Found>, Refusal> {
    let (caller, call::ReadExt4File(request)) = permit.into_parts();
    let (workers, place) = host.staff.place(caller.uid()).await?;
    let device = open(&host, caller.uid(), request.device, Access::Read).await?;
    let mut pending = host.audit.begin(&caller, Method::ReadExt4File);
    pending.about(Some(request.device.vm), Some(request.device.diskseq));
    let read = workers.read(device, request.paths, request.limit_bytes).await;
    drop(place);
    match &read {
        Err(NotRead::Died(death)) => pending.ended(Outcome::DataLoss, &death.to_string()),
        Err(NotRead::Refused(refused)) if refused.blame == Blame::Damage => {
            pending.ended(Outcome::DataLoss, refused.chain.last().map_or("", String::as_str));
        }
        _ => pending.go_on(),
    }
    read.map_err(|error| refusal(error, request.device.vm))
}

/// What the caller is told.
fn refusal(error: NotRead, vm: VmId) -> Refusal {
    let (code, message, chain, hint) = match error {
        NotRead::Died(death) => (
            Code::DataLoss,
            "the VM's filesystem cannot be read: its reader died of it",
            vec![death.to_string()],
            format!(
                "it is damaged, or made to do harm; with what its guest wrote: banger rm --force {vm}"
            ),
        ),
        NotRead::Refused(refused) => {
            let (code, message, hint) = of(refused.blame, vm);
            (code, message, refused.chain, hint)
        }
        NotRead::NotShutIn(chain) => (
            Code::FailedPrecondition,
            "the ext4 worker cannot be shut in here",
            chain,
            LANDLOCK.to_owned(),
        ),
        NotRead::NotStarted(error) => (
            Code::Internal,
            "the ext4 worker cannot be started",
            vec![error.to_string()],
            "sudo systemctl status banger-roothelper.service".to_owned(),
        ),
    };
    Refusal { chain, ..Refusal::new(code, message) }.hint(hint)
}

fn of(blame: Blame, vm: VmId) -> (Code, &'static str, String) {
    match blame {
        Blame::Limit => (
            Code::ResourceExhausted,
            "what is there is larger than the request allows",
            "allow more, within the limits that Describe tells".to_owned(),
        ),
        Blame::Request => (
            Code::InvalidArgument,
            "the VM's filesystem has no such paths",
            "use other paths".into(),
        ),
        Blame::Incompatible => (
            Code::FailedPrecondition,
            "the VM's filesystem has a feature that is not read",
            "make an image without it: banger image import --help".to_owned(),
        ),
        Blame::Damage => (
            Code::DataLoss,
            "the VM's filesystem contradicts itself",
            format!(
                "make the VM anew: banger rm --force {vm}, banger create; if it comes again, the image: banger image import --help"
            ),
        ),
        Blame::Space | Blame::Host => (
            Code::Internal,
            "the VM's device cannot be read",
            "the kernel says why: sudo dmesg".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{Death, Refusal as Refused};

    #[test]
    fn every_way_not_to_read_has_a_code_a_cause_and_a_hint() {
        let refused = |blame| NotRead::Refused(Refused { blame, chain: vec!["why".into()] });
        let table = [
            (NotRead::Died(Death::Signal(9)), Code::DataLoss),
            (refused(Blame::Damage), Code::DataLoss),
            (refused(Blame::Limit), Code::ResourceExhausted),
            (refused(Blame::Request), Code::InvalidArgument),
            (refused(Blame::Incompatible), Code::FailedPrecondition),
            (refused(Blame::Host), Code::Internal),
            (NotRead::NotShutIn(vec!["no Landlock".into()]), Code::FailedPrecondition),
            (NotRead::NotStarted(std::io::ErrorKind::NotFound.into()), Code::Internal),
        ];
        for (error, code) in table {
            let told = refusal(error, VmId::random());
            assert_eq!(told.code, code, "{told:?}");
            assert!(!told.chain.is_empty() && !told.hint.is_empty(), "{told:?}");
        }
    }
}
