//! `banger ext4 cat`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncReadExt;

use super::image_path::ImagePath;
use super::worker::{Use, Worker, ask, image};
use crate::failure::{Failure, Outcome};
use crate::terminal::{Plain, Terminal};

/// Bytes that are shown at once.
const PIECE: usize = 64 << 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Links are followed inside the image. On a terminal, control sequences are taken out; into a file or
a pipe the bytes go as they are.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// Files in it
    #[arg(required = true, value_parser = ImagePath::parser())]
    paths: Vec<ImagePath>,
}

impl Arguments {
    /// The same for another command's arguments.
    pub(super) const fn of(image: PathBuf, paths: Vec<ImagePath>) -> Self {
        Self { image, paths }
    }

    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        for path in &self.paths {
            let file = image(&self.image, Use::Read)?;
            let request = [OsStr::new("cat"), path.as_os_str()];
            if terminal.output_is_terminal() {
                let mut worker = Worker::start(terminal, file, &request, Stdio::piped())?;
                show(terminal, &mut worker).await?;
                worker.end().await?;
            } else {
                // The worker writes where this command would.
                let output = io::stdout().as_fd().try_clone_to_owned().map_err(Failure::Output)?;
                ask(terminal, file, &request, output.into()).await?;
            }
        }
        Ok(0)
    }
}

async fn show(terminal: Terminal, worker: &mut Worker) -> Result<(), Failure> {
    let Some(mut output) = worker.output() else { return Ok(()) };
    let mut plain = Plain::default();
    let mut piece = vec![0; PIECE];
    loop {
        let length = output.read(&mut piece).await.map_err(Failure::Output)?;
        if length == 0 {
            return Ok(());
        }
        terminal.raw(plain.next(piece.get(..length).unwrap_or_default()).as_bytes())?;
    }
}
