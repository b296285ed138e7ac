//! A codec that counts before it decodes: what a message becomes in memory is bounded by it.
//!
//! An entry of a list takes two bytes on the wire and a hundred in memory, so that a message
//! within its limit could become more than the root helper may have.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// Fields that a message may have, each entry of a list counted.
const MOST_FIELDS: usize = 16 << 10;

/// gRPC's usual codec, for messages of so many fields.
#[derive(Debug)]
pub(crate) struct BoundedCodec<T, U>(PhantomData<(T, U)>);

/// Its decoder.
#[derive(Debug)]
pub(crate) struct BoundedDecoder<U>(ProstDecoder<U>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> Codec for BoundedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstCodec::<T, U>::raw_decoder(BufferSettings::default()))
    }
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic hands over one piece; anything else would be counted too low.
        if buffer.chunk().len() != buffer.remaining() || has_too_many(buffer.chunk()) {
            return Err(Status::invalid_argument("the message has too many entries"));
        }
        self.0.decode(buffer)
    }
}

/// Whether a message has more fields than it may. What is no message has as many as were read:
/// the decoder says the rest.
fn has_too_many(mut bytes: &[u8]) -> bool {
    (0..=MOST_FIELDS).all(|_| skip_field(&mut bytes).is_some())
}

/// Goes past one field, whatever its number; `None` at the end, or at what is none.
fn skip_field(bytes: &mut &[u8]) -> Option<()> {
    let skipped = match number(bytes)? & 7 {
        0 => return number(bytes).map(drop),
        1 => 8,
        2 => usize::try_from(number(bytes)?).ok()?,
        // The two ends of a group: fields between them count by themselves.
        3 | 4 => 0,
        5 => 4,
        _ => return None,
    };
    *bytes = bytes.get(skipped..)?;
    Some(())
}

/// A number of seven bits a byte.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::roothelper as wire;

    #[test]
    fn entries_are_counted_whatever_their_form() {
        let paths = |count| {
            wire::ReadExt4FileRequest { paths: vec![b"/".to_vec(); count], ..Default::default() }
                .encode_to_vec()
        };
        assert!(!has_too_many(&paths(MOST_FIELDS)));
        assert!(has_too_many(&paths(MOST_FIELDS + 1)));
        // Empty entries, numbers, fixed numbers and groups of no known field.
        for field in [
            &[0x12, 0][..],
            &[0x18, 1],
            &[0x7d, 0, 0, 0, 0],
            &[0x79, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x7b, 0x7c],
        ] {
            assert!(has_too_many(&field.repeat(MOST_FIELDS + 1)), "{field:?}");
            assert!(!has_too_many(&field.repeat(MOST_FIELDS / 2)), "{field:?}");
        }
        for none in [&[][..], &[0xff; 20], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], &[7]] {
            assert!(!has_too_many(none), "{none:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_the_wire_has_them() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut wire = Vec::new();
            prost::encoding::encode_varint(value, &mut wire);
            assert_eq!(number(&mut &*wire), Some(value));
        }
    }
}
