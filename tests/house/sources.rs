//! How source files are kept: their length, their first line, where unsafe may stand.

use std::fs;
use std::path::{Path, PathBuf};

use banger_tests::repository;

/// Lines at which a source file must be split.
const LONGEST: usize = 600;

/// Files that truly need more lines or unsafe code, each with its reason.
const LONG_BY_NATURE: &[(&str, &str)] = &[];
/// Folders and files in which unsafe code may stand: system calls that no crate has, functions that C calls, and
/// in guests a program without any library: its system calls, and where the kernel enters it.
const UNSAFE_ADDRESSES: &[&str] = &[
    "roothelper/src/kernel/",
    "nss/src/service.rs",
    "unotify/src/lib.rs",
    "guest/src/system.rs",
    "guest/src/main.rs",
];

pub(crate) fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&repository(), &mut found);
    assert!(found.len() > 5, "the walk found the sources");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long: Vec<_> = sources()
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).unwrap().lines().count()))
        .filter(|(name, lines)| {
            *lines > LONGEST && !LONG_BY_NATURE.iter().any(|(listed, _)| listed == name)
        })
        .collect();
    assert!(long.is_empty(), "split these (at most {LONGEST} lines): {long:?}");
}

#[test]
fn every_source_file_says_first_what_it_is_for() {
    let silent: Vec<_> = sources()
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            !text.lines().next().unwrap_or_default().starts_with("//! ")
        })
        .map(|path| relative(path))
        .collect();
    assert!(silent.is_empty(), "these do not begin with `//! ...`: {silent:?}");
}

#[test]
fn unsafe_code_has_its_addresses() {
    // Spelled in two parts, so that this file does not find itself.
    let keyword = concat!("un", "safe");
    let forms = [
        format!("{keyword} {{"),
        format!("{keyword} fn"),
        format!("{keyword} impl"),
        format!("allow({keyword}_code"),
        format!("expect({keyword}_code"),
    ];
    let outside: Vec<_> = sources()
        .iter()
        .filter(|path| {
            let name = relative(path);
            !UNSAFE_ADDRESSES.iter().any(|address| name.starts_with(address))
        })
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                forms.iter().any(|form| code.contains(form.as_str()))
            })
        })
        .map(|path| relative(path))
        .collect();
    assert!(outside.is_empty(), "{keyword} code outside {UNSAFE_ADDRESSES:?}: {outside:?}");
}

#[test]
fn every_other_crate_forbids_it() {
    let rule = concat!("#![forbid(un", "safe_code)]");
    let mut roots = 0;
    for folder in ["proto", "ext4", "daemon", "cli"] {
        for file in ["lib.rs", "main.rs"] {
            let path = repository().join(folder).join("src").join(file);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            assert!(text.lines().any(|line| line == rule), "{} lacks {rule}", relative(&path));
            roots += 1;
        }
    }
    assert!(roots > 4, "the crates' first files were found");
}
