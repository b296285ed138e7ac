//! Little-endian numbers in byte buffers, without a way to panic.
//!
//! Reading past the end gives `None`; writing past the end does nothing and
//! says so. On-disk records declare their fields with [`fields!`].

/// A value with a fixed little-endian form.
pub trait Field: Copy + Default {
    /// Bytes it takes.
    const SIZE: usize;
    /// Decodes exactly [`Self::SIZE`] bytes; anything else is `None`.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Encodes into exactly [`Self::SIZE`] bytes; false when they are not that many.
    fn encode(self, bytes: &mut [u8]) -> bool;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const SIZE: usize = size_of::<$type>();
            fn decode(bytes: &[u8]) -> Option<Self> {
                Some(<$type>::from_le_bytes(bytes.try_into().ok()?))
            }
            fn encode(self, bytes: &mut [u8]) -> bool {
                let from = self.to_le_bytes();
                let fits = bytes.len() == from.len();
                if fits {
                    bytes.copy_from_slice(&from);
                }
                fits
            }
        }
    )*};
}
number!(u8, u16, u32, u64);

impl<const N: usize> Field for [u8; N]
where
    [u8; N]: Default,
{
    const SIZE: usize = N;
    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
    fn encode(self, bytes: &mut [u8]) -> bool {
        let fits = bytes.len() == N;
        if fits {
            bytes.copy_from_slice(&self);
        }
        fits
    }
}

/// The value at `offset`, or `None` when the buffer ends before it does.
#[must_use]
pub fn get<T: Field>(bytes: &[u8], offset: usize) -> Option<T> {
    T::decode(bytes.get(offset..offset.checked_add(T::SIZE)?)?)
}

/// The value at `offset`, zero where the buffer ends before it does: the
/// meaning ext4 gives to fields beyond a shorter record.
#[must_use]
pub fn get_or_zero<T: Field>(bytes: &[u8], offset: usize) -> T {
    get(bytes, offset).unwrap_or_default()
}

/// Writes `value` at `offset`; false, and nothing written, when it does not fit.
pub fn put<T: Field>(bytes: &mut [u8], offset: usize, value: T) -> bool {
    offset
        .checked_add(T::SIZE)
        .and_then(|end| bytes.get_mut(offset..end))
        .is_some_and(|to| value.encode(to))
}

/// Copies `from` to `offset`; false, and nothing written, when it does not fit.
pub fn put_bytes(bytes: &mut [u8], offset: usize, from: &[u8]) -> bool {
    let to = offset.checked_add(from.len()).and_then(|end| bytes.get_mut(offset..end));
    if let Some(to) = to {
        to.copy_from_slice(from);
        return true;
    }
    false
}

/// Declares the fields of a record that keeps its bytes in `self.raw`: one
/// getter and one setter a field, bytes of unknown fields untouched.
macro_rules! fields {
    ($record:ident { $($(#[$doc:meta])* $get:ident, $set:ident: $type:ty = $offset:literal;)* }) => {
        impl $record {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $get(&self) -> $type {
                    crate::le::get_or_zero(&self.raw, $offset)
                }
                #[doc = concat!("Sets `", stringify!($get), "`, where the record is long enough to hold it.")]
                pub fn $set(&mut self, value: $type) {
                    crate::le::put(&mut self.raw[..], $offset, value);
                }
            )*
        }
    };
}
pub(crate) use fields;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_the_end_is_respected() {
        let mut buffer = [0u8; 8];
        assert!(put(&mut buffer, 4, 0x0102_0304u32));
        assert_eq!(get::<u32>(&buffer, 4), Some(0x0102_0304));
        assert_eq!(get::<u16>(&buffer, 4), Some(0x0304));
        assert_eq!(get::<u32>(&buffer, 5), None);
        assert_eq!(get::<u32>(&buffer, usize::MAX), None);
        assert!(!put(&mut buffer, 7, 1u16));
        assert!(!put(&mut buffer, usize::MAX, 1u16));
        assert_eq!(get_or_zero::<u64>(&buffer, 4), 0);
        assert!(!put_bytes(&mut buffer, 6, b"abc"));
    }
}
