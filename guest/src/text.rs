//! Text in a fixed place: there is nothing to allocate from.

use core::ffi::CStr;

/// Up to `N - 1` bytes, with a zero behind them.
#[derive(Debug, Clone)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// It does not fit, or it holds a zero and is to be a word of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Text<N> {
    /// All of these, behind each other.
    ///
    /// # Errors
    /// [`Unfit`] when they are longer than `N - 1` bytes.
    pub fn of(parts: &[&[u8]]) -> Result<Self, Unfit> {
        let mut text = Self::default();
        parts.iter().try_for_each(|part| text.push(part))?;
        Ok(text)
    }

    /// Puts bytes behind those that are there.
    ///
    /// # Errors
    /// [`Unfit`] when there is no place for all of them; none is added then.
    pub fn push(&mut self, part: &[u8]) -> Result<(), Unfit> {
        let end = self.len.checked_add(part.len()).filter(|end| *end < N).ok_or(Unfit)?;
        self.bytes.get_mut(self.len..end).ok_or(Unfit)?.copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    /// As much of them as there is place for.
    pub fn push_what_fits(&mut self, part: &[u8]) {
        let room = N.saturating_sub(1).saturating_sub(self.len);
        let _fits = self.push(part.get(..room.min(part.len())).unwrap_or_default());
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// As the kernel reads words.
    ///
    /// # Errors
    /// [`Unfit`] when there is a zero in it.
    pub fn word(&self) -> Result<&CStr, Unfit> {
        let bytes = self.bytes.get(..=self.len).ok_or(Unfit)?;
        CStr::from_bytes_with_nul(bytes).map_err(|_| Unfit)
    }
}

/// Decimal digits of a number.
#[must_use]
pub fn decimal(number: u32) -> Text<12> {
    let mut digits = [0; 10];
    let (mut rest, mut first) = (number, digits.len());
    for (at, place) in digits.iter_mut().enumerate().rev() {
        // The remainder is a digit.
        *place = b'0' + (rest % 10) as u8;
        (rest, first) = (rest / 10, at);
        if rest == 0 {
            break;
        }
    }
    Text::of(&[digits.get(first..).unwrap_or_default()]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_half_there() {
        let mut text = Text::<6>::of(&[b"abc", b"d"]).unwrap();
        assert_eq!(text.push(b"ef"), Err(Unfit));
        assert_eq!(text.bytes(), b"abcd");
        text.push(b"e").unwrap();
        assert_eq!(text.word().unwrap(), c"abcde");
        assert_eq!(text.push(b"f"), Err(Unfit));
        let mut cut = Text::<4>::default();
        cut.push_what_fits(b"abcdef");
        cut.push_what_fits(b"g");
        assert_eq!(cut.bytes(), b"abc");
        assert_eq!(Text::<4>::of(&[b"a\0b"]).unwrap().word(), Err(Unfit));
    }

    #[test]
    fn numbers_are_written_out() {
        for number in [0, 7, 10, 1234, u32::MAX] {
            assert_eq!(decimal(number).bytes(), number.to_string().as_bytes());
        }
    }
}
