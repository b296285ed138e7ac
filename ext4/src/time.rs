//! Moments, and the two words in which inodes keep them.

/// A moment: seconds since 1970 (negative before) and nanoseconds below 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, in nanoseconds.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The last second that fits with epoch bits (the year 2446).
    pub const LAST: i64 = 0x3_7fff_ffff;

    /// The nearest moment that 32 bits can hold, which is all that short inodes have.
    #[must_use]
    pub fn in_32_bits(self) -> Self {
        let seconds = self.seconds.clamp(i32::MIN.into(), i32::MAX.into());
        Self { seconds, ..self }
    }

    /// This moment, as the host's clock has it.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(Self::default(), |since| Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        })
    }

    /// From the 32-bit seconds and the extra word of nanoseconds and epoch.
    #[must_use]
    pub fn decode(seconds: u32, extra: Option<u32>) -> Self {
        let base = i64::from(seconds.cast_signed());
        match extra {
            None => Self { seconds: base, nanoseconds: 0 },
            Some(extra) => Self {
                seconds: base + (i64::from(extra & 3) << 32),
                nanoseconds: (extra >> 2).min(999_999_999),
            },
        }
    }

    /// The 32-bit seconds and the extra word; times out of range become the nearest in it.
    #[must_use]
    pub fn encode(self) -> (u32, u32) {
        let seconds = self.seconds.clamp(i64::from(i32::MIN), Self::LAST);
        let base = seconds as u32;
        let epoch = (seconds - i64::from(base.cast_signed())) >> 32;
        (base, self.nanoseconds.min(999_999_999) << 2 | (epoch as u32 & 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_all_epochs_survive() {
        for seconds in [i64::from(i32::MIN), -1, 0, 1 << 31, (1 << 32) + 5, Timestamp::LAST] {
            let moment = Timestamp { seconds, nanoseconds: 123_456_789 };
            let (base, extra) = moment.encode();
            assert_eq!(Timestamp::decode(base, Some(extra)), moment);
        }
        let beyond = Timestamp { seconds: i64::MAX, nanoseconds: 0 };
        let (base, extra) = beyond.encode();
        assert_eq!(Timestamp::decode(base, Some(extra)).seconds, Timestamp::LAST);
    }
}
