//! JSON as it was written: numbers keep their digits, objects the order of their entries.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep lists and objects may nest.
const MAX_DEPTH: usize = 128;

/// A JSON text, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number's text: nobody rounds it before its type is known.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object; names may come twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one JSON text.
    ///
    /// # Errors
    /// It is not JSON, or nests too deep; in words.
    pub(crate) fn parse(text: &str) -> Result<Json, String> {
        read(text, 0).map_err(|error| error.to_string())
    }
}

/// Borrowed pieces are read one level at a time, so that numbers are still text when they are met.
fn read(text: &str, depth: usize) -> Result<Json, serde_json::Error> {
    if depth > MAX_DEPTH {
        let message = format!("nested deeper than {MAX_DEPTH}");
        return Err(serde::de::Error::custom(message));
    }
    let raw: &RawValue = serde_json::from_str(text)?;
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let Entries(entries) = serde_json::from_str(text)?;
            let read = |(name, raw): (String, &RawValue)| Ok((name, read(raw.get(), depth + 1)?));
            Json::Object(entries.into_iter().map(read).collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let read = |raw: &RawValue| read(raw.get(), depth + 1);
            Json::List(items.into_iter().map(read).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Json::Text(serde_json::from_str(text)?),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ => Json::Number(text.to_owned()),
    })
}

/// The entries of an object, not yet read.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// As JSON, for messages.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => value.fmt(f),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(text) => write!(f, "{}", serde_json::Value::from(&**text)),
            Json::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "[" } else { "," })?;
                }
                f.write_str(if items.is_empty() { "[]" } else { "]" })
            }
            Json::Object(entries) => {
                for (at, (name, value)) in entries.iter().enumerate() {
                    let name = serde_json::Value::from(&**name);
                    write!(f, "{}{name}:{value}", if at == 0 { "{" } else { "," })?;
                }
                f.write_str(if entries.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let digits = "170141183460469231731687303715884105727";
        assert_eq!(Json::parse(digits), Ok(Json::Number(digits.to_owned())));
        assert_eq!(Json::parse(" 1.50e0 "), Ok(Json::Number("1.50e0".to_owned())));
    }

    #[test]
    fn what_was_written_comes_out_again() {
        let text = r#"{"b":[1,-0.5,null,true,"é\n"],"a":{},"c":[],"a":false}"#;
        assert_eq!(Json::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "abc", "1 2", "{", "[1,]", "NaN", "01", "'a'"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(100)).is_ok());
        assert!(Json::parse(&nested(10_000)).unwrap_err().contains("128"));
    }
}
