//! The same commands on a real terminal, as `script` makes one: what its screen shows in the
//! end, and what goes over it until then.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, Ran};

/// A terminal of this size.
#[derive(Debug, Clone, Copy)]
struct Size {
    columns: u16,
    rows: u16,
}

const WIDE: Size = Size { columns: 80, rows: 24 };
const NARROW: Size = Size { columns: 40, rows: 20 };

/// What went over a terminal.
struct Session {
    raw: String,
    screen: String,
    cursor_column: u16,
    code: Option<i32>,
}

/// What happens on the terminal beside the command.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Nothing,
    /// `^C` is typed after so long.
    Interrupt(Duration),
    /// The window gets so many columns after about a second.
    Resize(u16),
}

fn quoted(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

/// Runs `banger` on a terminal.
fn session(
    place: &Place,
    size: Size,
    variables: &[(&str, &str)],
    arguments: &[&str],
    meanwhile: Meanwhile,
) -> Session {
    let banger = place.banger(arguments);
    let resize = match meanwhile {
        Meanwhile::Resize(columns) => format!("(sleep 1; stty cols {columns}) & "),
        _ => String::new(),
    };
    let Size { columns, rows } = size;
    let line = format!("stty cols {columns} rows {rows}; {resize}{}", quoted(&banger));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env_clear()
        .envs(banger.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("SHELL", "/bin/sh")])
        .envs(variables.iter().copied())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    if let Meanwhile::Interrupt(after) = meanwhile {
        std::thread::sleep(after);
        keys.write_all(b"\x03").unwrap();
    }
    // Its end would be ^D, typed before the command has read it.
    let output = std::thread::spawn(move || child.wait_with_output().unwrap()).join().unwrap();
    drop(keys);
    let mut parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
    parser.process(&output.stdout);
    Session {
        raw: String::from_utf8(output.stdout).unwrap(),
        screen: parser.screen().contents().trim_end().to_owned(),
        cursor_column: parser.screen().cursor_position().1,
        code: output.status.code(),
    }
}

/// What was drawn at the bottom, one after the other.
fn frames(raw: &str) -> Vec<&str> {
    raw.split('\r')
        .filter_map(|frame| frame.strip_suffix("\x1b[K"))
        .filter(|f| !f.is_empty())
        .collect()
}

#[test]
fn a_slow_start_shows_what_it_does_and_keeps_what_helps() {
    let place = Place::new(&["slow"]);
    let shown = session(&place, WIDE, &[], &["start", "web"], Meanwhile::Nothing);
    assert_eq!(shown.code, Some(0), "{}", shown.screen);
    insta::assert_snapshot!(shown.screen, @r"
    ✓ prepare_rootfs_overlay  1.8 s
    no KVM here: software emulation
    ✓ boot_guest  900 ms
    web is up: banger ssh web
    ");
    assert_eq!(shown.cursor_column, 0, "the shell goes on at the begin of a line");
    let frames = frames(&shown.raw);
    assert!(frames.len() > 8, "{frames:?}");
    let last_of_copy = frames.iter().rfind(|frame| frame.contains("prepare_rootfs")).unwrap();
    for part in ["1 s", " of 640 MiB", "MiB/s", "s left"] {
        assert!(last_of_copy.contains(part), "{part} in {last_of_copy}");
    }
    assert!(frames.iter().any(|frame| frame.contains("boot_guest")), "{frames:?}");
    assert!(!shown.raw.contains("patch_rootfs"), "what is quick does not flicker: {}", shown.raw);
}

#[test]
fn what_is_quick_draws_nothing() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let shown = session(&place, WIDE, &[], &["rm", "web"], Meanwhile::Nothing);
    assert_eq!((shown.raw.as_str(), shown.code), ("", Some(0)));
}

