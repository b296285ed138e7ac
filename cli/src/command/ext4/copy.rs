//! `banger ext4 cp`: out of an image. Everything is made in a folder of its own beside the
//! target, and moved to its name when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use banger_proto::{Bytes, Ext4Line};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::image_path::ImagePath;
use super::view::escaped;
use super::worker::{Use, ask, image};
use crate::copy::CopyError;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

/// Names of what was left out that are told one by one.
const NAMED: usize = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
As with banger cp, a folder goes with all that is in it; modes, times and links are kept, and what
is copied is yours. Into a target that is a folder a source goes under its own name. A link that is
named as a source is followed, inside the image; links in a folder stay links. Holes stay holes.

A file that is there is replaced when the new one is whole; a folder that is there is not added to.
Nothing is made but folders, files and links, without their set-uid bits, and nothing outside of the
target, whatever the image says. - as the target is standard output, as of banger ext4 cat.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// Files and folders in it
    #[arg(required = true, value_name = "PATH", value_parser = ImagePath::parser())]
    sources: Vec<ImagePath>,
    /// Where to, on this computer
    target: PathBuf,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let Self { image, sources, target } = self;
        if target == Path::new("-") {
            return super::cat::Arguments::of(image, sources).run(terminal).await;
        }
        if sources.len() > 1 && !target.is_dir() {
            return Err(refused(&target, "several sources need a folder to go into"));
        }
        let mut left_out = Vec::new();
        for source in &sources {
            left_out.extend(one(terminal, &image, source, &target).await?);
        }
        for Bytes(path) in left_out.iter().take(NAMED) {
            let path = escaped(path);
            terminal.note(&format!("left out, being neither file nor folder: {path}"));
        }
        if let Some(more @ 1..) = left_out.len().checked_sub(NAMED) {
            terminal.note(&format!("left out, being neither file nor folder: {more} more"));
        }
        Ok(0)
    }
}

fn refused(target: &Path, reason: &'static str) -> Failure {
    CopyError::Target { path: target.to_owned(), reason }.into()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Made { path: path.clone(), source }
}

/// Copies one source, and gives back what was left out of it.
async fn one(
    terminal: Terminal,
    from: &Path,
    source: &ImagePath,
    target: &Path,
) -> Result<Vec<Bytes>, Failure> {
    let (folder, name) = place(source, target)?;
    let last = folder.join(&name);
    if last.is_dir() && !last.is_symlink() {
        return Err(refused(&last, "there is a folder of this name already"));
    }
    // Whoever else may read the folder meets nothing half-made in it.
    let making = Making(Some(
        tempfile::Builder::new()
            .prefix(".banger-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&folder)
            .map_err(failed(&folder))?,
    ));
    let into = File::open(making.path()).map_err(failed(&folder))?;
    let request = [OsStr::new("cp"), source.as_os_str(), name.as_os_str()];
    let told = ask(terminal, image(from, Use::Read)?, &request, into.into()).await?;
    let Some(Ext4Line::Copied { entries, left_out, .. }) = told else { return Ok(Vec::new()) };
    if entries == 0 {
        return Err(refused(Path::new(source.as_os_str()), "it is neither a file nor a folder"));
    }
    give_name(&making.path().join(&name), &last).map_err(failed(&last))?;
    Ok(left_out)
}

/// The folder on this computer, and the name in it.
fn place(source: &ImagePath, target: &Path) -> Result<(PathBuf, OsString), Failure> {
    if target.is_dir() {
        return match source.name() {
            Some(name) => Ok((target.to_owned(), name.to_owned())),
            None => Err(refused(target, "the root of an image has no name: add one")),
        };
    }
    if target.as_os_str().as_bytes().ends_with(b"/") {
        return Err(refused(target, "there is no such folder"));
    }
    let folder = match target.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => return Err(refused(target, "there is no folder to hold it")),
    };
    if !folder.is_dir() {
        return Err(refused(target, "there is no folder to hold it"));
    }
    let name = target.file_name().ok_or_else(|| refused(target, "it names no file"))?;
    Ok((folder, name.to_owned()))
}

/// Moves what is whole to its name. A folder must find the name free, a file replaces a file.
fn give_name(made: &Path, last: &Path) -> io::Result<()> {
    if !made.is_dir() || made.is_symlink() {
        return fs::rename(made, last);
    }
    // Only a folder that may be written to can be moved into another.
    let permissions = fs::metadata(made)?.permissions();
    fs::set_permissions(made, Permissions::from_mode(0o700))?;
    match renameat_with(CWD, made, CWD, last, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // Where the filesystem cannot promise that, an empty folder makes way.
            rustix::fs::renameat(CWD, made, CWD, last)?;
        }
        renamed => renamed?,
    }
    fs::set_permissions(last, permissions)
}

/// The folder in which things are made; it goes away with what is left in it.
struct Making(Option<TempDir>);

impl Making {
    fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new("."), TempDir::path)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        let path = folder.keep();
        if fs::remove_dir_all(&path).is_err() {
            // A folder that was copied may not be writable for its owner.
            open_up(&path);
            let _stays = fs::remove_dir_all(&path);
        }
    }
}

fn open_up(top: &Path) {
    let mut waiting = vec![top.to_owned()];
    while let Some(folder) = waiting.pop() {
        let _stays = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
}
