//! Which of two kernels is newer.

use std::cmp::Ordering;

/// Compares kernel releases as people read them: numbers by their value, what is between
/// them as text, a candidate (`-rc1`, `~rc1`) before what it is a candidate for.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return ending(b).reverse(),
            (false, true) => return ending(a),
            (false, false) => {}
        }
        let (number_a, rest_a) = number(a);
        let (number_b, rest_b) = number(b);
        let order = match (number_a, number_b) {
            (Some(x), Some(y)) => x.len().cmp(&y.len()).then_with(|| x.cmp(y)),
            // A number is newer than a word: 6.1.1 and 6.1.x.
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
        if number_a.is_some() {
            (a, b) = (rest_a, rest_b);
            continue;
        }
        let (text_a, rest_a) = text(a);
        let (text_b, rest_b) = text(b);
        let order = match (is_candidate(text_a), is_candidate(text_b)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => text_a.cmp(text_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// How something compares with the same thing cut off before `rest`.
fn ending(rest: &str) -> Ordering {
    if is_candidate(text(rest).0) { Ordering::Less } else { Ordering::Greater }
}

fn is_candidate(text: &str) -> bool {
    text.starts_with('~') || text.starts_with("-rc") || text.starts_with("_rc")
}

/// The number at the beginning, without leading zeros, and what follows it.
fn number(text: &str) -> (Option<&str>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    ((!digits.is_empty()).then(|| digits.trim_start_matches('0')), rest)
}

/// What stands before the next number, and what follows it.
fn text(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn newer_is_what_people_take_for_newer() {
        let ordered = [
            "4.19.0",
            "5.4.0-150-generic",
            "5.15.0-9-generic",
            "5.15.0-91-generic",
            "6.1.0-rc1",
            "6.1.0-rc10",
            "6.1.0",
            "6.1.0-9-cloud-amd64",
            "6.1.0-25-amd64",
            "6.1.0-25-cloud-amd64",
            "6.12.9+bpo-amd64",
            "6.12.22+bpo-amd64",
            "10.0",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("6.01", "6.1"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-9a.~-]{0,8}", b in "[0-9a.~-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
