//! Directory hashes: legacy, half MD4 and TEA, over signed or unsigned characters.

/// A hash function of directory indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashVersion {
    /// 0 and 3.
    Legacy,
    /// 1 and 4.
    HalfMd4,
    /// 2 and 5.
    Tea,
}

impl HashVersion {
    /// The function a directory's root names; 3 to 5 are the unsigned ones.
    #[must_use]
    pub fn from_disk(version: u8) -> Option<(Self, bool)> {
        let function = match version % 3 {
            0 => Self::Legacy,
            1 => Self::HalfMd4,
            _ => Self::Tea,
        };
        (version < 6).then_some((function, version >= 3))
    }
}

/// How a filesystem hashes names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hasher {
    /// The function.
    pub version: HashVersion,
    /// Characters count as unsigned.
    pub unsigned: bool,
    /// `s_hash_seed`; all zero means the default.
    pub seed: [u32; 4],
}

/// The end of a directory in hash order; no name hashes to it.
const EOF: u32 = 0x7fff_ffff;

impl Hasher {
    /// Major and minor hash of a name. The lowest bit of the major hash is
    /// clear: indexes use it to mark collisions.
    #[must_use]
    pub fn hash(&self, name: &[u8]) -> (u32, u32) {
        let start = if self.seed == [0; 4] {
            [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]
        } else {
            self.seed
        };
        let (major, minor) = match self.version {
            HashVersion::Legacy => (self.legacy(name), 0),
            HashVersion::HalfMd4 => {
                let mut state = start;
                for words in chunks::<8>(name, 32, |c| self.widen(c)) {
                    half_md4(&mut state, &words);
                }
                (state[1], state[2])
            }
            HashVersion::Tea => {
                let mut state = start;
                for words in chunks::<4>(name, 16, |c| self.widen(c)) {
                    tea(&mut state, &words);
                }
                (state[0], state[1])
            }
        };
        let major = major & !1;
        (if major == EOF << 1 { (EOF - 1) << 1 } else { major }, minor)
    }

    fn widen(&self, character: u8) -> u32 {
        if self.unsigned {
            u32::from(character)
        } else {
            i32::from(character.cast_signed()).cast_unsigned()
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut hash0, mut hash1) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
        for character in name {
            let mixed = hash0 ^ self.widen(*character).wrapping_mul(7_152_373);
            let mut hash = hash1.wrapping_add(mixed);
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            hash1 = hash0;
            hash0 = hash;
        }
        hash0 << 1
    }
}

/// The name cut into pieces of `step` bytes, each packed into words. Missing
/// bytes are filled with the length that was left.
fn chunks<const N: usize>(name: &[u8], step: usize, widen: impl Fn(u8) -> u32) -> Vec<[u32; N]> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let left = rest.len() as u32;
        let pad = left | left << 8;
        let pad = pad | pad << 16;
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            *word = bytes.iter().fold(pad, |word, c| widen(*c).wrapping_add(word << 8));
        }
        pieces.push(words);
        rest = rest.get(step..).unwrap_or_default();
    }
    pieces
}

fn half_md4(state: &mut [u32; 4], x: &[u32; 8]) {
    const K2: u32 = 0x5a82_7999;
    const K3: u32 = 0x6ed9_eba1;
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let step = |[a, b, c, d]: [u32; 4], value: u32, shift: u32| {
        [d, a.wrapping_add(value).rotate_left(shift), b, c]
    };
    let mut v = *state;
    for (n, shift) in [3, 7, 11, 19, 3, 7, 11, 19].into_iter().enumerate() {
        v = step(v, f(v[1], v[2], v[3]).wrapping_add(x[n & 7]), shift);
    }
    for (n, shift) in [(1, 3), (3, 5), (5, 9), (7, 13), (0, 3), (2, 5), (4, 9), (6, 13)] {
        v = step(v, g(v[1], v[2], v[3]).wrapping_add(x[n & 7]).wrapping_add(K2), shift);
    }
    for (n, shift) in [(3, 3), (7, 9), (2, 11), (6, 15), (1, 3), (5, 9), (0, 11), (4, 15)] {
        v = step(v, h(v[1], v[2], v[3]).wrapping_add(x[n & 7]).wrapping_add(K3), shift);
    }
    for (word, mixed) in state.iter_mut().zip(v) {
        *word = word.wrapping_add(mixed);
    }
}

fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let [mut b0, mut b1, ..] = *state;
    let [a, b, c, d] = *key;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        let mixed = (b1 << 4).wrapping_add(a) ^ b1.wrapping_add(sum) ^ (b1 >> 5).wrapping_add(b);
        b0 = b0.wrapping_add(mixed);
        let mixed = (b0 << 4).wrapping_add(c) ^ b0.wrapping_add(sum) ^ (b0 >> 5).wrapping_add(d);
        b1 = b1.wrapping_add(mixed);
    }
    state[0] = state[0].wrapping_add(b0);
    state[1] = state[1].wrapping_add(b1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of `debugfs -R 'dx_hash -h <version> <name>'` 1.47.0,
    /// which hashes characters as signed.
    #[test]
    fn names_hash_as_debugfs_says() {
        let long: &[u8] = b"a-somewhat-longer-name-with-more-than-32-characters.txt";
        let umlaut: &[u8] = "n\u{e4}me".as_bytes();
        let cases: &[(HashVersion, &[u8], u32, u32)] = &[
            (HashVersion::Legacy, b"a", 0xe74b_53e2, 0),
            (HashVersion::Legacy, b"hello", 0x3225_2546, 0),
            (HashVersion::Legacy, long, 0xc468_bf50, 0),
            (HashVersion::Legacy, umlaut, 0x7c55_fda4, 0),
            (HashVersion::HalfMd4, b"a", 0xd5fa_7d7a, 0xacb4_8187),
            (HashVersion::HalfMd4, b"hello", 0x1746_da32, 0x4200_13b5),
            (HashVersion::HalfMd4, long, 0xee75_7f72, 0xfe1f_19a0),
            (HashVersion::HalfMd4, umlaut, 0x6e9a_d2fe, 0x41ce_f794),
            (HashVersion::Tea, b"a", 0x6d0e_a4c0, 0xc189_22df),
            (HashVersion::Tea, b"hello", 0x6f5b_b1a8, 0x2319_17c2),
            (HashVersion::Tea, long, 0x7d6f_1164, 0x686f_b8e6),
            (HashVersion::Tea, umlaut, 0x58e6_af2c, 0xba93_d5c2),
        ];
        for (version, name, major, minor) in cases {
            let hasher = Hasher { version: *version, unsigned: false, seed: [0; 4] };
            assert_eq!(hasher.hash(name), (*major, *minor), "{version:?} {name:?}");
        }
    }
}
