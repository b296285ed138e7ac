//! `banger ext4 ls`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use banger_proto::{Ext4Entry, Ext4Line};

use super::image_path::ImagePath;
use super::view::{Json, long, shown};
use super::worker::{Use, Worker, image};
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Works on the file alone: nothing is mounted, and no daemon is asked. What a journal holds that was
not written to its place is seen, and the image stays as it is. Names are escaped on a terminal and
left as they are in a pipe; owners are numbers, since whose they are is for the image to say.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// Directory or file in it
    #[arg(default_value = "/", value_parser = ImagePath::parser())]
    path: ImagePath,
    /// With type, mode, names, owner, group, size and time
    #[arg(short, long)]
    long: bool,
    /// Names that begin with a dot, too
    #[arg(short, long)]
    all: bool,
    /// Everything below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// As JSON, for scripts; with all names
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let file = image(&self.image, Use::Read)?;
        let verb = if self.recursive { "ls-recursive" } else { "ls" };
        let request = [OsStr::new(verb), self.path.as_os_str()];
        let mut worker = Worker::start(terminal, file, &request, Stdio::null())?;
        let mut entries = Vec::new();
        while let Some(line) = worker.next().await {
            match line {
                Ext4Line::Entry(entry) if self.json || self.all || !is_hidden(&entry) => {
                    entries.push(*entry);
                }
                _ => {}
            }
        }
        worker.end().await?;
        if self.json {
            terminal.json(&entries.iter().map(Json::from).collect::<Vec<_>>())?;
        } else if self.long {
            terminal.raw(&long(&entries, terminal.output_is_terminal()))?;
        } else {
            let mut text = Vec::new();
            for entry in &entries {
                text.extend(shown(&entry.path.0, terminal.output_is_terminal()));
                text.push(b'\n');
            }
            terminal.raw(&text)?;
        }
        Ok(0)
    }
}

/// Whether a name below what was listed begins with a dot; what was asked for is shown.
fn is_hidden(entry: &Ext4Entry) -> bool {
    let path = entry.path.0.as_slice();
    path.first() != Some(&b'/')
        && path.split(|byte| *byte == b'/').any(|name| name.first() == Some(&b'.'))
}
