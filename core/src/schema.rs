//! What methods take and give, as JSON Schema, and whether two versions of a service fit together.
//!
//! A service tells two things of itself, both in one [`ServiceSchema`]: what its servers *offer*
//! (the parameters they read, the results they write) and what its clients *expect* (the parameters
//! they write, the results they read). These differ where serde writes a type in another way than it
//! reads it, such as fields with a default. A [hash](Descriptor::schema) of both is announced with
//! each server. Where a client's own differs, it asks for the server's [`Descriptor`] and
//! [`compare`]s.
//!
//! Schemas are those of [`schemars`](https://docs.rs/schemars), draft 2020-12, with two words of our
//! own, since values travel as CBOR:
//!
//! | schema | value |
//! |---|---|
//! | `{"format": "bytes"}` | a byte string |
//! | `true` | anything, such as an [`Opaque`](crate::Opaque) |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

use crate::service::Descriptor;

mod alternatives;
mod compare;
mod describer;
mod fingerprint;
mod methods;

pub use describer::{Describe, Described, Describer, Documents, Methods, describe};
pub use methods::{Difference, Part, Verdict, compare};

/// A JSON Schema: an object, `true` (anything) or `false` (nothing).
///
/// References in it, `#/$defs/Name`, are to the [`Definitions`] of its service.
#[derive(Clone, PartialEq, Eq)]
pub struct Schema(Value);

/// The schemas that others refer to. A type has two of the same name if it is both read and written.
///
/// References are JSON pointers into the [`Descriptor`], as JSON: `#/$defs/read/Point`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Definitions {
    /// The values that serde reads, by the names of their types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub read: BTreeMap<String, Schema>,
    /// The values that serde writes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub written: BTreeMap<String, Schema>,
}

/// Where definitions of values that are read, and of those that are written, are in a descriptor.
const PATHS: [&str; 2] = ["/$defs/read", "/$defs/written"];

impl Definitions {
    /// What a reference, `#/$defs/…`, refers to.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<&Schema> {
        let (path, name) = reference.strip_prefix('#')?.rsplit_once('/')?;
        let definitions = match PATHS.iter().position(|known| *known == path)? {
            0 => &self.read,
            _ => &self.written,
        };
        definitions.get(name).or_else(|| definitions.get(&unescaped(name)?))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty()
    }
}

/// A name out of a JSON pointer in a URI.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(String::from_utf8(bytes).ok()?.replace("~1", "/").replace("~0", "~"))
}

impl Schema {
    /// The schema of bytes.
    #[must_use]
    pub fn bytes() -> Schema {
        Schema(serde_json::json!({ "format": "bytes" }))
    }

    /// The schema as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The forms that its values may have, with `definitions` put in place at the top of each: one type
    /// each, and one constant if it has such. Types inside of a form may still be references.
    ///
    /// A reference that leads nowhere, or in circles, is left out; what nests without end is cut off.
    #[must_use]
    pub fn forms(&self, definitions: &Definitions) -> Vec<Schema> {
        const MAX_FORMS: usize = 10_000;
        const MAX_DEPTH: usize = 16;
        let mut found = Vec::new();
        let mut open = vec![(self.0.clone(), 0)];
        while let Some((schema, depth)) = open.pop() {
            let Some(whole) = alternatives::whole(&schema, definitions) else { continue };
            if alternatives::is_whole(&whole) {
                found.push(Schema(whole.into_owned()));
            } else if depth < MAX_DEPTH && found.len() + open.len() < MAX_FORMS {
                let forms = alternatives::forms(&whole).into_iter().rev();
                open.extend(forms.map(|form| (form.into_owned(), depth + 1)));
            }
        }
        found
    }

    /// Whether it says nothing of its values.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        alternatives::is_anything(&self.0)
    }
}

impl Default for Schema {
    /// Anything.
    fn default() -> Schema {
        Schema(Value::Bool(true))
    }
}

impl From<Value> for Schema {
    fn from(json: Value) -> Schema {
        Schema(json)
    }
}

impl From<schemars::Schema> for Schema {
    fn from(schema: schemars::Schema) -> Schema {
        Schema(schema.to_value())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Plain(&self.0).serialize(to)
    }
}

