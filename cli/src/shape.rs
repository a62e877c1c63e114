//! What one form of a schema says about the values that fit it.

use std::ops::RangeInclusive;

use farcall::schema::Schema;
use serde_json::Value;

use crate::json::Json;

/// The values of one form of a schema, as [`Schema::forms`] gives them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// This text alone, as a variant without fields has it.
    Word(String),
    /// Another value alone.
    Constant(Value),
    /// A byte string.
    Bytes,
    /// A UUID, which is 16 bytes.
    Uuid,
    /// An address of this format: `ip`, `ipv4`, `ipv6`.
    Address(String),
    /// `true` or `false`.
    Bool,
    /// An integer.
    Integer {
        /// Whether it may be below zero.
        signed: bool,
        /// How many bits it has.
        bits: u32,
    },
    /// A float, which no integer is.
    Float,
    /// A number of either kind.
    Number,
    /// Null.
    Null,
    /// A list or tuple.
    List {
        /// Of the first ones, each its own.
        first: Vec<Schema>,
        /// Of all that follow.
        rest: Box<Schema>,
        /// How many there are.
        len: RangeInclusive<u64>,
    },
    /// Fields.
    Struct {
        /// Those that are known.
        fields: Vec<(String, Schema)>,
        /// Those that have to be there.
        required: Vec<String>,
        /// All others; `None` if there must be none.
        rest: Option<Box<Schema>>,
    },
    /// Keys and values.
    Map(Keys, Box<Schema>),
    /// Anything.
    Anything,
}

/// The keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Text.
    Text,
    /// Integers, which JSON writes as text.
    Integers,
}

impl Shape {
    /// The shape of one form of a schema.
    pub(crate) fn of(form: &Schema) -> Shape {
        let json = form.as_json();
        let word = |key: &str| json.get(key).and_then(Value::as_str);
        match json.get("const") {
            Some(Value::String(word)) => return Shape::Word(word.clone()),
            Some(Value::Null) => return Shape::Null,
            Some(constant) => return Shape::Constant(constant.clone()),
            None => {}
        }
        match (word("type"), word("format")) {
            (None, Some("bytes")) => Shape::Bytes,
            (Some("string"), Some("uuid")) => Shape::Uuid,
            (Some("string"), Some(format @ ("ip" | "ipv4" | "ipv6"))) => {
                Shape::Address(format.to_owned())
            }
            (Some("string"), _) => Shape::Text,
            (Some("boolean"), _) => Shape::Bool,
            (Some("integer"), format) => integer(format.unwrap_or_default()),
            (Some("number"), Some(_)) => Shape::Float,
            (Some("number"), None) => Shape::Number,
            (Some("null"), _) => Shape::Null,
            (Some("array"), _) => list(json),
            (Some("object"), _) => object(json),
            (None, _) if json.get("properties").is_some() => object(json),
            _ => Shape::Anything,
        }
    }

    /// Whether this word fits as it is.
    pub(crate) fn is_word(&self, given: &str) -> bool {
        match self {
            Shape::Word(word) => word == given,
            Shape::Text => true,
            _ => false,
        }
    }

    /// Whether whoever wrote this meant this form, of several.
    pub(crate) fn is_meant_by(&self, json: &Json) -> bool {
        match (self, json) {
            (Shape::Struct { required, .. }, Json::Object(entries)) => {
                let there = |name: &String| entries.iter().any(|(given, _)| given == name);
                required.iter().any(there)
            }
            (Shape::List { .. }, Json::List(_)) | (Shape::Map(..), Json::Object(_)) => true,
            _ => false,
        }
    }

    /// What fits, in words.
    pub(crate) fn expected(&self) -> String {
        match self {
            Shape::Text => "a string in quotes".to_owned(),
            Shape::Word(word) => format!("`{word}`"),
            Shape::Constant(constant) => constant.to_string(),
            Shape::Bytes => "bytes (a string, a list of numbers, {\"base64\": \"…\"})".to_owned(),
            Shape::Uuid => "a UUID".to_owned(),
            Shape::Address(format) => format!("an address ({format})"),
            Shape::Bool => "true or false".to_owned(),
            Shape::Integer { signed, bits: 128 } => {
                format!("an integer of 128 bits{}", if *signed { "" } else { ", not below 0" })
            }
            Shape::Integer { signed: true, bits } => {
                let top = i128::MAX >> (128 - bits);
                format!("an integer from {} to {top}", -top - 1)
            }
            Shape::Integer { signed: false, bits } => {
                format!("an integer from 0 to {}", u128::MAX >> (128 - bits))
            }
            Shape::Float => "a number, NaN, inf or -inf".to_owned(),
            Shape::Number => "a number".to_owned(),
            Shape::Null => "null".to_owned(),
            Shape::List { len, .. } if len.start() == len.end() => {
                format!("a list of {}", len.start())
            }
            Shape::List { .. } => "a list".to_owned(),
            Shape::Struct { fields, .. } => {
                let names: Vec<_> = fields.iter().map(|(name, _)| format!("`{name}`")).collect();
                format!("an object of {}", names.join(", "))
            }
            Shape::Map(..) => "an object".to_owned(),
            Shape::Anything => "JSON".to_owned(),
        }
    }
}

