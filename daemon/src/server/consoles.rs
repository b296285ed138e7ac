//! The messages of an attached console, checked.

use banger_proto::wire::daemon::{self as wire, console_request::Part};
use banger_proto::{Code, Invalid, Refusal, VmRef};
use futures_util::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::service::reference;
use crate::verb::Piece;

/// Most that is typed in one message, in bytes.
const TYPED: usize = 64 << 10;

/// The VM that is meant and how many lines come first: the first message.
pub(super) fn attach(first: Option<wire::ConsoleRequest>) -> Result<(VmRef, u32), Refusal> {
    let Some(Part::Attach(attach)) = first.and_then(|message| message.part) else {
        return Err(Refusal::new(Code::InvalidArgument, "a console begins with its VM"));
    };
    Ok((reference(attach.vm)?, attach.tail_lines))
}

/// What is typed: the messages that follow. A caller that has gone away types no more.
pub(super) fn typed(
    messages: Streaming<wire::ConsoleRequest>,
) -> impl Stream<Item = Result<Vec<u8>, Refusal>> + Send + 'static {
    messages
        .take_while(|message| std::future::ready(message.is_ok()))
        .filter_map(|message| std::future::ready(message.ok().map(input)))
}

fn input(message: wire::ConsoleRequest) -> Result<Vec<u8>, Refusal> {
    match message.part {
        Some(Part::Input(bytes)) if bytes.len() <= TYPED => Ok(bytes),
        Some(Part::Input(bytes)) => Err(Invalid::new(
            "piece of what is typed",
            &format!("{} bytes", bytes.len()),
            "use at most 64 KiB a message",
        )
        .into()),
        _ => Err(Invalid::new("part of a console", "", "use what is typed").into()),
    }
}

/// What goes back.
pub(super) fn written(piece: Result<Piece, Refusal>) -> Result<wire::ConsoleChunk, Status> {
    let Piece { data, old } = piece?;
    Ok(wire::ConsoleChunk { data, replay: old })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(part: Part) -> wire::ConsoleRequest {
        wire::ConsoleRequest { part: Some(part) }
    }

    #[test]
    fn a_console_is_a_vm_and_then_what_is_typed() {
        let named = || wire::ConsoleAttach {
            vm: Some(wire::VmRef { name_or_id: "web".into() }),
            tail_lines: 3,
        };
        assert_eq!(
            attach(Some(message(Part::Attach(named())))).unwrap(),
            ("web".parse().unwrap(), 3)
        );
        for wrong in [
            None,
            Some(wire::ConsoleRequest { part: None }),
            Some(message(Part::Input(Vec::new()))),
            Some(message(Part::Attach(wire::ConsoleAttach { vm: None, tail_lines: 0 }))),
        ] {
            assert_eq!(attach(wrong).unwrap_err().code, Code::InvalidArgument);
        }
        assert_eq!(input(message(Part::Input(vec![3; TYPED]))).unwrap().len(), TYPED);
        assert!(input(message(Part::Input(vec![3; TYPED + 1]))).is_err());
        assert!(input(message(Part::Attach(named()))).is_err());
        assert!(input(wire::ConsoleRequest { part: None }).is_err());
    }
}
