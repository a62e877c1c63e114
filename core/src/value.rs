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

use serde::Serialize;
use serde::de::DeserializeOwned;

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
    let mut out = Vec::with_capacity(64);
    encode_into(value, &mut out)?;
    Ok(out)
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
    let mut rest = bytes;
    check(bytes, MAX_DEPTH)?;
    let value = decode_next(&mut rest)?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(ValueError::Trailing(trailing)),
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
