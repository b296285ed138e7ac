//! The one line at the bottom that shows what goes on, drawn anew as it does.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use super::{Terminal, screen, units};

/// What is quicker is not shown: it would only flicker.
pub(super) const QUICK: Duration = Duration::from_millis(500);
/// Time between two drawings.
const FRAME: Duration = Duration::from_millis(100);
/// For so long something new must go on to be shown, unless nothing new was shown ...
const SETTLED: Duration = Duration::from_millis(250);
/// ... for so long.
const STALE: Duration = Duration::from_secs(1);

/// What the line says, in the order in which it is read.
#[derive(Debug, Default, Clone)]
pub(super) struct Words {
    /// What goes on.
    pub(super) name: String,
    /// What it does this time.
    pub(super) detail: String,
    /// Since when.
    pub(super) time: Duration,
    /// How much is done: `120 MiB of 1.2 GiB`.
    pub(super) done: String,
    /// How fast: `45.0 MiB/s`.
    pub(super) rate: String,
    /// How long yet: `24 s left`.
    pub(super) left: String,
}

impl Words {
    /// The words that fit into `columns`: what matters least goes first.
    fn fit(&self, columns: usize, ellipsis: &str) -> String {
        let time = units::elapsed(self.time);
        let parts = [&self.name, &self.detail, &time, &self.done, &self.rate, &self.left];
        // Places in `parts`, what can be spared first.
        for spared in [&[][..], &[1], &[1, 4], &[1, 4, 2], &[1, 4, 2, 5]] {
            let kept: Vec<_> = parts
                .iter()
                .enumerate()
                .filter(|(place, part)| !spared.contains(place) && !part.is_empty())
                .map(|(_, part)| part.as_str())
                .collect();
            let line = kept.join("  ");
            if screen::width(&line) <= columns {
                return line;
            }
        }
        screen::fit(&self.name, columns, ellipsis)
    }
}

/// A line that is drawn anew until it is taken away. It appears once what it shows is not
/// quick any more.
#[derive(Debug)]
pub(super) struct Live {
    terminal: Terminal,
    /// When it is drawn next.
    next: Instant,
    /// When it was drawn last, or begun.
    last: Instant,
    frame: usize,
    drawn: bool,
}

impl Live {
    /// A line of which nothing is to be seen yet.
    pub(super) fn new(terminal: Terminal) -> Self {
        let now = Instant::now();
        Self { terminal, next: now + QUICK, last: now, frame: 0, drawn: false }
    }

    /// Something new goes on. That it is quick too can show before it is drawn.
    pub(super) fn settle(&mut self) {
        let settled = (Instant::now() + SETTLED).min(self.last + STALE);
        self.next = self.next.max(settled);
    }

    /// Returns when it is time to draw.
    pub(super) async fn due(&self) {
        tokio::time::sleep_until(self.next.into()).await;
    }

    /// Draws it.
    pub(super) fn draw(&mut self, words: &Words) {
        self.last = Instant::now();
        self.next = self.last + FRAME;
        self.frame += 1;
        let frames: &[&str] = if self.terminal.unicode {
            &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
        } else {
            &["-", "\\", "|", "/"]
        };
        let frame = frames.get(self.frame % frames.len()).copied().unwrap_or_default();
        // Asked each time: windows change. The last column stays free, since a cursor
        // behind it would be on the next line on some terminals.
        let columns = screen::columns(&io::stderr()).unwrap_or_default();
        let line = words.fit(columns.saturating_sub(3), self.terminal.ellipsis());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _never_fails = write!(text, "\r{frame} {line}\x1b[K");
        self.put(&text);
        self.drawn = true;
    }

    /// Takes it away until it is drawn again.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.put("\r\x1b[K");
        }
    }

    #[expect(clippy::unused_self, reason = "only a line that is there is written")]
    fn put(&self, text: &str) {
        // That nobody looks is no reason to fail. In one piece: others may write too.
        let mut stderr = io::stderr().lock();
        let _nobody_looks = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

/// An interrupted operation leaves no half line behind.
impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_words_stay() {
        let words = Words {
            name: "import_rootfs".into(),
            detail: "from tar".into(),
            time: Duration::from_secs(3),
            done: "120 MiB of 1.2 GiB".into(),
            rate: "45.0 MiB/s".into(),
            left: "24 s left".into(),
        };
        let lines: Vec<_> =
            [90, 70, 60, 48, 44, 36, 20, 8].map(|columns| words.fit(columns, "…")).into();
        insta::assert_snapshot!(lines.join("\n"), @r"
        import_rootfs  from tar  3 s  120 MiB of 1.2 GiB  45.0 MiB/s  24 s left
        import_rootfs  3 s  120 MiB of 1.2 GiB  45.0 MiB/s  24 s left
        import_rootfs  3 s  120 MiB of 1.2 GiB  24 s left
        import_rootfs  120 MiB of 1.2 GiB  24 s left
        import_rootfs  120 MiB of 1.2 GiB  24 s left
        import_rootfs  120 MiB of 1.2 GiB
        import_rootfs
        import_…
        ");
    }
}