/// A JSON value whose numbers are numbers in every format. serde_json's own are something else as
/// soon as any crate of the program turns on its feature `arbitrary_precision`.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => to.serialize_u64(number),
                (_, Some(number), _) => to.serialize_i64(number),
                (.., Some(number)) => to.serialize_f64(number),
                _ => to.serialize_str(&number.to_string()),
            },
            Value::String(text) => to.serialize_str(text),
            Value::Array(items) => to.collect_seq(items.iter().map(Plain)),
            Value::Object(map) => to.collect_map(map.iter().map(|(name, it)| (name, Plain(it)))),
        }
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Schema)
    }
}

/// What the servers and the clients of a service tell of it: made at the first question, once in
/// the life of a program.
#[derive(Debug)]
pub struct ServiceSchema {
    describe: fn() -> Documents,
    documents: OnceLock<Documents>,
}

impl ServiceSchema {
    /// Of what `describe` says, which is asked once.
    #[must_use]
    pub const fn new(describe: fn() -> Documents) -> Self {
        ServiceSchema { describe, documents: OnceLock::new() }
    }

    /// What its servers offer.
    ///
    /// # Panics
    /// The first time, if a `JsonSchema` that somebody wrote by hand does.
    pub fn offers(&self) -> &Descriptor {
        &self.documents().offers
    }

    /// What its clients expect.
    ///
    /// # Panics
    /// As [`offers`](ServiceSchema::offers).
    pub fn expects(&self) -> &Descriptor {
        &self.documents().expects
    }

    /// The hash of both.
    ///
    /// # Panics
    /// As [`offers`](ServiceSchema::offers).
    pub fn hash(&self) -> &str {
        &self.documents().offers.schema
    }

    fn documents(&self) -> &Documents {
        self.documents.get_or_init(self.describe)
    }
}

/// A text that is mostly there at compile time.
type Text = Cow<'static, str>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn references_are_found_by_their_escaped_names() {
        let mut definitions = Definitions::default();
        definitions.written.insert("Page<é/~>".to_owned(), Schema::bytes());
        let found = definitions.resolve("#/$defs/written/Page%3C%C3%A9~1~0%3E");
        assert_eq!(found, Some(&Schema::bytes()));
        for other in ["#/$defs/read/Page%3C%C3%A9~1~0%3E", "#/$defs/written/x", "#", "", "%"] {
            assert_eq!(definitions.resolve(other), None, "{other}");
        }
    }

    #[test]
    fn forms_are_found_behind_references_and_unions() {
        let mut definitions = Definitions::default();
        let shape = serde_json::json!({"oneOf": [{"enum": ["Dot", "Line"]}, {"type": "object"}]});
        definitions.read.insert("Shape".to_owned(), shape.into());
        definitions
            .read
            .insert("Loop".to_owned(), serde_json::json!({"$ref": "#/$defs/read/Loop"}).into());
        let forms = |json: Value| {
            let forms = Schema::from(json).forms(&definitions).into_iter();
            forms.map(|form| form.to_string()).collect::<Vec<_>>()
        };
        let shape = serde_json::json!({"$ref": "#/$defs/read/Shape"});
        assert_eq!(
            forms(serde_json::json!({"anyOf": [shape, {"type": "null"}]})),
            [
                r#"{"const":"Dot"}"#,
                r#"{"const":"Line"}"#,
                r#"{"type":"object"}"#,
                r#"{"type":"null"}"#
            ]
        );
        assert!(forms(serde_json::json!({"$ref": "#/$defs/read/Loop"})).is_empty());
        assert_eq!(forms(Value::Bool(true)), ["true"]);
    }

    #[test]
    fn a_schema_travels_as_it_is() {
        let json = serde_json::json!({
            "type": ["integer", "null"], "minimum": -1, "maximum": 2.5, "x": u64::MAX, "y": {},
        });
        let schema = Schema::from(json);
        let read: Schema = value::decode(&value::encode(&schema).unwrap()).unwrap();
        assert_eq!(read, schema);
        assert_eq!(serde_json::to_value(&schema).unwrap(), *schema.as_json());
    }
}
