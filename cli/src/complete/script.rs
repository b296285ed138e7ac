//! The scripts that make a shell ask.

use std::io;

use clap_complete::env::Shells;

use super::VARIABLE;

/// A shell that can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// What a folder of functions loads as `_banger` is run for the first completion too, and not
/// only to define a function for the next.
const AUTOLOADED: &str = "\
if [ \"${funcstack[1]}\" = \"_banger\" ]; then
    _clap_dynamic_completer_banger \"$@\"
fi
";

/// The script that `shell` reads, once a session or from its folder of completions.
///
/// # Errors
/// When the library has none.
pub(crate) fn script(shell: Shell) -> io::Result<String> {
    let mut text = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(shell.name()).ok_or(io::ErrorKind::Unsupported)?;
    completer.write_registration(VARIABLE, "banger", "banger", "banger", &mut text)?;
    let mut text = String::from_utf8(text).map_err(io::Error::other)?.trim().to_owned() + "\n";
    if shell == Shell::Zsh {
        text.push_str(AUTOLOADED);
    }
    Ok(text)
}
