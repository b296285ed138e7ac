//! The ratios of the last accepted run, and what has become worse since.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Result;
use crate::goals::Judged;

/// A ratio may be worse by so much: machines are noisy, and files are measured that take ms.
pub const MARGIN: f64 = 0.4;

/// Says what is worse than recorded by more than [`MARGIN`]. Where nothing is, or all is
/// accepted, what was measured now is recorded; where it was better before, that stays.
pub fn compare(path: &Path, judged: &[Judged], accept: bool) -> Result<Vec<String>> {
    let recorded: BTreeMap<String, f64> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    // What was not measured this time stays.
    let measured =
        |name: &str| judged.iter().any(|one| name.starts_with(&format!("{} / ", one.work)));
    let mut now: BTreeMap<String, f64> =
        recorded.clone().into_iter().filter(|(name, _)| !measured(name)).collect();
    let mut worse = Vec::new();
    for judged in judged {
        let name = format!("{} / {}", judged.work, judged.other);
        let before = recorded.get(&name).copied();
        if let Some(before) = before.filter(|before| judged.ratio > before * (1.0 + MARGIN)) {
            worse.push(format!("{name}: {:.3} now, {before:.3} before", judged.ratio));
        }
        let kept = if accept {
            judged.ratio
        } else {
            before.map_or(judged.ratio, |before| before.min(judged.ratio))
        };
        now.insert(name, (kept * 1000.0).round() / 1000.0);
    }
    if accept {
        worse.clear();
    }
    if worse.is_empty() {
        std::fs::write(path, serde_json::to_string_pretty(&now)? + "\n")?;
    }
    Ok(worse)
}

#[test]
fn only_what_is_clearly_worse_is_told_and_nothing_is_recorded_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let judged = |ratio| [Judged { work: "w", other: "o", what: "net", most: 1.0, ratio }];
    assert!(compare(&path, &judged(1.0), false).unwrap().is_empty());
    assert!(compare(&path, &judged(1.3), false).unwrap().is_empty());
    assert_eq!(compare(&path, &judged(1.5), false).unwrap().len(), 1);
    assert!(std::fs::read_to_string(&path).unwrap().contains("1.0"), "the best stays");
    assert!(compare(&path, &judged(1.5), true).unwrap().is_empty());
    assert!(std::fs::read_to_string(&path).unwrap().contains("1.5"));
    let other = [Judged { work: "w2", other: "o", what: "net", most: 1.0, ratio: 0.5 }];
    assert!(compare(&path, &other, false).unwrap().is_empty());
    let both = std::fs::read_to_string(&path).unwrap();
    assert!(both.contains("1.5") && both.contains("0.5"), "what was not measured stays: {both}");
}
