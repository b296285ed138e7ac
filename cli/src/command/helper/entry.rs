//! An entry of the root helper's log.

use serde::Serialize;
use serde_json::Value;

/// One decision, or how a call ended. Names and units are a promise to scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "HelperLogEntry"))]
pub(crate) struct Entry {
    /// Seconds since the epoch.
    pub(crate) logged_at: i64,
    /// `allowed`, `refused` or `abandoned`; and, of a call that was allowed, `applied`,
    /// `not-applied`, `unknown` or `data-loss`.
    pub(crate) decision: String,
    /// As in `AttachSnapshot`; `null` for a connection that was not let in.
    pub(crate) call: Option<String>,
    pub(crate) vm_id: Option<String>,
    /// The process that asked.
    pub(crate) pid: Option<u32>,
    /// polkit's, where it was asked.
    pub(crate) action: Option<String>,
    /// Why not, in a word or a line.
    pub(crate) reason: Option<String>,
    /// What was said that cannot be, escaped and cut.
    pub(crate) said: Option<String>,
    pub(crate) duration_us: Option<u64>,
    /// Entries that were left out before this one, since there were too many.
    pub(crate) left_out: u64,
}

impl Entry {
    /// What the journal says, one JSON object; `None` for one that is no entry of the helper's.
    pub(super) fn read(line: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        // What is not text is not what the helper writes.
        let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        Some(Self {
            logged_at: i64::try_from(number("__REALTIME_TIMESTAMP")? / 1_000_000).ok()?,
            decision: text("BANGER_DECISION")?,
            call: text("BANGER_VERB"),
            vm_id: text("BANGER_VM"),
            pid: number("BANGER_PID").and_then(|pid| pid.try_into().ok()),
            action: text("BANGER_ACTION"),
            reason: text("BANGER_REASON"),
            said: text("BANGER_SAID"),
            duration_us: number("BANGER_DURATION_USEC"),
            left_out: number("BANGER_SUPPRESSED").unwrap_or(0),
        })
    }

    /// What else there is to say, for people.
    pub(super) fn note(&self) -> String {
        let mut parts: Vec<_> = self.reason.iter().cloned().collect();
        parts.extend(self.said.as_ref().map(|said| format!("\"{said}\"")));
        if self.left_out > 0 {
            parts.push(format!("{} more before", self.left_out));
        }
        parts.join(", ")
    }

    /// How long it took, for people.
    pub(super) fn took(&self) -> String {
        match self.duration_us {
            None => String::new(),
            Some(us @ 0..10_000) => format!("{}.{} ms", us / 1000, us / 100 % 10),
            Some(us @ 10_000..1_000_000) => format!("{} ms", us / 1000),
            Some(us) => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_what_is_none_is_not() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1763731512000123","BANGER_UID":"1000",
            "BANGER_DECISION":"refused","BANGER_VERB":"LendDevice","BANGER_PID":"77",
            "BANGER_REASON":"invalid-message","BANGER_SAID":"..\\x0a","BANGER_SUPPRESSED":"3",
            "BANGER_DURATION_USEC":"1250","__CURSOR":"s=1"}"#;
        let entry = Entry::read(line).unwrap();
        assert_eq!(entry.logged_at, 1_763_731_512);
        assert_eq!((entry.decision.as_str(), entry.pid), ("refused", Some(77)));
        assert_eq!(entry.note(), r#"invalid-message, "..\x0a", 3 more before"#);
        assert_eq!(entry.took(), "1.2 ms");
        for none in ["", "{}", "[]", "x", r#"{"__REALTIME_TIMESTAMP":"1"}"#] {
            assert_eq!(Entry::read(none), None, "{none}");
        }
        // journald gives what is no text as numbers.
        let bytes = r#"{"__REALTIME_TIMESTAMP":"1","BANGER_DECISION":[27,91]}"#;
        assert_eq!(Entry::read(bytes), None);
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        let took = |us| {
            let line = format!(
                r#"{{"__REALTIME_TIMESTAMP":"1","BANGER_DECISION":"allowed","BANGER_DURATION_USEC":"{us}"}}"#
            );
            Entry::read(&line).unwrap().took()
        };
        assert_eq!([took(40), took(9_999), took(10_000)], ["0.0 ms", "9.9 ms", "10 ms"]);
        assert_eq!(
            [took(999_999), took(1_000_000), took(61_250_000)],
            ["999 ms", "1.0 s", "61.2 s"]
        );
    }
}
