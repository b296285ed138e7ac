//! `banger image import`.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use banger_proto::client::ImportHeader;
use banger_proto::{ImageName, Mib};
use futures_util::Stream;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::{Failure, Outcome};
use crate::terminal::{Terminal, Timings, follow};

/// Bytes a message: the most that the contract allows.
const CHUNK: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image
    name: ImageName,
    /// Tar of a root filesystem; - reads standard input
    file: PathBuf,
    /// Size of the root filesystem, as in 4G [default: it fits the content]
    #[arg(long)]
    size: Option<Mib>,
    /// Kernel to use instead of the newest in the image's /boot
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk to use instead of the one beside that kernel
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    #[command(flatten)]
    timings: TimingsFlag,
}

/// Where the tar comes from.
struct Source {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    bytes: Option<u64>,
}

/// Why the stream of chunks ended before the tar did.
type Cut = Arc<Mutex<Option<io::Error>>>;

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let source = open(&self.file).await?;
        let header = ImportHeader {
            name: self.name,
            size: self.size,
            tar_bytes: source.bytes,
            kernel: whole(self.kernel.as_deref()).await?,
            initrd: whole(self.initrd.as_deref()).await?,
        };
        let mut client = bangerd::connect(terminal).await?;
        let cut = Cut::default();
        let chunks = chunks(source.reader, Arc::clone(&cut));
        let imported = async {
            let events = client.import_image(header, chunks).await?;
            follow(terminal, &mut timings, events).await
        }
        .await;
        // bangerd can only say that the stream was cut; why is known here.
        if let Some(source) = cut.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Failure::Input { path: self.file, source });
        }
        let image = imported?;
        self.timings.show(terminal, &timings);
        terminal.result(image.name.as_str())?;
        Ok(0)
    }
}

async fn open(path: &Path) -> Result<Source, Failure> {
    let failed = |source| Failure::Input { path: path.to_owned(), source };
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::TypedImage);
        }
        // A duplicate, read past std's buffer.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let file = File::from_std(input.into());
        return Ok(Source { reader: Box::pin(file), bytes: None });
    }
    let file = File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    // A pipe with a name has no size to tell.
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Source { reader: Box::pin(file), bytes })
}

/// The whole of a small file.
async fn whole(path: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    tokio::fs::read(path)
        .await
        .map(Some)
        .map_err(|source| Failure::Input { path: path.to_owned(), source })
}

/// The bytes in pieces; an error ends them and is kept in `cut`.
fn chunks(
    reader: Pin<Box<dyn AsyncRead + Send>>,
    cut: Cut,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    futures_util::stream::unfold(reader, move |mut reader| {
        let cut = Arc::clone(&cut);
        async move {
            let mut chunk = Vec::new();
            match reader.as_mut().take(CHUNK).read_to_end(&mut chunk).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(chunk), reader)),
                Err(error) => {
                    let kind = error.kind();
                    *cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Some((Err(kind.into()), reader))
                }
            }
        }
    })
}
