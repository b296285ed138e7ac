//! Finding a run of clear bits in a bitmap.

/// A run of clear bits: first bit and length.
pub(crate) type Run = (u32, u32);

/// The 64 bits from word `index` on, set in either bitmap; beyond the end all set.
fn word(old: &[u8], now: &[u8], index: u32) -> u64 {
    let at = index as usize * 8;
    let of = |map: &[u8]| {
        map.get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u64::MAX, u64::from_le_bytes)
    };
    of(old) | of(now)
}

/// First bit at or after `from` and below `end` that is `set` (or clear); `end`
/// when there is none.
fn next(old: &[u8], now: &[u8], from: u32, end: u32, set: bool) -> u32 {
    let mut at = from;
    while at < end {
        let mut bits = word(old, now, at / 64);
        if !set {
            bits = !bits;
        }
        let bits = bits >> (at % 64);
        if bits != 0 {
            return (at + bits.trailing_zeros()).min(end);
        }
        at = at - at % 64 + 64;
    }
    end
}

/// The first run of at least `want` bits that are clear in both bitmaps within
/// `from..end`, or else the longest. A run longer than `want` is cut.
pub(crate) fn find(old: &[u8], now: &[u8], from: u32, end: u32, want: u32) -> Option<Run> {
    let mut best: Option<Run> = None;
    let mut at = from;
    while at < end {
        let start = next(old, now, at, end, false);
        if start >= end {
            break;
        }
        let stop = next(old, now, start, end.min(start.saturating_add(want)), true);
        let len = stop - start;
        if len >= want {
            return Some((start, want));
        }
        if best.is_none_or(|(_, longest)| len > longest) {
            best = Some((start, len));
        }
        at = stop;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::bitmap::{is_set, set};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(
            used in prop::collection::vec(0u32..256, 0..60),
            later in prop::collection::vec(0u32..256, 0..20),
            from in 0u32..256,
            want in 1u32..40,
        ) {
            let (mut old, mut now) = (vec![0; 32], vec![0; 32]);
            used.iter().for_each(|bit| set(&mut old, *bit));
            later.iter().for_each(|bit| set(&mut now, *bit));
            let mut best: Option<Run> = None;
            for start in from..256 {
                let len = (start..256.min(start + want))
                    .take_while(|bit| !is_set(&old, *bit) && !is_set(&now, *bit))
                    .count() as u32;
                if len > best.map_or(0, |(_, longest)| longest) {
                    best = Some((start, len));
                }
                if len == want {
                    break;
                }
            }
            prop_assert_eq!(find(&old, &now, from, 256, want), best);
        }
    }
}
