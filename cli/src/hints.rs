//! The commands that hints, notes and documents name: each one can be typed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Files whose text reaches users: sources, for what they print, and documents.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "md") {
                found.push(path);
            }
        }
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![top.join("README.md"), top.join("SECURITY.md")];
    for folder in ["cli/src", "daemon/src", "proto/src", "roothelper/src", "docs"] {
        walk(&top.join(folder), &mut found);
    }
    found
}

/// What stands for something else in a command that is shown: `{name}`, `VM`.
fn is_placeholder(word: &str) -> bool {
    let capital = |c: char| c.is_ascii_uppercase();
    word.contains('{') || (word.contains(capital) && word.chars().all(|c| capital(c) || c == '-'))
}

/// The commands that a text names as ones to be typed.
fn commands(text: &str, is_source: bool) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        if is_source {
            // What follows a colon, or begins a string or a span of code.
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            for begin in [": banger ", "; banger ", "\"banger ", "`banger ", ", banger "] {
                let mut rest = line;
                while let Some(at) = rest.find(begin) {
                    rest = &rest[at + begin.len()..];
                    let end = rest.find(['"', '`', ',', ';', ')', '(']).unwrap_or(rest.len());
                    found.push(format!("banger {}", &rest[..end]));
                }
            }
        } else {
            let typed = line.strip_prefix("$ ").filter(|line| line.starts_with("banger "));
            let spans =
                line.split('`').skip(1).step_by(2).filter(|span| span.starts_with("banger "));
            found.extend(typed.into_iter().chain(spans).map(str::to_owned));
        }
    }
    found
}

/// Whether a command could be typed: with something in the place of what it leaves open.
fn is_typeable(command: &str) -> Result<(), String> {
    let command = command.split("  #").next().unwrap_or_default();
    let words: Vec<_> = command
        .split_whitespace()
        .take_while(|word| *word != "&&" && !word.starts_with(['|', '>', '<']))
        .filter(|word| !word.contains("..."))
        .map(|word| word.trim_matches(['[', ']', '\'']).trim_end_matches(['.', '?']))
        .map(|word| word.split(['|', '\\']).next().unwrap_or_default())
        .collect();
    // `banger COMMAND --help` is about any; "banger itself failed" is about banger.
    let spoken = ["itself", "does", "makes", "mac"];
    if words.get(1).is_some_and(|word| is_placeholder(word) || spoken.contains(word)) {
        return Ok(());
    }
    let has_placeholder = words.iter().any(|word| is_placeholder(word));
    let filled_in = |word: &&str| if is_placeholder(word) { "debian" } else { *word }.to_owned();
    let words: Vec<_> = words.iter().map(filled_in).collect();
    // A command that is only spoken of needs no arguments: "`banger rm` discards them".
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
        MissingRequiredArgument, MissingSubcommand, ValueValidation,
    };
    let parsed = crate::arguments::command().try_get_matches_from(words.iter().map(OsString::from));
    match parsed.map_err(|error| (error.kind(), error)) {
        Ok(_)
        | Err((
            DisplayHelp
            | DisplayVersion
            | MissingRequiredArgument
            | MissingSubcommand
            | DisplayHelpOnMissingArgumentOrSubcommand,
            _,
        )) => Ok(()),
        // What is to be put there is of another kind.
        Err((ValueValidation, _)) if has_placeholder => Ok(()),
        Err((_, error)) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[test]
fn every_command_that_is_named_can_be_typed() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files() {
        if path.ends_with(file!()) {
            continue;
        }
        let is_source = path.extension().is_some_and(|e| e == "rs");
        let text = fs::read_to_string(&path).unwrap();
        // What follows is the tests' own.
        let text =
            if is_source { text.split("#[cfg(test)]\nmod tests").next().unwrap() } else { &text };
        for command in commands(text, is_source) {
            count += 1;
            if let Err(error) = is_typeable(&command) {
                wrong.push(format!("{}: `{command}`: {error}", path.display()));
            }
        }
    }
    assert!(count > 25, "only {count} commands were found");
    assert!(wrong.is_empty(), "these cannot be typed:\n{}", wrong.join("\n"));
}

#[test]
fn a_command_that_is_none_is_noticed() {
    assert!(is_typeable("banger vm frobnicate {name}").is_err());
    assert!(is_typeable("banger rm --forse web").is_err());
    assert!(is_typeable("banger rm --force {name}").is_ok());
    assert!(is_typeable("banger run [--rm] [-- CMD...]").is_ok());
    assert_eq!(commands("x(\"stop it: banger stop {name}\")", true), ["banger stop {name}"]);
}
