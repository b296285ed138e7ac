//! Text that somebody else wrote, made harmless for a terminal.

/// Takes control sequences and control characters out of a stream of bytes, piece by
/// piece. Line feeds and tabs stay; what is not UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    state: State,
    /// The begin of a character whose end has not come yet.
    partial: Vec<u8>,
}

/// Where in a control sequence the stream is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In none.
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes: one more ends it.
    Intermediate,
    /// In a control sequence (CSI): parameters until a letter.
    Control,
    /// In a string (OSC, DCS, APC, PM, SOS): until BEL or ST.
    String,
    /// In a string, after ESC.
    StringEscape,
}

impl Plain {
    /// The harmless text of the next piece.
    pub(crate) fn next(&mut self, piece: &[u8]) -> String {
        let mut data = std::mem::take(&mut self.partial);
        data.extend_from_slice(piece);
        let mut text = String::with_capacity(data.len());
        let mut rest = data.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.take(valid, &mut text);
                    return text;
                }
                Err(error) => {
                    let (valid, bad) = rest.split_at(error.valid_up_to());
                    self.take(std::str::from_utf8(valid).unwrap_or_default(), &mut text);
                    let Some(length) = error.error_len() else {
                        // Cut in the middle: the next piece may bring the end.
                        self.partial = bad.to_vec();
                        return text;
                    };
                    self.take("\u{fffd}", &mut text);
                    rest = bad.get(length..).unwrap_or_default();
                }
            }
        }
    }

    fn take(&mut self, valid: &str, text: &mut String) {
        for c in valid.chars() {
            self.state = match (self.state, c) {
                // CAN and SUB end every sequence; a new ESC begins one.
                (_, '\x18' | '\x1a') => State::Text,
                (State::String, '\x1b') => State::StringEscape,
                (_, '\x1b') => State::Escape,
                (State::String | State::StringEscape, '\x07' | '\u{9c}')
                | (State::StringEscape, '\\') => State::Text,
                (State::String, _) => State::String,
                (State::StringEscape | State::Escape, '[') => State::Control,
                (State::StringEscape | State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::String,
                (State::StringEscape | State::Escape | State::Intermediate, ' '..='/') => {
                    State::Intermediate
                }
                (State::StringEscape | State::Escape | State::Intermediate, '0'..='~') => {
                    State::Text
                }
                (State::Control, ' '..='?') => State::Control,
                (State::Control, '@'..='~') => State::Text,
                // The same openings as single characters.
                (_, '\u{9b}') => State::Control,
                (_, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => State::String,
                (_, c) => {
                    if c == '\n' || c == '\t' || !c.is_control() {
                        text.push(c);
                    }
                    State::Text
                }
            };
        }
    }
}

/// The harmless text of `data`.
pub(super) fn text(data: &str) -> String {
    Plain::default().next(data.as_bytes())
}

/// The harmless text of what should be one line.
pub(crate) fn line(data: &str) -> String {
    text(data).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_sequences_leave_no_trace() {
        for (data, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("a\x1b[2J\x1b[H\x1b[?25lb", "ab"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bP$q\"p\x1b\\x", "x"),
            ("\x1b(Bx\x1b7y\x1bcz", "xyz"),
            ("\u{9b}31mx\u{9d}0;t\u{9c}y", "xy"),
            ("ab\x08\x08\x7fc\r\n", "abc\n"),
            ("a\x1b[31\x18b", "ab"),
            ("a\x1b\x1b[1mb", "ab"),
            ("ä€😀", "ä€😀"),
        ] {
            assert_eq!(text(data), expected, "{data:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(Plain::default().next(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(line("one\ntwo"), "one two");
    }

    proptest! {
        #[test]
        fn nothing_harmful_gets_through_however_it_is_cut(
            data in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b']'), Just(0xc2), Just(0x9b)], 0..80),
            cut in 0_usize..80,
        ) {
            let (first, second) = data.split_at(cut.min(data.len()));
            let mut plain = Plain::default();
            let pieces = plain.next(first) + &plain.next(second);
            prop_assert!(pieces.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{:?}", pieces);
            prop_assert_eq!(pieces, Plain::default().next(&data));
        }
    }
}
