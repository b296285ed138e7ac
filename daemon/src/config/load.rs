//! Which files there are, and what all of them say together.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_proto::paths::Paths;

use super::problem::{ConfigError, Problem};
use super::settings::Settings;
use super::{file, list};

/// The root helper's file, which lies beside the administrator's and has keys of its own.
const HELPERS: &str = "roothelper.toml";

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What the files say, as far as they can be used, and what is wrong with them.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What is right.
    pub settings: Settings,
    /// What is not.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// The settings, when nothing is wrong.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn whole(self) -> Result<Settings, ConfigError> {
        if self.problems.is_empty() {
            Ok(self.settings)
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }
}

/// The owner's own file.
fn own(paths: &Paths) -> PathBuf {
    paths.config.join("config.toml")
}

/// The list of folders of programs.
fn programs(paths: &Paths) -> PathBuf {
    paths.config.join("programs")
}

/// The administrator's files by name; a folder that is not there holds none.
fn system(paths: &Paths) -> Result<Vec<PathBuf>, Problem> {
    let folder = &paths.system_config;
    let failed = |error: io::Error| Problem::file(folder, format!("it cannot be listed: {error}"));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // What begins with a dot is an editor's.
        let ours = path
            .file_name()
            .is_some_and(|name| name != HELPERS && !name.as_encoded_bytes().starts_with(b"."));
        if ours && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The files that count, in the order in which they are read: a later one counts more.
/// The last two need not be there.
#[must_use]
pub fn files(paths: &Paths) -> Vec<PathBuf> {
    let mut files = system(paths).unwrap_or_default();
    files.extend([own(paths), programs(paths)]);
    files
}

/// The text of a file, `None` when there is none.
fn text(path: &Path) -> Result<Option<String>, Problem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Problem::file(path, "it is not UTF-8"),
        _ => Problem::file(path, format!("it cannot be read: {error}")),
    };
    // Looked at before it is opened: a pipe would wait for somebody to write.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to nothing is a mistake and no absence.
            return match fs::symlink_metadata(path) {
                Ok(_) => Err(Problem::file(path, "it is a link to a file that is not there")),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(Problem::file(path, "it is no regular file"));
        }
        Ok(metadata) if metadata.len() > LARGEST => {
            return Err(Problem::file(path, "it is larger than 1 MiB: this is no configuration"));
        }
        Ok(_) => {}
    }
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
        .map_err(failed)?;
    Ok(Some(text))
}

/// Reads all files.
#[must_use]
pub fn load(paths: &Paths) -> Loaded {
    let mut loaded = Loaded::default();
    let Loaded { settings, problems } = &mut loaded;
    let mut tomls = match system(paths) {
        Ok(files) => files,
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    };
    tomls.push(own(paths));
    for path in tomls {
        match text(&path) {
            Ok(Some(text)) => problems.extend(file::read(&path, &text, settings)),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let path = programs(paths);
    match text(&path) {
        Ok(Some(text)) => {
            let (folders, wrong) = list::programs(&path, &text);
            settings.programs = folders;
            problems.extend(wrong);
        }
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    loaded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(base: &Path) -> Paths {
        let paths = Paths::from_environment(|name| match name {
            "HOME" => Some(base.into()),
            Paths::SYSTEM_CONFIG => Some(base.join("etc").into()),
            _ => None,
        })
        .unwrap();
        fs::create_dir_all(&paths.config).unwrap();
        fs::create_dir_all(&paths.system_config).unwrap();
        paths
    }

    #[test]
    fn the_owner_counts_more_than_the_administrator_and_later_names_more_than_earlier() {
        let base = tempfile::tempdir().unwrap();
        let paths = paths(base.path());
        let write = |path: PathBuf, text: &str| fs::write(path, text).unwrap();
        write(paths.system_config.join("20.toml"), "[vm]\ncpus = 2\nmemory = 200\n");
        write(paths.system_config.join("10.toml"), "[vm]\ncpus = 1\nmemory = 100\ndisk = 10\n");
        write(paths.system_config.join("notes.txt"), "none of ours");
        write(paths.system_config.join(".20.toml.swp"), "none of ours");
        write(paths.system_config.join("roothelper.toml"), "[quota]\nvms = 2\n");
        write(paths.config.join("config.toml"), "[vm]\ncpus = 3\n");
        let settings = load(&paths).whole().unwrap();
        assert_eq!(settings.cpus().get(), 3);
        assert_eq!((settings.memory().get(), settings.disk().get()), (200, 10));
        let names: Vec<_> =
            files(&paths).iter().map(|f| f.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["10.toml", "20.toml", "config.toml", "programs"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let base = tempfile::tempdir().unwrap();
        let paths = paths(base.path());
        assert_eq!(load(&paths).whole().unwrap(), Settings::default());
        fs::write(paths.system_config.join("a.toml"), b"\xff").unwrap();
        fs::create_dir(paths.system_config.join("b.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", paths.system_config.join("c.toml")).unwrap();
        let large = vec![b'#'; 2 << 20];
        fs::write(paths.config.join("config.toml"), large).unwrap();
        fs::write(paths.config.join("programs"), "bin\n").unwrap();
        let problems = load(&paths).whole().unwrap_err().problems;
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.path.file_name().unwrap().to_str().unwrap(), &*problem.text))
            .collect();
        assert_eq!(
            told,
            [
                ("a.toml", "it is not UTF-8"),
                ("b.toml", "it is no regular file"),
                ("c.toml", "it is a link to a file that is not there"),
                ("config.toml", "it is larger than 1 MiB: this is no configuration"),
                ("programs", "bin is no absolute path: name a folder from / on"),
            ]
        );
    }
}