fn integer(format: &str) -> Shape {
    let (signed, width) = match format.strip_prefix('u') {
        Some(width) => (false, width),
        None => (true, format),
    };
    match width.strip_prefix("int").map(str::parse) {
        Some(Ok(bits @ (8 | 16 | 32 | 64 | 128))) => Shape::Integer { signed, bits },
        // `int` and `uint` are those of a pointer's size.
        Some(_) => Shape::Integer { signed, bits: 64 },
        None => Shape::Integer { signed: true, bits: 128 },
    }
}

fn list(json: &Value) -> Shape {
    let number = |key: &str| json.get(key).and_then(Value::as_u64);
    let first = json.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
    Shape::List {
        first: first.cloned().map(Schema::from).collect(),
        rest: Box::new(json.get("items").cloned().map(Schema::from).unwrap_or_default()),
        len: number("minItems").unwrap_or(0)..=number("maxItems").unwrap_or(u64::MAX),
    }
}

fn object(json: &Value) -> Shape {
    let entries = |key: &str| json.get(key).and_then(Value::as_object).into_iter().flatten();
    let mut fields: Vec<(String, Schema)> =
        entries("properties").map(|(name, it)| (name.clone(), it.clone().into())).collect();
    let required = json.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> = required.filter_map(|it| Some(it.as_str()?.to_owned())).collect();
    // Those that have to be there first, for people who read messages.
    fields.sort_by_key(|(name, _)| !required.contains(name));
    let other = json.get("additionalProperties").or(json.get("unevaluatedProperties"));
    let pattern = entries("patternProperties").next();
    match (pattern, other) {
        (Some((pattern, values)), _) if fields.is_empty() => {
            let integers = [r"^\d+$", r"^-?\d+$"].contains(&&**pattern);
            let keys = if integers { Keys::Integers } else { Keys::Text };
            Shape::Map(keys, Box::new(values.clone().into()))
        }
        (None, Some(values)) if fields.is_empty() && *values != Value::Bool(false) => {
            Shape::Map(Keys::Text, Box::new(values.clone().into()))
        }
        (_, other) => {
            let rest = match other {
                Some(Value::Bool(false)) => None,
                Some(values) => Some(Box::new(values.clone().into())),
                None => Some(Box::default()),
            };
            Shape::Struct { fields, required, rest }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(json: Value) -> Shape {
        Shape::of(&Schema::from(json))
    }

    #[test]
    fn formats_tell_how_wide_an_integer_is() {
        for (format, signed, bits) in
            [("int8", true, 8), ("uint64", false, 64), ("uint", false, 64), ("int128", true, 128)]
        {
            let shape = of(json!({"type": "integer", "format": format}));
            assert_eq!(shape, Shape::Integer { signed, bits }, "{format}");
        }
        assert_eq!(of(json!({"type": "integer"})), Shape::Integer { signed: true, bits: 128 });
    }

    #[test]
    fn a_map_is_told_from_a_struct() {
        let text = || Box::new(Schema::from(json!({"type": "string"})));
        assert_eq!(
            of(json!({"type": "object", "additionalProperties": {"type": "string"}})),
            Shape::Map(Keys::Text, text())
        );
        assert_eq!(
            of(json!({"type": "object", "patternProperties": {r"^-?\d+$": {"type": "string"}},
                      "additionalProperties": false})),
            Shape::Map(Keys::Integers, text())
        );
        let point = of(json!({"type": "object", "properties": {"x": {"type": "string"}}}));
        let fields = vec![("x".to_owned(), *text())];
        assert_eq!(
            point,
            Shape::Struct { fields, required: Vec::new(), rest: Some(Box::default()) }
        );
    }

    #[test]
    fn what_is_said_of_nothing_is_anything() {
        for json in [json!(true), json!({}), json!({"title": "T"}), json!({"not": {"const": 0}})] {
            assert_eq!(of(json.clone()), Shape::Anything, "{json}");
        }
    }
}
