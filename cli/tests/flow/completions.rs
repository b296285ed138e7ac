//! Completion in real shells, with a daemon and without.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::place::{Place, Ran};

/// Runs a shell in the place, where `banger` is on the path.
fn shell(place: &Place, arguments: &[&str]) -> Ran {
    let mut command = place.shell();
    command.args(arguments).env("TERM", "dumb").stdin(Stdio::null());
    command.output().unwrap().into()
}

/// What bash offers for the last of these words.
fn bash(place: &Place, words: &[&str]) -> Vec<String> {
    let quoted = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let last = words.len() - 1;
    let script = format!(
        "source <(banger completions bash); COMP_WORDS=({quoted}); COMP_CWORD={last}; COMP_TYPE=9; \
         _clap_complete_banger banger '{}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words[last]
    );
    let ran = shell(place, &["bash", "--norc", "-c", &script]);
    assert_eq!(ran.err, "", "{words:?}");
    ran.out.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_flags_and_names() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let commands = bash(&place, &["banger", "st"]);
    assert!(
        commands.contains(&"start".into()) && commands.contains(&"stop".into()),
        "{commands:?}"
    );
    assert!(bash(&place, &["banger", "ls", "--js"]).contains(&"--json".into()));
    assert_eq!(bash(&place, &["banger", "ssh", ""])[..2], ["web", "db"]);
    assert_eq!(bash(&place, &["banger", "vm", "rm", "--force", "web", "d"]), ["db"]);
    assert_eq!(bash(&place, &["banger", "run", "--image", "de"]), ["debian"]);
    assert_eq!(bash(&place, &["banger", "image", "rm", "t"]), ["tools"]);
    assert_eq!(bash(&place, &["banger", "image", "build", "de"]), [""; 0], "a new name is new");
    assert_eq!(bash(&place, &["banger", "cp", "we"]), ["web:"]);
    assert!(bash(&place, &["banger", "cp", "/et"]).contains(&"/etc/".into()));
    assert_eq!(bash(&place, &["banger", "sync", "/etc", "d"]), ["db"]);
    let folders = bash(&place, &["banger", "run", "-v", "/etc/ss"]);
    assert!(folders.contains(&"/etc/ssl/".into()), "{folders:?}");
    assert_eq!(bash(&place, &["banger", "wait", "web", "--for", "s"]), ["stopped", "ssh"]);
}

#[test]
fn completing_starts_no_daemon_makes_nothing_and_says_nothing() {
    let place = Place::new(&["does not start"]);
    for words in
        [&["banger", "ssh", "w"][..], &["banger", "image", "rm", "d"], &["banger", "nonsense", "x"]]
    {
        assert_eq!(bash(&place, words), [""; 0], "{words:?}");
    }
    assert_eq!(place.calls(), [""; 0]);
    let left: Vec<_> =
        fs::read_dir(place.home()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["scenario"]);
}

#[test]
fn a_key_is_answered_at_once() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let ask = || {
        let begun = Instant::now();
        let mut command = place.banger(&["--", "banger", "ssh", ""]);
        command.env("BANGER_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
        let ran = Ran::from(command.output().unwrap());
        assert!(ran.out.starts_with("web"), "{ran:?}");
        begun.elapsed()
    };
    // Others use the machine too: the fastest of several is what it takes.
    let fastest = (0..10).map(|_| ask()).min().unwrap();
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 150 } else { 50 });
    assert!(fastest < bound, "{fastest:?}");
}

#[test]
fn fish_offers_names_with_what_they_are() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let script = "banger completions fish | source; complete -C 'banger ssh '";
    let ran = shell(&place, &["fish", "--no-config", "-c", script]);
    assert!(ran.out.starts_with("web\trunning\ndb\trunning\n"), "{ran:?}");
}

/// zsh completes on a terminal only: one of its own, in which a key is pressed.
#[test]
fn zsh_offers_names_from_a_folder_of_functions() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let script = r#"
        mkdir -p $HOME/functions && banger completions zsh >$HOME/functions/_banger
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell 'PS1=; fpath=($HOME/functions $fpath); autoload -Uz compinit; compinit -u -d $HOME/dump; print read""y'
        zpty -r shell line '*ready*'
        zpty -n -w shell $'banger image inspect to\t'
        sleep 1
        zpty -n -w shell $'\n'
        zpty -r shell line '*tools*' && print -r -- "$line"
    "#;
    let ran = shell(&place, &["timeout", "20", "zsh", "-f", "-c", script]);
    assert!(ran.out.contains("tools"), "{ran:?}");
}

#[test]
fn the_scripts_are_what_the_shells_can_read() {
    let place = Place::new(&[]);
    for (name, check) in [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        let script = format!("banger completions {name} >$HOME/script && {check} $HOME/script");
        let ran = shell(&place, &["sh", "-c", &script]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{name}");
    }
}
