//! `image import`: a tar stream from the caller.

use std::process::Stdio;
use std::sync::Arc;

use banger_proto::client::ImportHeader;
use banger_proto::{Code, Image, Refusal};
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;

use super::make::Making;
use crate::progress::Teller;
use crate::vm::Registry;

/// A part of the caller's stream.
#[derive(Debug)]
pub enum Part {
    /// Bytes of the tar.
    Chunk(Vec<u8>),
    /// The caller has read the tar to its end.
    End,
}

/// Makes an image of the parts of a tar stream.
///
/// # Errors
/// Says at which stage it failed; nothing is left then.
pub async fn import_image(
    registry: Arc<Registry>,
    header: ImportHeader,
    parts: impl Stream<Item = Result<Part, Refusal>> + Send + Unpin,
    teller: Teller<Image>,
) -> Result<Image, Refusal> {
    let ImportHeader { name, size, tar_bytes, kernel, initrd } = header;
    let making =
        Making::begin(registry, teller.clone(), name, size, tar_bytes, "tar".to_owned()).await?;
    let import = async {
        let mut worker = making.worker(Stdio::piped())?;
        let stdin = worker.stdin();
        let feeding = async {
            match stdin {
                Some(stdin) => feed(stdin, parts).await,
                None => Err(Refusal::new(Code::Internal, "the import worker takes no input")),
            }
        };
        // The worker ends when its input does; a worker that fails ends the feeding.
        let finishing = worker.finish(&teller, tar_bytes);
        tokio::pin!(feeding, finishing);
        tokio::select! {
            fed = &mut feeding => {
                fed?;
                finishing.await
            }
            finished = &mut finishing => finished,
        }
    };
    teller.stage("import_rootfs", "", import).await?;
    making.finish(kernel, initrd).await
}

/// Writes the parts into the worker. A stream without its end was cut.
async fn feed(
    mut stdin: tokio::process::ChildStdin,
    mut parts: impl Stream<Item = Result<Part, Refusal>> + Unpin,
) -> Result<(), Refusal> {
    let mut bytes: u64 = 0;
    loop {
        match parts.next().await {
            Some(Ok(Part::Chunk(chunk))) => {
                bytes += chunk.len() as u64;
                if stdin.write_all(&chunk).await.is_err() {
                    // It has ended: its own words say why.
                    return std::future::pending().await;
                }
            }
            Some(Ok(Part::End)) => return Ok(()),
            Some(Err(refusal)) => return Err(refusal),
            None => {
                return Err(Refusal::new(
                    Code::Aborted,
                    format!("the tar stream was cut after {bytes} bytes"),
                )
                .hint("nothing was kept; try again"));
            }
        }
    }
}
