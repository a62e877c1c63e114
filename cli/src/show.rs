//! Values as JSON.
//!
//! What JSON has no form for gets one that [`fit`](crate::fit) reads back:
//!
//! | value | JSON |
//! |---|---|
//! | bytes | `{"base64": "…"}` |
//! | NaN and the infinities | `"NaN"`, `"inf"`, `"-inf"` |
//! | integers of up to 128 bits | numbers |
//! | a map with keys that are not all text | `[[key, value], …]` |
//! | another tagged value | `{"tag": 0, "value": …}` |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The tags of integers that have more than 64 bits: from 0 up, and from -1 down.
const BIG: [u64; 2] = [2, 3];

/// A value that serializes as JSON.
pub(crate) struct Shown<'a>(pub(crate) &'a Value);

/// The value as one line of JSON.
pub(crate) fn json(value: &Value) -> String {
    serde_json::to_string(&Shown(value)).expect("keys are text, and writing to memory works")
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::Integer(value) => to.serialize_i128((*value).into()),
            Value::Float(value) if value.is_nan() => to.serialize_str("NaN"),
            Value::Float(value) if value.is_infinite() => {
                to.serialize_str(if *value > 0.0 { "inf" } else { "-inf" })
            }
            Value::Float(value) => to.serialize_f64(*value),
            Value::Text(text) => to.serialize_str(text),
            Value::Bytes(bytes) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(bytes))?;
                map.end()
            }
            Value::Array(items) => to.collect_seq(items.iter().map(Shown)),
            Value::Map(entries) if entries.iter().all(|(key, _)| key.is_text()) => {
                let entries = entries.iter().filter_map(|(key, it)| Some((key.as_text()?, it)));
                to.collect_map(entries.map(|(key, value)| (key, Shown(value))))
            }
            Value::Map(entries) => {
                to.collect_seq(entries.iter().map(|(key, value)| [Shown(key), Shown(value)]))
            }
            Value::Tag(tag, value) => match big(*tag, value) {
                Some(Big::Positive(value)) => to.serialize_u128(value),
                Some(Big::Negative(value)) => to.serialize_i128(value),
                None => {
                    let mut map = to.serialize_map(Some(2))?;
                    map.serialize_entry("tag", tag)?;
                    map.serialize_entry("value", &Shown(value))?;
                    map.end()
                }
            },
            other => to.serialize_str(&format!("{other:?}")),
        }
    }
}

enum Big {
    Positive(u128),
    Negative(i128),
}

/// An integer of more than 64 bits that 128 hold.
fn big(tag: u64, value: &Value) -> Option<Big> {
    let bytes = value.as_bytes().filter(|_| BIG.contains(&tag))?;
    let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    if digits.len() > 16 {
        return None;
    }
    let magnitude = digits.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    if tag == BIG[0] {
        return Some(Big::Positive(magnitude));
    }
    // -1 - n
    i128::try_from(magnitude).ok().map(|magnitude| Big::Negative(!magnitude))
}

#[cfg(test)]
mod tests {
    use farcall::value::{decode, encode};

    use super::*;

    fn shown(value: impl serde::Serialize) -> String {
        json(&decode(&encode(&value).unwrap()).unwrap())
    }

    #[test]
    fn what_json_has_is_itself() {
        assert_eq!(shown((1, -2.5, "é\n", true, ())), r#"[1,-2.5,"é\n",true,null]"#);
        assert_eq!(shown(3.0), "3.0");
        assert_eq!(shown(Some(1)), "1");
    }

    #[test]
    fn integers_of_any_size_are_numbers() {
        for value in [i128::MIN, -1 << 64, -1, 0, 1 << 63, 1 << 64, i128::MAX] {
            assert_eq!(shown(value), value.to_string());
        }
        assert_eq!(shown(u128::MAX), u128::MAX.to_string());
        let huge = Value::Tag(2, Box::new(Value::Bytes(vec![1; 17])));
        assert!(json(&huge).starts_with(r#"{"tag":2,"value":{"base64":"#));
    }

    #[test]
    fn floats_that_json_lacks_are_words() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(shown(values), r#"["NaN","inf","-inf"]"#);
    }

    #[test]
    fn bytes_are_base64() {
        assert_eq!(shown(farcall::Bytes::from(vec![0, 255])), r#"{"base64":"AP8="}"#);
    }

    #[test]
    fn maps_with_other_keys_are_lists_of_pairs() {
        assert_eq!(shown(std::collections::BTreeMap::from([("b", 1)])), r#"{"b":1}"#);
        let map = std::collections::BTreeMap::from([(1, "a"), (2, "b")]);
        assert_eq!(shown(map), r#"[[1,"a"],[2,"b"]]"#);
    }

    #[test]
    fn entries_keep_their_order() {
        #[derive(serde::Serialize)]
        struct Report {
            year: u16,
            month: u8,
        }
        assert_eq!(shown(Report { year: 2026, month: 1 }), r#"{"year":2026,"month":1}"#);
    }
}
