//! The names for this host: a file of the user's that banger's module of the name service reads.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Names;

/// The file.
#[derive(Debug)]
pub(super) struct HostFile {
    /// The folder that systemd makes for this user, and nobody else can write to.
    runtime: PathBuf,
    /// What the file says, as far as we know.
    said: Option<Names>,
}

impl HostFile {
    /// This user's. It is where the module looks: whatever `XDG_RUNTIME_DIR` says.
    pub(super) fn of_this_user() -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self::below(PathBuf::from(format!("/run/user/{uid}")))
    }

    fn below(runtime: PathBuf) -> Self {
        Self { runtime, said: None }
    }

    /// Has the file say these names, as a whole or not at all. Where the user has no such
    /// folder, which comes with a session, there is no file.
    ///
    /// # Errors
    /// What the operating system says; the file is as it was.
    pub(super) fn say(&mut self, names: &Names) -> io::Result<()> {
        let file = self.runtime.join("banger/hosts");
        if self.said.as_ref() == Some(names) && (file.exists() || names.is_empty()) {
            return Ok(());
        }
        self.said = None;
        match fs::metadata(&self.runtime) {
            Ok(folder) if folder.uid() == rustix::process::getuid().as_raw() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        write(&file, names)?;
        self.said = Some(names.clone());
        Ok(())
    }
}

fn write(file: &Path, names: &Names) -> io::Result<()> {
    if names.is_empty() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut text =
        String::from("# Written by bangerd: VMs that run on the bridge. See nss_banger.\n");
    for (name, address) in names {
        // Writing to a text does not fail.
        let _done = writeln!(text, "{address} {name}");
    }
    let mut new = tempfile::Builder::new().prefix(".hosts-").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_file_says_who_runs_and_goes_with_the_last() {
        let runtime = tempfile::tempdir().unwrap();
        let file = runtime.path().join("banger/hosts");
        let mut host = HostFile::below(runtime.path().to_owned());
        let web: Names = [("web".parse().unwrap(), Ipv4Addr::new(172, 16, 0, 9))].into();
        host.say(&Names::new()).unwrap();
        assert!(!file.exists());
        host.say(&web).unwrap();
        let said = fs::read_to_string(&file).unwrap();
        assert!(said.starts_with("# ") && said.ends_with("\n172.16.0.9 web\n"), "{said}");
        // As when the last session ended and another began.
        fs::remove_file(&file).unwrap();
        host.say(&web).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), said);
        host.say(&Names::new()).unwrap();
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0);

        let mut nowhere = HostFile::below(runtime.path().join("none"));
        nowhere.say(&web).unwrap();
        assert!(!runtime.path().join("none").exists());
    }
}
