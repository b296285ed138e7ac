//! The lines of shell that run in a guest at the other end of a copy: POSIX, with programs that
//! busybox and coreutils both have.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use crate::ssh::word;

/// A line that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<u8>);

impl Line {
    /// Adds text of ours.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a word that means `value` and nothing else.
    pub(crate) fn word(mut self, value: &OsStr) -> Self {
        word(value, &mut self.0);
        self
    }

    /// The line.
    pub(crate) fn end(self) -> OsString {
        OsString::from_vec(self.0)
    }
}

/// Says what is wrong and ends.
const FAIL: &str = "fail() { echo \"$1\" >&2; exit 1; }; ";
const NEEDS_TAR: &str = "command -v tar >/dev/null || fail 'the guest has no tar: install it there, \
                         or copy single files'; ";

/// A tar of `base` in `folder`, to standard output. `base` is `.` where content is meant.
pub(crate) fn send_tar(folder: &OsStr, base: &OsStr) -> OsString {
    Line::default()
        .text(FAIL)
        .text("cd -- ")
        .word(folder)
        .text(" || exit; b=./")
        .word(base)
        .text(
            "; if [ ! -e \"$b\" ]; then [ -L \"$b\" ] && fail 'it is a link that leads nowhere'; ",
        )
        .text("fail 'there is no such file or folder'; fi; ")
        .text(NEEDS_TAR)
        // A link that was named is followed. Those in a folder are kept, of which `h` knows nothing.
        .text("if [ -L \"$b\" ]; then [ -d \"$b\" ] || exec tar -chf - \"$b\"; b=$b/.; fi; ")
        .text("exec tar -cf - \"$b\"")
        .end()
}

/// One file to standard output.
pub(crate) fn send_file(path: &OsStr) -> OsString {
    Line::default().text("exec cat -- ").word(path).end()
}

/// Takes a tar whose members are below `.` from standard input, and makes of it `target`, or
/// `base` in it where `target` is a folder already; without `base`, what is in it goes there.
pub(crate) fn take_tree(target: &OsStr, base: Option<&OsStr>) -> OsString {
    let line = Line::default().text(FAIL).text(NEEDS_TAR).text("t=").word(target);
    let line = line.text("; if [ -d \"$t\" ]; then ");
    let line = match base {
        Some(base) => line.text("t=$t/").word(base).text("; "),
        None => line,
    };
    line.text(
        "[ -d \"$t\" ] || mkdir -- \"$t\" || exit; \
         elif [ -e \"$t\" ] || [ -L \"$t\" ]; then fail 'the target is there and is no folder'; \
         else mkdir -- \"$t\" || exit; fi; \
         cd -- \"$t\" && exec tar -xpf -",
    )
    .end()
}

/// Takes one file of `size` bytes from standard input, as `target`, or as `base` in it where it
/// is a folder. It gets its name when it is whole.
pub(crate) fn take_file(
    (target, base): (&OsStr, Option<&OsStr>),
    size: u64,
    mode: u32,
    mtime: i64,
    unique: &str,
) -> OsString {
    new_name(target, base, unique)
        .text("umask 077; cat >\"$n\" || exit; ")
        // The other end may have died in the middle.
        .text(&format!("[ \"$(wc -c <\"$n\")\" -eq {size} ] || fail 'it did not come whole'; "))
        .text(&format!("chmod {mode:o} \"$n\" || exit; touch -d @{mtime} \"$n\"; "))
        .text("mv -f -- \"$n\" \"$t\"")
        .end()
}

/// Sets `t` to the name of the file, and `n` to a name beside it that goes away again.
fn new_name(target: &OsStr, base: Option<&OsStr>, unique: &str) -> Line {
    let line = Line::default().text(FAIL).text("t=").word(target);
    let line = match base {
        Some(base) => line.text("; [ ! -d \"$t\" ] || t=${t%/}/").word(base),
        None => line,
    };
    line.text(
        "; [ ! -d \"$t\" ] || fail 'there is a folder of this name'; \
         case $t in */) fail 'there is no such folder';; esac; d=${t%/*}; [ \"$d\" ] || d=/; \
         [ -d \"$d\" ] || fail 'there is no folder to hold it'; ",
    )
    .text(&format!("n=$d/.banger-{unique}; "))
    .text("trap 'rm -f -- \"$n\"' EXIT; trap 'exit 1' HUP TERM PIPE; ")
}
