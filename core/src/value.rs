//! Values as they travel: serde through CBOR.
//!
//! ```
//! use farcall_core::value;
//!
//! let bytes = value::encode(&("répétition", 7_u8))?;
//! let back: (String, u8) = value::decode(&bytes)?;
//! assert_eq!(back, ("répétition".to_owned(), 7));
//! # Ok::<(), value::ValueError>(())
//! ```
//!
//! Types that serde derives come back as they went in, over their whole range, but for these:
//!
//! - **`Some` of what is written as null is read as `None`**: `Some(None)` of an `Option<Option<T>>`, and
//!   `Some(())`. An enum in between, such as `Result` or one of your own, keeps them apart.
//! - **`i128` and `u128` do not travel where serde looks ahead**: within enums with
//!   `#[serde(tag = "…")]` and no `content`, or `#[serde(untagged)]`, and within `#[serde(flatten)]`.
//!   Whatever their value, they are refused when they are read.
//! - **A type that asks serde for a lent text (`deserialize_str`) gets 4096 bytes at most**, and refuses
//!   longer ones; `url::Url` is such a type. `String`, `Cow<str>` and `char` are not.
//! - **NaN stays NaN**, but its sign and payload are not promised.
//!
//! An integer is not read as a float, nor a float as an integer. All of this fails or changes the one
//! value; none of it harms another call.

use std::cell::RefCell;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, forward_to_deserialize_any};

use crate::wire::{WireError, well_formed};

/// How deep values may nest; `ciborium` refuses deeper ones.
pub const MAX_DEPTH: usize = 256;

/// How many items a value may be made of. One item becomes at most 32 bytes of a dynamic value, so
/// that a message cannot grow beyond this many times 32 bytes when it is read.
pub const MAX_ITEMS: u64 = 4 * 1024 * 1024;

/// Below this many bytes a value cannot grow enough to be worth a walk of its own before decoding.
const WALK_FROM: usize = 4096;

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The type's `Serialize` refused.
    #[error("{0}")]
    Encode(String),
    /// The bytes are not of the type.
    #[error("{0}")]
    Decode(String),
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// Not CBOR, or not within bounds.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Writes a value.
///
/// # Errors
/// Its `Serialize` fails.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, ValueError> {
    ROUGH.with(|rough| match rough.try_borrow_mut() {
        Ok(mut rough) => {
            rough.clear();
            rough.reserve(ROUGH_BYTES);
            encode_into(value, &mut rough)?;
            if rough.capacity() > ROUGH_BYTES {
                return Ok(std::mem::take(&mut *rough));
            }
            Ok(rough.to_vec())
        }
        // A type whose own `Serialize` encodes another value.
        Err(_) => {
            let mut out = Vec::with_capacity(64);
            encode_into(value, &mut out)?;
            Ok(out)
        }
    })
}

/// Values up to this size are written elsewhere first, and copied.
const ROUGH_BYTES: usize = 4096;

thread_local! {
    // A vector that is exactly full becomes shared bytes as it is, and needs no growing: that is one
    // allocation for a small value instead of three.
    static ROUGH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends a value.
///
/// # Errors
/// Its `Serialize` fails.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), ValueError> {
    ciborium::into_writer(value, out).map_err(|error| match error {
        ciborium::ser::Error::Io(never) => ValueError::Encode(never.to_string()),
        ciborium::ser::Error::Value(message) => ValueError::Encode(message),
    })
}

/// Reads the one value that `bytes` holds.
///
/// # Errors
/// The bytes are not of the type, nest too deep, have too many items, or go on after the value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ValueError> {
    if let Some(string) = ByteString::whole(bytes)
        && let Ok(value) = T::deserialize(string)
    {
        return Ok(value);
    }
    let mut rest = bytes;
    check(bytes, MAX_DEPTH)?;
    let value = decode_next(&mut rest)?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(ValueError::Trailing(trailing)),
    }
}

/// A value that is one byte string, for types that ask for just that: their bytes are copied once,
/// which ciborium does in pieces. Any other type is refused, and then read by ciborium.
struct ByteString<'b>(&'b [u8]);

impl<'b> ByteString<'b> {
    fn whole(bytes: &'b [u8]) -> Option<Self> {
        // Major type 2; most other values are told apart by this alone.
        if bytes.first()? >> 5 != 2 {
            return None;
        }
        let mut decoder = minicbor::Decoder::new(bytes);
        let string = decoder.bytes().ok()?;
        (decoder.position() == bytes.len()).then_some(ByteString(string))
    }
}

