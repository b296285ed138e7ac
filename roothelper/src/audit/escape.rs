//! What a client wrote, so that it can do nothing in a log or on a terminal.

/// Longest text of a client's in the log, in bytes, escapes included.
const LONGEST: usize = 64;

/// The text in printable ASCII: every other byte, quotes and backslashes are `\xNN`. What does
/// not fit is cut at a whole character, and that it was cut is seen.
pub(super) fn shown(said: &[u8]) -> String {
    const CUT: &str = "...";
    let mut shown = String::new();
    // The last length at which `CUT` still fits.
    let mut fits = 0;
    for &byte in said {
        if shown.len() + CUT.len() <= LONGEST {
            fits = shown.len();
        }
        match byte {
            b' '..=b'~' if byte != b'\\' && byte != b'"' => shown.push(char::from(byte)),
            _ => shown.push_str(&format!("\\x{byte:02x}")),
        }
        if shown.len() > LONGEST {
            shown.truncate(fits);
            shown.push_str(CUT);
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_harmless_stays_and_the_rest_is_told_in_hex() {
        assert_eq!(shown(b""), "");
        assert_eq!(
            shown(b"67e55044-10b1-426f-9247-bb680e5fe0c8"),
            "67e55044-10b1-426f-9247-bb680e5fe0c8"
        );
        assert_eq!(shown(b"../x\n\x1b[2J\\\"\0"), "../x\\x0a\\x1b[2J\\x5c\\x22\\x00");
        assert_eq!(shown("é".as_bytes()), "\\xc3\\xa9");
    }

    #[test]
    fn what_is_long_is_cut_at_a_whole_character() {
        assert_eq!(shown(&[b'a'; 64]), "a".repeat(64));
        assert_eq!(shown(&[b'a'; 65]), format!("{}...", "a".repeat(61)));
        assert_eq!(shown(&[b'a'; 1 << 20]), format!("{}...", "a".repeat(61)));
        assert_eq!(shown(&[0; 16]), "\\x00".repeat(16));
        assert_eq!(shown(&[0; 17]), format!("{}...", "\\x00".repeat(15)));
    }

    proptest! {
        #[test]
        fn nothing_gets_out(said: Vec<u8>) {
            let shown = shown(&said);
            prop_assert!(shown.len() <= 64);
            prop_assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"'));
        }
    }
}
