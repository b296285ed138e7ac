//! The guest's sshd: our settings before all others, and host keys of this VM alone.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::plan::{Capability, Contribution, GuestSpec};

/// sshd in the guest.
pub(super) struct Ssh;

/// The drop-in's name; sshd reads the folder in the order of names.
const DROP_IN: &str = "00-banger.conf";

/// sshd takes the first value it meets. Only a key opens the guest's root; the file
/// with that key is named, whatever the image says. StrictModes stays on.
const SETTINGS: &str = "PermitRootLogin prohibit-password\n\
    PubkeyAuthentication yes\n\
    PasswordAuthentication no\n\
    KbdInteractiveAuthentication no\n\
    AuthorizedKeysFile /root/.ssh/authorized_keys\n";

impl Capability for Ssh {
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        let mut files =
            vec![GuestFile::text(&format!("/etc/ssh/sshd_config.d/{DROP_IN}"), SETTINGS)];
        if let Some(main) = &image.sshd_config
            && let Some(line) = missing_include(main, &image.sshd_drop_ins)
        {
            let mut text = line.into_bytes();
            text.extend_from_slice(main);
            files.push(GuestFile::text("/etc/ssh/sshd_config", text));
        }
        // Keys that came with the image are the same in all its VMs.
        let ours: Vec<_> = spec
            .host_keys
            .iter()
            .flat_map(|k| [k.file.clone(), format!("{}.pub", k.file)])
            .collect();
        files.extend(
            image
                .host_key_files
                .iter()
                .filter(|name| !ours.contains(name))
                .map(|name| GuestFile::absent(&format!("/etc/ssh/{name}"))),
        );
        for key in &spec.host_keys {
            let path = format!("/etc/ssh/{}", key.file);
            files.push(GuestFile::secret(&path, key.private.as_bytes()));
            files.push(GuestFile::text(&format!("{path}.pub"), format!("{}\n", key.public)));
        }
        Contribution { files, mounts: Vec::new() }
    }
}

/// A directive's keyword and arguments; sshd takes any case, `=` and quotes.
fn directive(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    let arguments = rest
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .map(|word| word.trim_matches('"').to_owned())
        .collect();
    Some((keyword.to_ascii_lowercase(), arguments))
}

/// The line that must be put at the top of the main file so that our drop-in is
/// read before every other setting; `None` when it is already.
fn missing_include(main: &[u8], drop_ins: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(main);
    let of_folder = |path: &String| {
        let path = path.strip_prefix("/etc/ssh/").unwrap_or(path);
        ["sshd_config.d/*.conf", "sshd_config.d/*"].contains(&path)
    };
    let ours = |path: &String| {
        path.strip_prefix("/etc/ssh/").unwrap_or(path) == format!("sshd_config.d/{DROP_IN}")
    };
    let mut first = true;
    for (keyword, arguments) in text.lines().filter_map(directive) {
        if keyword == "match" {
            // What is included from here on holds for some logins only.
            break;
        }
        if keyword == "include" && arguments.iter().any(ours) && first {
            return None;
        }
        if keyword == "include" && arguments.iter().any(of_folder) {
            // Something before the folder, or before us in it, would win over us.
            let before_us = drop_ins.iter().any(|name| {
                name.as_str() < DROP_IN
                    && std::path::Path::new(name).extension().is_some_and(|e| e == "conf")
            });
            return (!first || before_us)
                .then(|| format!("Include /etc/ssh/sshd_config.d/{DROP_IN}\n"));
        }
        first = false;
    }
    Some("Include /etc/ssh/sshd_config.d/*.conf\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(main: &str, drop_ins: &[&str]) -> Option<String> {
        let drop_ins: Vec<_> = drop_ins.iter().map(|s| (*s).to_owned()).collect();
        missing_include(main.as_bytes(), &drop_ins)
    }

    const FOLDER: &str = "Include /etc/ssh/sshd_config.d/*.conf\n";
    const US: &str = "Include /etc/ssh/sshd_config.d/00-banger.conf\n";

    #[test]
    fn an_include_at_the_top_is_enough() {
        assert_eq!(added(&format!("# comment\n\n{FOLDER}PermitRootLogin no\n"), &[]), None);
        assert_eq!(added("INCLUDE=\"sshd_config.d/*.conf\"\n", &["50-cloud-init.conf"]), None);
    }

    #[test]
    fn a_missing_include_is_added() {
        let added_line = Some(FOLDER.to_owned());
        assert_eq!(added("", &[]), added_line);
        assert_eq!(added("PermitRootLogin no\n", &[]), added_line);
        assert_eq!(added(&format!("#{FOLDER}"), &[]), added_line);
        assert_eq!(added(&format!("Match User x\n{FOLDER}"), &[]), added_line);
        assert_eq!(added("Include /etc/ssh/other.d/*.conf\n", &[]), added_line);
    }

    #[test]
    fn what_would_win_over_us_comes_after_us() {
        let added_line = Some(US.to_owned());
        assert_eq!(added(&format!("PermitRootLogin no\n{FOLDER}"), &[]), added_line);
        assert_eq!(added(FOLDER, &["00-a.conf"]), added_line);
        assert_eq!(added(FOLDER, &["00-a.txt"]), None);
    }

    #[test]
    fn a_main_file_that_was_patched_is_not_patched_again() {
        for (main, drop_ins) in [
            ("PermitRootLogin no\n", &[][..]),
            (&format!("PermitRootLogin no\n{FOLDER}"), &[]),
            (FOLDER, &["00-a.conf"]),
        ] {
            let patched = format!("{}{main}", added(main, drop_ins).unwrap());
            assert_eq!(added(&patched, drop_ins), None, "{patched}");
        }
    }
}
