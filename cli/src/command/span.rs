//! Spans of time as people type them: `30`, `90s`, `5m`, `2h`.

use std::time::Duration;

use banger_proto::Invalid;

const RULE: &str = "use a whole number of seconds, or one with the unit s, m, h or d";

/// The span that `text` means; a number alone is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, Invalid> {
    let invalid = || Invalid::new("time", text, RULE);
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let seconds: u64 = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(invalid()),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_type_them() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1", "1.5m", "1 m", "1y", "5mm", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
