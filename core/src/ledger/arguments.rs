//! Whether two calls have the same arguments, however they were written.

use bytes::Bytes;
use ciborium::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::value::{self, ValueError};

/// A hash of a call's method and arguments: SHA-256 of their one deterministic form.
///
/// In that form arguments are by position, absent and null ones at the end are left out, maps are sorted by their
/// encoded keys and lengths are definite (RFC 8949, 4.2.1). So a call by names and one by position, or by a
/// program that sorts its maps in another way, have the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArgumentsHash(#[serde(with = "serde_bytes_32")] pub [u8; 32]);

mod serde_bytes_32 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::byte_string::Bytes;

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        Bytes::from(hash.to_vec()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let bytes = Bytes::deserialize(from)?;
        <[u8; 32]>::try_from(&bytes[..]).map_err(|_| D::Error::custom("a hash has 32 bytes"))
    }
}

impl ArgumentsHash {
    /// Of a call of `method`, whose parameters have these names in their order.
    ///
    /// # Errors
    /// The parameters are not CBOR.
    pub fn new(method: &str, names: &[&str], params: &Bytes) -> Result<Self, ValueError> {
        let mut params = match value::decode(params)? {
            Value::Map(entries) => by_position(entries, names),
            other => other,
        };
        if let Value::Array(items) = &mut params {
            while items.last() == Some(&Value::Null) {
                items.pop();
            }
        }
        sort(&mut params);
        let mut hash = Sha256::new();
        hash.update((method.len() as u64).to_be_bytes());
        hash.update(method);
        hash.update(value::encode(&params)?);
        Ok(ArgumentsHash(hash.finalize().into()))
    }
}

/// Arguments by name, in the order of the parameters. What has an unknown name is refused by the method, and
/// stays in the hash until then.
fn by_position(entries: Vec<(Value, Value)>, names: &[&str]) -> Value {
    let place = |name: &Value| match name {
        Value::Text(name) => names.iter().position(|known| known == name),
        _ => None,
    };
    if entries.iter().any(|(name, _)| place(name).is_none()) {
        return Value::Map(entries);
    }
    let mut items = vec![Value::Null; names.len()];
    for (name, argument) in entries {
        if let Some(at) = place(&name) {
            items[at] = argument;
        }
    }
    Value::Array(items)
}

/// Sorts the maps in a value by their encoded keys. The value was read within the bounds of depth.
fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort),
        Value::Tag(_, inner) => sort(inner),
        Value::Map(entries) => {
            for (key, inner) in entries.iter_mut() {
                sort(key);
                sort(inner);
            }
            entries.sort_by_cached_key(|(key, _)| value::encode(key).unwrap_or_default());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn hash(params: &impl Serialize) -> ArgumentsHash {
        let params = value::encode(params).unwrap().into();
        ArgumentsHash::new("m", &["a", "b", "c"], &params).unwrap()
    }

    fn raw(params: &'static [u8]) -> ArgumentsHash {
        ArgumentsHash::new("m", &["a", "b", "c"], &Bytes::from_static(params)).unwrap()
    }

    #[test]
    fn by_name_and_by_position_are_the_same() {
        assert_eq!(
            hash(&(1, "x")),
            hash(&BTreeMap::from([("a", Value::from(1)), ("b", "x".into())]))
        );
        assert_ne!(hash(&(1, "x")), hash(&(1, "y")));
    }

    #[test]
    fn what_is_left_out_at_the_end_is_null() {
        assert_eq!(hash(&(1,)), hash(&(1, None::<u8>, None::<u8>)));
        assert_eq!(hash(&(1,)), hash(&BTreeMap::from([("a", 1)])));
        assert_ne!(hash(&(None::<u8>, 1)), hash(&(1,)));
    }

    #[test]
    fn the_order_of_a_maps_keys_and_its_way_of_writing_lengths_mean_nothing() {
        // [{"x": 1, "y": 2}], [{"y": 2, "x": 1}] and the second with an indefinite length.
        let first = raw(&[0x81, 0xa2, 0x61, b'x', 1, 0x61, b'y', 2]);
        assert_eq!(first, raw(&[0x81, 0xa2, 0x61, b'y', 2, 0x61, b'x', 1]));
        assert_eq!(first, raw(&[0x81, 0xbf, 0x61, b'y', 2, 0x61, b'x', 1, 0xff]));
        // A number need not be in its shortest form.
        assert_eq!(raw(&[0x81, 1]), raw(&[0x81, 0x18, 1]));
    }

    #[test]
    fn an_integer_is_no_float_and_the_method_counts() {
        assert_ne!(hash(&(1,)), hash(&(1.0,)));
        let params = value::encode(&(1,)).unwrap().into();
        let other = ArgumentsHash::new("n", &["a"], &params).unwrap();
        assert_ne!(hash(&(1,)), other);
    }
}
