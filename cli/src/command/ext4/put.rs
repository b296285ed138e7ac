//! `banger ext4 put`: into an image, as one batch.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use banger_proto::Ext4Line;
use rustix::fs::{Mode, OFlags, open};

use super::image_path::ImagePath;
use super::worker::{Use, ask, image};
use crate::copy::place::{base, means_content};
use crate::failure::{Failure, Outcome};
use crate::terminal::{Terminal, bytes};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
All of it is written as one transaction of the filesystem's journal: after a crash or a power cut at
any moment the image holds all of it or nothing. Without a journal, of which put tells, it may hold
a part: e2fsck -p repairs that mostly, e2fsck -y where -p refuses, and nothing else is lost.

What is put there is root's, with the modes, times and links that it has. Into a PATH that is a
directory the source goes under its own name; SOURCE/. means what is in the folder. A folder is
added to one of its name that is there; everything else in the place of an entry makes way, and a
link in the last place is replaced and not followed. A source that is a link is followed.

Refused are images that a VM or another program uses or that are attached to a loop device, and
devices.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// File or folder to put there; - for standard input
    source: PathBuf,
    /// Where to in the image
    #[arg(value_parser = ImagePath::parser())]
    path: ImagePath,
    /// Mode of a single file, in octal [default: its own, 0644 for standard input]
    #[arg(short, long, value_parser = mode)]
    mode: Option<u16>,
    /// Owner and group, as numbers
    #[arg(short, long, value_name = "UID[:GID]", default_value = "0:0", value_parser = owner)]
    owner: (u32, u32),
}

fn mode(text: &str) -> Result<u16, &'static str> {
    let octal = text.bytes().all(|byte| byte.is_ascii_digit());
    match u16::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o7777 => Ok(mode),
        _ => Err("a mode is up to four octal digits, as in 0644"),
    }
}

fn owner(text: &str) -> Result<(u32, u32), &'static str> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (number(uid), number(gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err("owners are numbers, as in 0:0: whose names they are is for the image to say"),
    }
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let image = image(&self.image, Use::Change)?;
        let (source, name, from_input) = source(&self.source, terminal)?;
        let mode = self.mode.or(from_input.then_some(0o644));
        let mode = mode.map_or_else(|| "-".to_owned(), |mode| format!("{mode:o}"));
        let (uid, gid) = (self.owner.0.to_string(), self.owner.1.to_string());
        let words: [&OsStr; 6] = [
            OsStr::new("put"),
            self.path.as_os_str(),
            &name,
            uid.as_ref(),
            gid.as_ref(),
            mode.as_ref(),
        ];
        let told = ask(terminal, image, &words, source.into()).await?;
        if let Some(Ext4Line::Written { entries, bytes: count, atomic }) = told {
            let entries =
                if entries == 1 { "1 entry".into() } else { format!("{entries} entries") };
            terminal.note(&format!("put there: {entries}, {}", bytes(count)));
            if !atomic {
                terminal.note(
                    "the filesystem has no journal: a crash meanwhile would have left a part, and \
                     work for e2fsck",
                );
            }
        }
        Ok(0)
    }
}

/// The source, the name it has in a directory, and whether it is standard input.
fn source(path: &Path, terminal: Terminal) -> Result<(File, OsString, bool), Failure> {
    let failed = |source| Failure::Input { path: path.to_owned(), source };
    if path == Path::new("-") {
        if terminal.input_is_terminal() {
            return Err(Failure::TypedFile);
        }
        // Its length must be known before it is written: a batch is planned as a whole.
        let mut content = tempfile::tempfile().map_err(failed)?;
        io::copy(&mut io::stdin().lock(), &mut content).map_err(failed)?;
        content.rewind().map_err(failed)?;
        return Ok((content, OsString::new(), true));
    }
    let given = path.as_os_str().as_bytes();
    let name = if means_content(given) { OsStr::new("") } else { OsStr::from_bytes(base(given)) };
    // Should it be a pipe, nobody waits for its other end; the worker says that it is none.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    Ok((file.into(), name.to_owned(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_owners_are_numbers() {
        assert_eq!(mode("0644"), Ok(0o644));
        assert_eq!(mode("4755"), Ok(0o4755));
        for bad in ["", "8", "10000", "+644", "rw"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
        assert_eq!(owner("5"), Ok((5, 5)));
        assert_eq!(owner("5:7"), Ok((5, 7)));
        for bad in ["", "root", "1:", ":1", "-1", "4294967295", "1:2:3"] {
            assert!(owner(bad).is_err(), "{bad}");
        }
    }
}