#[test]
fn narrow_windows_and_ones_that_change_keep_to_one_line() {
    let place = Place::new(&["slow"]);
    let shown = session(&place, NARROW, &[], &["start", "web"], Meanwhile::Nothing);
    for frame in frames(&shown.raw) {
        assert!(frame.chars().count() < 40, "{frame:?}");
    }
    insta::assert_snapshot!(shown.screen, @r"
    ✓ prepare_rootfs_overlay  1.8 s
    no KVM here: software emulation
    ✓ boot_guest  900 ms
    web is up: banger ssh web
    ");
    let shown = session(&place, WIDE, &[], &["start", "web"], Meanwhile::Resize(30));
    let frames = frames(&shown.raw);
    assert!(frames.iter().any(|frame| frame.chars().count() > 40), "{frames:?}");
    assert!(frames.last().unwrap().chars().count() < 30, "{frames:?}");
    let after = frames.iter().rposition(|frame| frame.chars().count() >= 30).unwrap();
    assert!(after < frames.len() - 5, "it kept on drawing too wide: {frames:?}");
}

#[test]
fn ctrl_c_leaves_a_clean_terminal() {
    let place = Place::new(&["start hangs"]);
    let shown = session(
        &place,
        WIDE,
        &[],
        &["start", "web"],
        Meanwhile::Interrupt(Duration::from_millis(1_500)),
    );
    assert_eq!(shown.code, Some(130), "{}", shown.screen);
    assert!(!frames(&shown.raw).is_empty());
    assert_eq!(
        shown.screen.trim(),
        "the start goes on: `banger ls` shows it, `banger stop` breaks it off"
    );
    assert_eq!(shown.cursor_column, 0);
    assert!(!shown.raw.contains("\x1b[?"), "no mode of the terminal was changed");
}

#[test]
fn a_failure_takes_the_live_line_away() {
    let place = Place::new(&["start fails"]);
    let shown = session(&place, NARROW, &[], &["start", "web"], Meanwhile::Nothing);
    assert_eq!(shown.code, Some(1));
    assert!(shown.screen.contains("error: cannot start calm-otter"), "{}", shown.screen);
    assert!(shown.raw.contains("\x1b[1m\x1b[31merror:"), "{:?}", shown.raw);
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let place = Place::new(&["start fails"]);
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = session(&place, WIDE, &[variable], &["start", "web"], Meanwhile::Nothing);
        assert!(!shown.raw.contains('\x1b'), "{variable:?}: {:?}", shown.raw);
    }
}

#[test]
fn a_dumb_terminal_gets_plain_lines_and_a_plain_locale_plain_characters() {
    let place = Place::new(&["slow"]);
    let dumb = [("TERM", "dumb")];
    let shown = session(&place, WIDE, &dumb, &["start", "web"], Meanwhile::Nothing);
    assert!(!shown.raw.contains('\x1b') && !shown.raw.replace("\r\n", "").contains('\r'));
    assert!(shown.screen.starts_with("prepare_rootfs_overlay  1.8 s\n"), "{}", shown.screen);
    let plain = [("LC_ALL", "C")];
    let shown = session(&place, WIDE, &plain, &["start", "web"], Meanwhile::Nothing);
    assert!(shown.raw.is_ascii(), "{}", shown.raw);
    assert!(shown.screen.starts_with("+ prepare_rootfs_overlay"), "{}", shown.screen);
}

#[test]
fn a_pipe_gets_plain_lines_one_a_stage_that_is_not_quick() {
    let place = Place::new(&["slow"]);
    let begun = Instant::now();
    let ran = place.run(&["start", "web"]);
    assert!(begun.elapsed() > Duration::from_secs(2));
    insta::assert_snapshot!(ran.err, @r"
    prepare_rootfs_overlay  1.8 s
    no KVM here: software emulation
    boot_guest  900 ms
    web is up: banger ssh web
    ");
    let ran = place.run(&["start", "--quiet", "web"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

#[test]
fn colours_can_be_forced_into_a_pipe() {
    let place = Place::new(&["start fails"]);
    let output = place.banger(&["start", "web"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(Ran::from(output).err.contains("\x1b[31merror:"));
}

#[test]
fn names_in_an_image_do_not_steer_the_terminal() {
    let place = Place::new(&[]);
    for flags in [&[][..], &["-l"]] {
        let line = [&["ext4", "ls", "/dev/null"], flags].concat();
        let shown = session(&place, WIDE, &[], &line, Meanwhile::Nothing);
        assert_eq!(shown.code, Some(0), "{}", shown.screen);
        assert!(!shown.raw.contains("\x1b[31m"), "{:?}", shown.raw);
        assert!(shown.screen.contains("\\xff\\u{1b}[31m"), "{}", shown.screen);
    }
}
