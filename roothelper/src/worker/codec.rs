//! Numbers and bytes of messages between helper and worker, read without trust.

/// What is no message: the other side is broken, or lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Garbled(pub(super) &'static str);

/// Puts a message together.
#[derive(Debug, Default)]
pub(super) struct Out(Vec<u8>);

impl Out {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Bytes whose number the reader knows.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A count, or a length. (None of ours is near 4 GiB; one that were would not be read.)
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a message apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    pub(super) fn raw(&mut self, len: usize) -> Result<&'a [u8], Garbled> {
        let (now, rest) = self.0.split_at_checked(len).ok_or(Garbled("a message is cut short"))?;
        self.0 = rest;
        Ok(now)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (now, rest) = self.0.split_first_chunk().ok_or(Garbled("a message is cut short"))?;
        self.0 = rest;
        Ok(*now)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Garbled> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Garbled> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Garbled> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn digest(&mut self) -> Result<[u8; 32], Garbled> {
        self.array()
    }

    pub(super) fn bool(&mut self) -> Result<bool, Garbled> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbled("a truth is neither")),
        }
    }

    /// A count of things of at least `least` bytes each: never more than there is room for,
    /// so that nothing is allocated for what cannot come.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, Garbled> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count.checked_mul(least.max(1)).is_some_and(|bytes| bytes <= self.0.len()) {
            return Ok(count);
        }
        Err(Garbled("a count is beyond its message"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let len = self.count(1)?;
        self.raw(len)
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Result<(), Garbled> {
        if self.0.is_empty() { Ok(()) } else { Err(Garbled("something follows a message")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_and_every_cut_is_seen() {
        let mut out = Out::default();
        out.u8(7).u32(8).u64(9).bytes(b"abc").u8(1);
        let message = out.finish();
        let read = |bytes| {
            let mut from = In::new(bytes);
            let all = (from.u8()?, from.u32()?, from.u64()?, from.bytes()?, from.bool()?);
            from.end().map(|()| all)
        };
        assert_eq!(read(&message), Ok((7, 8, 9, &b"abc"[..], true)));
        for len in 0..message.len() {
            assert!(read(&message[..len]).is_err(), "{len}");
        }
        let longer = [&message[..], &[0]].concat();
        assert!(read(&longer).is_err());
    }

    #[test]
    fn a_count_is_no_larger_than_its_message() {
        assert!(In::new(&[0xff; 4]).count(1).is_err());
        assert!(In::new(&[0, 0, 0, 2, 1, 2, 3]).count(2).is_err());
        assert_eq!(In::new(&[0, 0, 0, 2, 1, 2, 3, 4]).count(2), Ok(2));
        assert_eq!(In::new(&[2]).bool(), Err(Garbled("a truth is neither")));
    }
}
