//! Sparse members of tar streams: where their data lies in the file.

use super::pax::{Pax, decimal};

/// Pieces of data one member may have; 16 bytes of memory each.
pub(super) const MOST_PIECES: usize = 1 << 20;

/// A run of data in a file; what lies between runs is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// True when the pieces follow each other, hold `stored` bytes in all, and end
/// within the file.
pub(super) fn consistent(pieces: &[Piece], stored: u64, len: u64) -> bool {
    let mut position = 0_u64;
    let mut held = 0_u64;
    for piece in pieces {
        let end = piece.offset.checked_add(piece.len);
        let Some(end) = end.filter(|&end| piece.offset >= position && end <= len) else {
            return false;
        };
        position = end;
        held += piece.len;
    }
    held == stored
}

/// Where the map of a sparse member lies, as its PAX records tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SparseMap {
    /// In the records (formats 0.0 and 0.1).
    Known(Vec<Piece>),
    /// At the start of the member's data (format 1.0).
    InData,
}

/// The map and the length of a sparse member; `Some(None)` when they are malformed.
pub(super) fn of_records(pax: &Pax) -> Option<Option<(SparseMap, u64)>> {
    let sparse = pax.records().any(|(key, _)| key.starts_with(b"GNU.sparse."));
    sparse.then(|| parse(pax))
}

fn parse(pax: &Pax) -> Option<(SparseMap, u64)> {
    if pax.get(b"GNU.sparse.major").is_some() {
        if pax.get(b"GNU.sparse.major") != Some(b"1") {
            return None;
        }
        return Some((SparseMap::InData, pax.number(b"GNU.sparse.realsize")??));
    }
    let len = pax.number(b"GNU.sparse.size")??;
    let numbers: Option<Vec<u64>> = match pax.get(b"GNU.sparse.map") {
        Some(map) => map.split(|&byte| byte == b',').map(decimal).collect(),
        None => pax
            .records()
            .filter(|(key, _)| matches!(*key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes"))
            .map(|(_, value)| decimal(value))
            .collect(),
    };
    Some((SparseMap::Known(pieces(&numbers?)?), len))
}

/// Offsets and lengths in turn.
pub(super) fn pieces(numbers: &[u64]) -> Option<Vec<Piece>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    Some(pairs.iter().map(|&[offset, len]| Piece { offset, len }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_must_fit_its_data_and_its_file() {
        let map = [Piece { offset: 0, len: 2 }, Piece { offset: 4, len: 1 }];
        assert!(consistent(&map, 3, 5));
        assert!(consistent(&[Piece { offset: 9, len: 0 }], 0, 9));
        assert!(!consistent(&map, 4, 5), "less data than stored");
        assert!(!consistent(&map, 3, 4), "past the end");
        assert!(!consistent(&[map[1], map[0]], 3, 5), "out of order");
        assert!(!consistent(&[Piece { offset: u64::MAX, len: 2 }], 2, u64::MAX));
    }

    #[test]
    fn three_ways_to_say_it() {
        let of = |records: &[&str]| {
            // The length counts its own two digits.
            let line = |record: &&str| format!("{} {record}\n", record.len() + 4);
            let body: String = records.iter().map(line).collect();
            of_records(&Pax::parse(body.as_bytes()).unwrap())
        };
        let old = ["GNU.sparse.size=9", "GNU.sparse.offset=2", "GNU.sparse.numbytes=3"];
        let map = ["GNU.sparse.size=9", "GNU.sparse.map=2,3"];
        let new = ["GNU.sparse.major=1", "GNU.sparse.realsize=9"];
        let known = || SparseMap::Known(vec![Piece { offset: 2, len: 3 }]);
        assert_eq!(of(&old), Some(Some((known(), 9))));
        assert_eq!(of(&map), Some(Some((known(), 9))));
        assert_eq!(of(&new), Some(Some((SparseMap::InData, 9))));
        assert_eq!(of(&["GNU.sparse.major=2"]), Some(None));
        assert_eq!(of(&["path=aaaaa"]), None);
    }
}
