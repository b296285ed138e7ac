//! The messages that make images, checked.

use banger_proto::client::ImportHeader;
use banger_proto::wire::daemon::{self as wire, import_image_request::Part as WirePart};
use banger_proto::{Code, ImageName, ImageSource, Invalid, Mib, Refusal};
use futures_util::Stream;
use tonic::Streaming;

use crate::image::Part;

/// Largest piece of a tar in one message, in bytes.
const CHUNK: usize = 1 << 20;

/// The header, which comes first.
pub(super) fn header(first: Option<wire::ImportImageRequest>) -> Result<ImportHeader, Refusal> {
    let Some(WirePart::Header(header)) = first.and_then(|message| message.part) else {
        return Err(Refusal::new(Code::InvalidArgument, "an import begins with its header"));
    };
    Ok(ImportHeader {
        name: header.name.parse()?,
        size: (header.size_mib != 0).then(|| Mib::new(header.size_mib)).transpose()?,
        tar_bytes: (header.tar_bytes != 0).then_some(header.tar_bytes),
        kernel: header.kernel,
        initrd: header.initrd,
    })
}

/// What is to be built, from what, and how large.
pub(super) fn build(
    request: wire::BuildImageRequest,
) -> Result<(ImageName, Option<Mib>, ImageSource), Refusal> {
    let Some(wire::build_image_request::Source::Debian(debian)) = request.source else {
        return Err(Refusal::new(Code::InvalidArgument, "a build needs something to build from"));
    };
    let size = (request.size_mib != 0).then(|| Mib::new(request.size_mib)).transpose()?;
    let mirror = (!debian.mirror.is_empty()).then_some(debian.mirror);
    Ok((request.name.parse()?, size, ImageSource::Debian { suite: debian.suite, mirror }))
}

/// What follows the header.
pub(super) fn parts(
    messages: Streaming<wire::ImportImageRequest>,
) -> impl Stream<Item = Result<Part, Refusal>> {
    futures_util::stream::unfold(messages, |mut messages| async move {
        let part = match messages.message().await {
            Ok(None) => return None,
            Ok(Some(message)) => part(message),
            Err(status) => Err(Refusal {
                chain: vec![status.message().to_owned()],
                ..Refusal::new(Code::Aborted, "the tar stream was cut")
            }),
        };
        Some((part, messages))
    })
}

fn part(message: wire::ImportImageRequest) -> Result<Part, Refusal> {
    match message.part {
        Some(WirePart::Chunk(chunk)) if chunk.len() <= CHUNK => Ok(Part::Chunk(chunk)),
        Some(WirePart::Chunk(chunk)) => Err(Invalid::new(
            "piece of a tar",
            &format!("{} bytes", chunk.len()),
            "use at most 1 MiB a message",
        )
        .into()),
        Some(WirePart::End(_)) => Ok(Part::End),
        Some(WirePart::Header(_)) | None => {
            Err(Invalid::new("part of an import", "", "use chunks and then the end").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(part: WirePart) -> wire::ImportImageRequest {
        wire::ImportImageRequest { part: Some(part) }
    }

    #[test]
    fn an_import_is_a_header_then_chunks_then_an_end() {
        let named = |name: &str| wire::ImportHeader { name: name.into(), ..Default::default() };
        assert_eq!(header(Some(message(WirePart::Header(named("a"))))).unwrap().name.as_str(), "a");
        for wrong in [
            None,
            Some(wire::ImportImageRequest { part: None }),
            Some(message(WirePart::Chunk(Vec::new()))),
            Some(message(WirePart::Header(named("../a")))),
        ] {
            assert_eq!(header(wrong).unwrap_err().code, Code::InvalidArgument);
        }
        assert!(matches!(part(message(WirePart::Chunk(vec![0; CHUNK]))), Ok(Part::Chunk(_))));
        assert!(part(message(WirePart::Chunk(vec![0; CHUNK + 1]))).is_err());
        assert!(matches!(part(message(WirePart::End(wire::ImportEnd {}))), Ok(Part::End)));
        assert!(part(message(WirePart::Header(named("a")))).is_err());
        assert!(part(wire::ImportImageRequest { part: None }).is_err());
    }
}
