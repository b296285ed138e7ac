//! Records of PAX extended headers: `len key=value\n`, values of any bytes.

use super::source::{Timestamp, Xattr, storable};

/// The records of one header, in order.
#[derive(Debug, Default, Clone)]
pub(super) struct Pax {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pax {
    /// Parses a header's body; `None` when it is malformed.
    pub(super) fn parse(mut body: &[u8]) -> Option<Self> {
        let mut records = Vec::new();
        while !body.is_empty() {
            // Some writers pad with NUL bytes.
            if body.iter().all(|&byte| byte == 0) {
                break;
            }
            let space = body.iter().position(|&byte| byte == b' ')?;
            let len: usize = std::str::from_utf8(body.get(..space)?).ok()?.parse().ok()?;
            let record = body.get(space + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            records.push((record.get(..equals)?.to_vec(), record.get(equals + 1..)?.to_vec()));
            body = body.get(len..)?;
        }
        Some(Self { records })
    }

    /// Adds the records of a header that holds for all members to come. Returns how many
    /// bytes are held then.
    pub(super) fn extend(&mut self, later: Self) -> u64 {
        for (key, value) in later.records {
            self.records.retain(|(known, _)| *known != key);
            self.records.push((key, value));
        }
        self.records.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// These records, and of `globals` those whose key is not among them.
    pub(super) fn over(mut self, globals: &Self) -> Self {
        for (key, value) in &globals.records {
            if !self.records.iter().any(|(known, _)| known == key) {
                self.records.push((key.clone(), value.clone()));
            }
        }
        self
    }

    /// The last value of a key; an empty one takes back an earlier.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.records.iter().rev().find(|(known, _)| known == key)?;
        (!value.is_empty()).then_some(value)
    }

    /// Every record in order; keys of sparse maps repeat.
    pub(super) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.records.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// A decimal value; `Some(None)` when it is not one.
    pub(super) fn number(&self, key: &[u8]) -> Option<Option<u64>> {
        self.get(key).map(decimal)
    }

    /// A time with its fraction; `Some(None)` when it is not one.
    pub(super) fn time(&self, key: &[u8]) -> Option<Option<Timestamp>> {
        self.get(key).map(time)
    }

    /// The extended attributes that ext4 can hold.
    pub(super) fn xattrs(&self) -> Vec<Xattr> {
        let mut found: Vec<Xattr> = Vec::new();
        for (key, value) in &self.records {
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
            let name = decoded(name);
            if storable(&name) {
                found.retain(|known| known.name != name);
                found.push(Xattr { name, value: value.clone() });
            }
        }
        found.sort_unstable();
        found
    }
}

/// A whole decimal number.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `-12.5` is half a second before -12.
fn time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if negative && nanoseconds > 0 {
        return Some(Timestamp {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Timestamp { seconds, nanoseconds })
}

/// GNU tar writes `=` as `%3D` and `%` as `%25` in the names of attributes.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"%3D") {
            decoded.push(b'=');
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"%25") {
            decoded.push(b'%');
            rest = after;
        } else {
            decoded.push(first);
            rest = after;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_equals_signs() {
        let pax = Pax::parse(b"13 path=a\nb=\n15 mtime=-1.25\n8 path=\n\0\0").unwrap();
        assert_eq!(pax.records().next(), Some((&b"path"[..], &b"a\nb="[..])));
        assert_eq!(pax.get(b"path"), None, "an empty value takes the earlier back");
        let before = Timestamp { seconds: -2, nanoseconds: 750_000_000 };
        assert_eq!(pax.time(b"mtime"), Some(Some(before)));
    }

    #[test]
    fn malformed_records_are_seen() {
        for bad in [&b"5 a=b\n"[..], b"99 a=b\n", b"x a=b\n", b"6 abc\n", b"0 a=b\n", b"1 "] {
            assert!(Pax::parse(bad).is_none(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn names_of_attributes_are_decoded_and_sorted_out() {
        let mut body = Vec::new();
        for (name, value) in [("user.a%3Db%25", "1"), ("com.apple.x", "2"), ("user.a", "\n")] {
            let rest = format!(" SCHILY.xattr.{name}={value}\n");
            body.extend(format!("{}{rest}", rest.len() + 2).bytes());
        }
        let found = Pax::parse(&body).unwrap().xattrs();
        let names: Vec<_> = found.iter().map(|xattr| xattr.name.as_slice()).collect();
        assert_eq!(names, [&b"user.a"[..], b"user.a=b%"]);
    }
}
