//! The hash of a service's types, by which equals know each other at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::alternatives::DOCS;
use super::{Definitions, Schema};
use crate::service::{Descriptor, MethodDescriptor};

/// As many bytes of it as fit into a short string as digits. It need not withstand anybody: a server
/// that lies about its hash could as well lie about its types.
const BYTES: usize = 12;

/// The hash of what a service offers and expects: SHA-256 over their canonical form, the first 12
/// bytes in hexadecimal digits.
///
/// Names of services, orders of methods, and whatever is for people alone, have no part in it.
pub(super) fn of(offers: &Descriptor, expects: &Descriptor) -> String {
    let canonical = json!([canonical(offers), canonical(expects)]).to_string();
    let mut hash = String::new();
    for byte in &Sha256::digest(canonical)[..BYTES] {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

fn canonical(document: &Descriptor) -> Value {
    let methods: BTreeMap<&str, Value> =
        document.methods.iter().map(|it| (&*it.name, method(it))).collect();
    let Definitions { read, written } = &document.definitions;
    let all = |definitions: &BTreeMap<String, Schema>| -> Map<String, Value> {
        let entries = definitions.iter();
        entries.map(|(name, schema)| (name.clone(), value(schema.as_json()))).collect()
    };
    json!([sorted(methods), sorted(all(read)), sorted(all(written))])
}

fn method(method: &MethodDescriptor) -> Value {
    let params = method.params.iter().map(|param| {
        json!([param.name, value(param.schema.as_json()), param.optional, param.stream])
    });
    let error = method.error_schema.as_ref().map(|schema| value(schema.as_json()));
    json!([params.collect::<Vec<_>>(), value(method.result_schema.as_json()), method.stream, error])
}

/// Lists of pairs by their names: an object would keep the order it was written in, if a crate
/// somewhere turns that on in serde_json.
fn sorted(entries: impl IntoIterator<Item = (impl Into<String>, Value)>) -> Value {
    let entries: BTreeMap<String, Value> =
        entries.into_iter().map(|(name, value)| (name.into(), value)).collect();
    entries.into_iter().map(|(name, value)| json!([name, value])).collect()
}

/// A schema without words for people, in one order.
fn value(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return schema.clone() };
    let mut entries: BTreeMap<&str, Value> = BTreeMap::new();
    for (key, it) in map.iter().filter(|(key, _)| !DOCS.contains(&&***key)) {
        let canonical = match (&**key, it) {
            ("properties" | "patternProperties" | "dependentSchemas", Value::Object(fields)) => {
                sorted(fields.iter().map(|(name, schema)| (name.clone(), value(schema))))
            }
            ("anyOf" | "oneOf", Value::Array(parts)) => {
                let (words, mut parts) = words(parts);
                if parts.is_empty() {
                    // What a comment on a variant takes apart is still one list of words.
                    entries.insert("enum", words.into_iter().collect());
                    entries.insert("type", "string".into());
                    continue;
                }
                if !words.is_empty() {
                    parts.push(json!(words));
                }
                parts.sort_by_cached_key(ToString::to_string);
                entries.insert("anyOf", Value::Array(parts));
                continue;
            }
            ("allOf" | "prefixItems", Value::Array(parts)) => parts.iter().map(value).collect(),
            ("required" | "enum" | "type", Value::Array(items)) => {
                let mut items = items.clone();
                items.sort_by_cached_key(ToString::to_string);
                Value::Array(items)
            }
            ("const", word @ Value::String(_)) => {
                entries.insert("enum", json!([word]));
                continue;
            }
            ("const" | "enum" | "required", it) => it.clone(),
            (_, it @ Value::Object(_)) => value(it),
            (_, it) => it.clone(),
        };
        entries.insert(key, canonical);
    }
    sorted(entries)
}

/// The alternatives that are single words, and the others.
fn words(parts: &[Value]) -> (BTreeSet<String>, Vec<Value>) {
    let mut words = BTreeSet::new();
    let mut others = Vec::new();
    for part in parts {
        let of_text = part["type"] == "string";
        match (&part["const"], &part["enum"]) {
            (Value::String(word), _) if of_text => {
                words.insert(word.clone());
            }
            (_, Value::Array(list)) if of_text => {
                words.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            _ => others.push(value(part)),
        }
    }
    (words, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people_are_left_out_and_fields_of_their_names_are_not() {
        let with = json!({"type": "object", "title": "T", "description": "d",
                          "properties": {"title": {"type": "string", "default": ""}}});
        let without = json!({"properties": {"title": {"type": "string"}}, "type": "object"});
        assert_eq!(value(&with), value(&without));
        assert_ne!(value(&without), value(&json!({"type": "object", "properties": {}})));
    }

    #[test]
    fn a_comment_on_a_variant_changes_nothing() {
        let plain = json!({"type": "string", "enum": ["A", "B"]});
        let commented = json!({"oneOf": [
            {"type": "string", "const": "B", "description": "b"}, {"type": "string", "enum": ["A"]},
        ]});
        assert_eq!(value(&plain), value(&commented));
    }

    #[test]
    fn orders_that_mean_nothing_change_nothing() {
        let [a, b] = [["x", "y"], ["y", "x"]].map(|required| value(&json!({"required": required})));
        assert_eq!(a, b);
        let [a, b] = [["x", "y"], ["y", "x"]].map(|types| value(&json!({"prefixItems": types})));
        assert_ne!(a, b, "a tuple has an order");
    }

    #[test]
    fn the_hash_of_a_descriptor_stays() {
        let mut offers = Descriptor::default();
        offers.methods.push(MethodDescriptor { name: "add".into(), ..Default::default() });
        let hash = of(&offers, &Descriptor::default());
        assert_eq!(hash.len(), 2 * BYTES);
        offers.docs = "Reckons.".into();
        offers.methods[0].idempotent = true;
        assert_eq!(of(&offers, &Descriptor::default()), hash);
        offers.methods[0].stream = true;
        assert_ne!(of(&offers, &Descriptor::default()), hash);
    }
}
