//! `--env`, `--env-file` and `--workdir`: what a command finds in the guest.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::ssh::Setting;

/// Largest file of variables, in bytes.
const LARGEST: u64 = 4 << 20;

/// Why a variable cannot be set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoVariable {
    /// No shell can set it.
    #[error("a name is made of letters, digits and _, and does not begin with a digit")]
    Name,
    /// It would end there.
    #[error("its value holds a NUL")]
    Nul,
}

/// What a command finds in the guest.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct InGuest {
    /// Set a variable of the command's environment; NAME alone takes this process's value, if
    /// it has one
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the variables in a file: NAME=VALUE or NAME a line, values as they stand; lines that
    /// begin with # are left out. What --env says wins
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Folder of the guest that the command begins in [default: /root]
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<OsString>,
}

impl InGuest {
    /// The same, with files read and names looked up.
    pub(super) fn setting(&self) -> Result<Setting, Failure> {
        let mut variables = Vec::new();
        for path in &self.env_file {
            let text =
                read(path).map_err(|source| Failure::Input { path: path.clone(), source })?;
            for line in lines(&text) {
                variables.extend(variable(OsStr::from_bytes(line))?);
            }
        }
        for given in &self.env {
            variables.extend(variable(given)?);
        }
        Ok(Setting { variables, folder: self.workdir.clone() })
    }
}

fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it is over 4 MiB"));
    }
    Ok(text)
}

/// The lines that say something.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .map(|line| {
            let blank = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            line.get(blank..).unwrap_or_default()
        })
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// A variable and its value; nothing where this process has none either.
fn variable(given: &OsStr) -> Result<Option<(String, OsString)>, Failure> {
    let bytes = given.as_bytes();
    let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => {
            let (name, value) = bytes.split_at(at);
            (name, Some(OsString::from_vec(value.get(1..).unwrap_or_default().to_vec())))
        }
        None => (bytes, std::env::var_os(given)),
    };
    let failed = |why| Failure::Variable(name.escape_ascii().to_string(), why);
    let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let plain = |byte: &u8| first(byte) || byte.is_ascii_digit();
    if !name.first().is_some_and(first) || !name.iter().all(plain) {
        return Err(failed(NoVariable::Name));
    }
    match value {
        Some(value) if value.as_bytes().contains(&0) => Err(failed(NoVariable::Nul)),
        Some(value) => Ok(Some((String::from_utf8_lossy(name).into_owned(), value))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(env: &[&str], file: &[u8]) -> Result<Vec<(String, OsString)>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("env");
        std::fs::write(&path, file).unwrap();
        let env = env.iter().map(OsString::from).collect();
        let place = InGuest { env, env_file: vec![path], workdir: None };
        place.setting().map(|setting| setting.variables)
    }

    #[test]
    fn values_stand_as_they_are() {
        let file = b"# no\n\n  A=1 # 2 'x' \nB=\r\n\tC=a=b\xff";
        let expected = [("A", &b"1 # 2 'x' "[..]), ("B", b""), ("C", b"a=b\xff"), ("A", b" later")];
        let expected =
            expected.map(|(name, value)| (name.to_owned(), OsString::from_vec(value.to_vec())));
        assert_eq!(setting(&["A= later"], file).unwrap(), expected);
    }

    #[test]
    fn a_name_alone_takes_the_callers_value() {
        let path = std::env::var_os("PATH").unwrap();
        assert_eq!(setting(&["PATH", "SURELY_NOT_SET"], b"").unwrap(), [("PATH".into(), path)]);
    }

    #[test]
    fn what_no_shell_can_set_is_refused() {
        for name in ["1A=x", "=x", "", "a.b=c", "A B=c", "\u{e4}=c"] {
            let refused = setting(&[name], b"");
            assert!(matches!(refused, Err(Failure::Variable(..))), "{name}: {refused:?}");
        }
        assert!(matches!(setting(&[], b"A=\0"), Err(Failure::Variable(_, NoVariable::Nul))));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let place = InGuest { env_file: vec!["/nowhere".into()], ..InGuest::default() };
        assert!(matches!(place.setting(), Err(Failure::Input { .. })));
    }
}
