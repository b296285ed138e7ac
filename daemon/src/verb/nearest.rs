//! Which name was meant by one that is none.

/// The name that is likest to `word`, when one is so like it that it was meant.
pub(crate) fn nearest(word: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let farthest = 1 + word.chars().count() / 4;
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, &name), name))
        .filter(|(distance, name)| *distance <= farthest && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_through_and_another_word_is_not() {
        let names = || ["web", "db", "calm-otter", "debian"].map(str::to_owned);
        for (word, name) in [
            ("wbe", Some("web")),
            ("webb", Some("web")),
            ("calm-oter", Some("calm-otter")),
            ("clam-otterr", Some("calm-otter")),
            ("debain", Some("debian")),
            ("x", None),
            ("production", None),
            ("zz", None),
        ] {
            assert_eq!(nearest(word, names()).as_deref(), name, "{word}");
        }
        assert_eq!(nearest("web", []), None);
    }
}
