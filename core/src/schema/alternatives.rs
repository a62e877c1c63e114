//! A schema taken apart into the forms that its values may have.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Definitions;

/// Words for people, and hints that no value depends on.
pub(super) const DOCS: [&str; 9] = [
    "$comment",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// A reference to another that refers to another ends here.
const MAX_REFERENCES: usize = 64;

/// Parts that one schema is put together of.
const MAX_PARTS: usize = 1000;

/// What forms may have in common, in nodes of JSON, times their number: it is copied into each.
const MAX_COPIES: usize = 100_000;

/// A word of no schema: what is there is not understood.
pub(super) const AND: &str = "farcall:and";

/// Whether a schema says nothing of its values.
pub(super) fn is_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(any) => *any,
        Value::Object(map) => map.keys().all(|key| DOCS.contains(&&**key)),
        _ => false,
    }
}

/// The reference that is all there is to a schema.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    let map = schema.as_object()?;
    let reference = map.get("$ref")?.as_str()?;
    let alone = map.keys().all(|key| key == "$ref" || DOCS.contains(&&**key));
    alone.then_some(reference)
}

/// The schema with the references and `allOf` at its top put in place, as one object or `true` or
/// `false`. `None` if one refers to nothing, or in circles, or has too many parts.
pub(super) fn whole<'a>(schema: &'a Value, definitions: &'a Definitions) -> Option<Cow<'a, Value>> {
    let mut schema = Cow::Borrowed(schema);
    for _ in 0..MAX_REFERENCES {
        let Some(map) = schema.as_object() else { return Some(schema) };
        if let Some(reference) = reference(&schema) {
            schema = Cow::Borrowed(definitions.resolve(reference)?.as_json());
        } else if map.contains_key("$ref") || map.contains_key("allOf") {
            schema = Cow::Owned(merged(map, definitions, MAX_REFERENCES, &mut { MAX_PARTS })?);
        } else {
            return Some(schema);
        }
    }
    None
}

/// Puts the references and parts of one object in place.
fn merged(
    map: &Map<String, Value>,
    definitions: &Definitions,
    depth: usize,
    parts_left: &mut usize,
) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut into = map.clone();
    into.retain(|key, _| key != "$ref" && key != "allOf");
    let mut parts: Vec<&Value> = Vec::new();
    if let Some(reference) = map.get("$ref") {
        parts.push(definitions.resolve(reference.as_str()?)?.as_json());
    }
    parts.extend(map.get("allOf").and_then(Value::as_array).into_iter().flatten());
    let mut rest: Vec<Value> = Vec::new();
    for part in parts {
        // Parts of parts of parts could be as many as there are atoms.
        *parts_left = parts_left.checked_sub(1)?;
        match part {
            Value::Bool(true) => {}
            Value::Object(part) if part.contains_key("$ref") || part.contains_key("allOf") => {
                match merged(part, definitions, depth, parts_left)? {
                    Value::Object(inner) => add(&mut into, &inner, &mut rest),
                    other => return Some(other),
                }
            }
            Value::Object(part) => add(&mut into, part, &mut rest),
            _ => return Some(Value::Bool(false)),
        }
    }
    if !rest.is_empty() {
        // What cannot be said in one object is left as an unknown word, which nobody looks through.
        into.insert(AND.to_owned(), Value::Array(rest));
    }
    Some(Value::Object(into))
}

/// Adds what a part says. Where both say something of the same, and it is not a list of fields, the
/// part is kept aside.
fn add(into: &mut Map<String, Value>, part: &Map<String, Value>, rest: &mut Vec<Value>) {
    for (key, value) in part {
        match (into.get_mut(key), value) {
            (None, value) => {
                into.insert(key.clone(), value.clone());
            }
            (Some(before), value) if before == value || DOCS.contains(&&**key) => {}
            (Some(Value::Object(before)), Value::Object(more)) if key == "properties" => {
                for (name, schema) in more {
                    before.entry(name.clone()).or_insert_with(|| schema.clone());
                }
            }
            (Some(Value::Array(before)), Value::Array(more)) if key == "required" => {
                before.extend(more.iter().cloned());
            }
            _ => rest.push(Value::Object(Map::from_iter([(key.clone(), value.clone())]))),
        }
    }
}

/// How many nodes a JSON value has, counted up to a limit.
pub(super) fn nodes(value: &Value, limit: usize) -> usize {
    let mut count = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        count += 1;
        if count >= limit {
            break;
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
    count
}

/// A form of which nothing is known, in place of too many.
fn unknown() -> Vec<Cow<'static, Value>> {
    let word = Map::from_iter([(AND.to_owned(), Value::Null)]);
    vec![Cow::Owned(Value::Object(word))]
}