impl<'de> Deserializer<'de> for ByteString<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not asked for as bytes"))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(self.0)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bytes(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Bounds what decoding may cost, before it begins. Small values are not worth it.
pub(crate) fn check(bytes: &[u8], depth: usize) -> Result<(), ValueError> {
    if bytes.len() > WALK_FROM {
        well_formed(bytes, depth, MAX_ITEMS)?;
    }
    Ok(())
}

thread_local! {
    // ciborium's own scratch is a fresh, zeroed array of this size for every value.
    static SCRATCH: RefCell<[u8; 4096]> = const { RefCell::new([0; 4096]) };
}

/// Reads the next of several values and moves past it.
pub(crate) fn decode_next<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, ValueError> {
    let read = |bytes: &mut &[u8], scratch: &mut [u8]| {
        ciborium::de::from_reader_with_buffer(bytes, scratch).map_err(|error| match error {
            ciborium::de::Error::Io(_) => ValueError::Wire(WireError::Truncated),
            ciborium::de::Error::Syntax(at) => {
                ValueError::Decode(format!("malformed CBOR at byte {at}"))
            }
            ciborium::de::Error::Semantic(_, message) => ValueError::Decode(message),
            ciborium::de::Error::RecursionLimitExceeded => {
                ValueError::Decode(format!("nested deeper than {MAX_DEPTH}"))
            }
        })
    };
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => read(bytes, &mut scratch[..]),
        // A type whose own `Deserialize` decodes another value.
        Err(_) => read(bytes, &mut [0; 512]),
    })
}

/// Reads the one byte string that `bytes` holds; an array of numbers is taken too.
///
/// # Errors
/// The bytes are neither, or go on after it.
pub fn decode_bytes(bytes: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut rest = bytes;
    let value = decode_next_bytes(&mut rest)?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(ValueError::Trailing(trailing)),
    }
}

/// Reads the next of several values, a byte string or an array of numbers, and moves past it.
pub(crate) fn decode_next_bytes(bytes: &mut &[u8]) -> Result<Vec<u8>, ValueError> {
    // The plain form, which is what farcall itself sends, is one copy.
    let mut decoder = minicbor::Decoder::new(bytes);
    if let Ok(found) = decoder.bytes() {
        let value = found.to_vec();
        *bytes = &bytes[decoder.position()..];
        return Ok(value);
    }
    decode_next(bytes)
}

/// Writes bytes as one byte string.
#[must_use]
pub fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    // Exactly full, a vector becomes shared bytes without another allocation.
    let head = crate::params::head_len(bytes.len() as u64);
    let mut out = Vec::with_capacity(head + bytes.len());
    crate::params::write_head(2, bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use serde::Serializer;

    use super::*;
    use crate::Bytes;

    #[test]
    fn a_small_value_is_exactly_full() {
        let bytes = encode(&vec!["x"; 100]).unwrap();
        assert_eq!(bytes.capacity(), bytes.len());
    }

    #[test]
    fn a_value_may_encode_another_while_it_is_written() {
        struct Outer;
        impl Serialize for Outer {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let inner = encode(&"inner").unwrap();
                serializer.serialize_bytes(&inner)
            }
        }
        let bytes = encode(&("outer", Outer)).unwrap();
        let (_, inner): (String, Bytes) = decode(&bytes).unwrap();
        assert_eq!(decode::<String>(&inner).unwrap(), "inner");
    }

    #[test]
    fn a_byte_string_is_read_as_bytes_whatever_its_size_and_as_nothing_else() {
        for len in [0, 1, 23, 24, 255, 256, 5000, 70_000] {
            let written = encode(&Bytes::from(vec![b'x'; len])).unwrap();
            assert_eq!(decode::<Bytes>(&written).unwrap().len(), len);
            let optional: Option<Bytes> = decode(&written).unwrap();
            assert_eq!(optional.unwrap().len(), len);
            assert!(decode::<String>(&written).is_err());
            assert!(decode::<u64>(&written).is_err());
        }
        let trailing = [encode_bytes(b"xyz"), vec![0]].concat();
        assert_eq!(decode::<Bytes>(&trailing), Err(ValueError::Trailing(1)));
        assert!(decode::<Bytes>(&encode_bytes(b"xyz")[..3]).is_err());
    }
}