/// The forms that a value may have: each of one type, and of no more than one constant if it has
/// such. The schema is [`whole`], and so are they, except that they may be references.
pub(super) fn forms(schema: &Value) -> Vec<Cow<'_, Value>> {
    let Some(map) = schema.as_object() else { return vec![Cow::Borrowed(schema)] };
    let common = |key: &'static str| map.iter().filter(move |(it, _)| *it != key);
    let without =
        |key: &'static str| common(key).map(|(key, it)| (key.clone(), it.clone())).collect();
    let too_many = |key: &'static str, forms: usize| {
        let each = common(key).map(|(_, it)| nodes(it, MAX_COPIES)).sum::<usize>();
        each.saturating_mul(forms) > MAX_COPIES
    };
    for key in ["anyOf", "oneOf"] {
        let Some(Value::Array(parts)) = map.get(key) else { continue };
        if common(key).all(|(key, _)| DOCS.contains(&&**key)) {
            // A list of words is one of them, and as many forms.
            let words = |part: &'_ Value| part.get("enum").is_some() && reference(part).is_none();
            let apart = parts.iter().flat_map(|part| match words(part) {
                true => forms(part),
                false => vec![Cow::Borrowed(part)],
            });
            return apart.collect();
        }
        if too_many(key, parts.len()) {
            return unknown();
        }
        let base: Map<String, Value> = without(key);
        // Fields that all of the forms have.
        let both = |part: &Value| {
            let mut both = base.clone();
            let all = both.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.push(part.clone());
            }
            Cow::Owned(Value::Object(both))
        };
        return parts.iter().map(both).collect();
    }
    if let Some(Value::Array(constants)) = map.get("enum") {
        if too_many("enum", constants.len()) {
            return unknown();
        }
        let base: Map<String, Value> = without("enum");
        let one = |constant: &Value| {
            let mut one = base.clone();
            one.insert("const".to_owned(), constant.clone());
            if one.get("type").is_some_and(Value::is_array) {
                one.remove("type");
            }
            Cow::Owned(Value::Object(one))
        };
        return constants.iter().map(one).collect();
    }
    if let Some(Value::Array(types)) = map.get("type") {
        if too_many("type", types.len()) {
            return unknown();
        }
        let base: Map<String, Value> = without("type");
        let one = |ty: &Value| {
            let mut one = base.clone();
            one.insert("type".to_owned(), ty.clone());
            Cow::Owned(Value::Object(one))
        };
        return types.iter().map(one).collect();
    }
    vec![Cow::Borrowed(schema)]
}

/// Whether a form needs no further look at references and unions.
pub(super) fn is_whole(schema: &Value) -> bool {
    !["$ref", "allOf", "anyOf", "oneOf"].iter().any(|key| schema.get(key).is_some())
        && !schema["type"].is_array()
        && !schema["enum"].is_array()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn definitions() -> Definitions {
        let mut definitions = Definitions::default();
        let mut put = |name: &str, json| definitions.read.insert(name.into(), Schema::from(json));
        put("Point", json!({"type": "object", "properties": {"x": true}, "required": ["x"]}));
        put("Alias", json!({"$ref": "#/$defs/read/Point", "title": "Alias"}));
        put("Circle", json!({"$ref": "#/$defs/read/Circle"}));
        definitions
    }

    #[test]
    fn references_and_parts_are_put_in_place() {
        let definitions = definitions();
        let alias = json!({"$ref": "#/$defs/read/Alias"});
        assert_eq!(whole(&alias, &definitions).unwrap()["required"], json!(["x"]));
        let tagged = json!({
            "properties": {"kind": {"const": "P"}}, "required": ["kind"],
            "$ref": "#/$defs/read/Point",
        });
        assert_eq!(
            *whole(&tagged, &definitions).unwrap(),
            json!({
                "type": "object", "required": ["kind", "x"],
                "properties": {"kind": {"const": "P"}, "x": true},
            })
        );
    }

    #[test]
    fn what_refers_to_nothing_or_to_itself_is_given_up() {
        for name in ["Absent", "Circle"] {
            let json = json!({"$ref": format!("#/$defs/read/{name}")});
            assert_eq!(whole(&json, &definitions()), None);
        }
        let circle = json!({"allOf": [{"$ref": "#/$defs/read/Circle"}]});
        assert_eq!(whole(&circle, &definitions()), None);
    }

    #[test]
    fn what_grows_without_end_is_given_up() {
        let mut definitions = Definitions::default();
        for at in 0..40 {
            let next = json!({"$ref": format!("#/$defs/read/{}", at + 1)});
            let twice = json!({"allOf": [next, next]});
            definitions.read.insert(at.to_string(), Schema::from(twice));
        }
        definitions.read.insert("40".to_owned(), Schema::from(json!({"type": "null"})));
        assert_eq!(whole(&json!({"$ref": "#/$defs/read/0"}), &definitions), None);
        let fields: Vec<Value> = (0..1000).map(Value::from).collect();
        let parts: Vec<Value> = (0..1000).map(|_| json!({"type": "null"})).collect();
        assert_eq!(forms(&json!({"anyOf": parts, "required": fields})).len(), 1);
    }

    #[test]
    fn unions_types_and_words_are_taken_apart() {
        let apart = |json: Value| forms(&json).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            apart(json!({"type": ["string", "null"], "maxLength": 1})),
            [r#"{"maxLength":1,"type":"string"}"#, r#"{"maxLength":1,"type":"null"}"#]
        );
        assert_eq!(
            apart(json!({"type": "string", "enum": ["A", "B"]})),
            [r#"{"const":"A","type":"string"}"#, r#"{"const":"B","type":"string"}"#]
        );
        assert_eq!(apart(json!({"anyOf": [true, {}], "title": "T"})), ["true", "{}"]);
        assert_eq!(
            apart(json!({"oneOf": [{"enum": ["A"]}, {"type": "object"}]})),
            [r#"{"const":"A"}"#, r#"{"type":"object"}"#]
        );
        assert_eq!(
            apart(json!({"oneOf": [{"type": "null"}], "properties": {}})),
            [r#"{"allOf":[{"type":"null"}],"properties":{}}"#]
        );
        assert_eq!(apart(json!(false)), ["false"]);
    }

    #[test]
    fn what_says_nothing_is_anything() {
        assert!(is_anything(&json!({"title": "T", "default": 1})) && is_anything(&json!(true)));
        assert!(!is_anything(&json!({"format": "bytes"})) && !is_anything(&json!(false)));
    }
}
