//! `farcall describe`: what a service offers.

use std::collections::BTreeSet;

use farcall::Node;
use farcall::schema::{Definitions, Schema};
use farcall::service::{Descriptor, MethodDescriptor};
use serde_json::Value;

use crate::args::DescribeArgs;
use crate::description::{self, signature};
use crate::exit::{Exit, Status};
use crate::failure::Told;
use crate::terminal::{Terminal, printable};

/// Runs the command.
///
/// # Errors
/// The answer cannot be written.
pub(crate) async fn run(
    node: &Node,
    args: &DescribeArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let service = &args.service;
    let timeout = args.timeout.unwrap_or(node.config().client.timeout);
    match description::of(node, service, timeout).await {
        Ok(Some(descriptor)) if args.json => {
            let json = serde_json::to_string_pretty(&descriptor);
            terminal.answer(json.expect("keys are text, and writing to memory works"))?;
            Ok(Status::Done)
        }
        Ok(Some(descriptor)) => {
            terminal.answer(printable(&page(&descriptor)))?;
            Ok(Status::Done)
        }
        Ok(None) => {
            terminal.note(format_args!("error: `{service}` does not say what it offers"));
            Ok(Status::Usage)
        }
        Err(failure) => {
            let told = Told { service, method: "describe", failure: &failure, help: None };
            terminal.note(match args.json {
                true => told.json(),
                false => format!("error: {told}"),
            });
            Ok(told.status())
        }
    }
}

/// For people: the methods, and below them the types that they name.
fn page(descriptor: &Descriptor) -> String {
    let mut page = descriptor.name.to_string();
    if !descriptor.schema.is_empty() {
        page.push_str(&format!("  (schema {})", descriptor.schema));
    }
    page.push('\n');
    indent(&mut page, &descriptor.docs);
    for method in &descriptor.methods {
        page.push('\n');
        page.push_str(&signature(method));
        page.push('\n');
        indent(&mut page, &method.docs);
        indent(&mut page, &options(method));
    }
    let types = types(&descriptor.definitions);
    if !types.is_empty() {
        page.push_str("\ntypes\n");
        for (name, text, docs) in types {
            indent(&mut page, &format!("{name} = {text}"));
            for line in docs.lines() {
                indent(&mut page, &format!("    {line}"));
            }
        }
    }
    page.trim_end().to_owned()
}

fn indent(page: &mut String, text: &str) {
    for line in text.lines() {
        page.push_str(format!("    {line}").trim_end());
        page.push('\n');
    }
}

/// What callers may rely on, in a line; what may be left out.
fn options(method: &MethodDescriptor) -> String {
    let mut options = Vec::new();
    if method.idempotent {
        options.push("idempotent".to_owned());
    }
    if method.recoverable {
        options.push("recoverable".to_owned());
    }
    if let Some(timeout) = method.timeout {
        options.push(format!("timeout {timeout:?}"));
    }
    let optional = method.params.iter().filter(|param| param.optional);
    let optional: Vec<_> = optional.map(|param| format!("`{}`", param.name)).collect();
    if !optional.is_empty() {
        options.push(format!("may be left out: {}", optional.join(", ")));
    }
    match options.is_empty() {
        true => String::new(),
        false => format!("({})", options.join("; ")),
    }
}

/// Names, what they stand for, and their docs. A type that is read in another way than it is written
/// has two.
fn types(definitions: &Definitions) -> Vec<(String, String, String)> {
    let Definitions { read, written } = definitions;
    let names: BTreeSet<&String> = read.keys().chain(written.keys()).collect();
    let entry = |name: &str, how: &str, schema: &Schema| {
        (format!("{name}{how}"), words(schema.as_json()), docs(schema))
    };
    let entries = names.into_iter().flat_map(|name| match (read.get(name), written.get(name)) {
        (Some(taken), Some(given)) if words(taken.as_json()) != words(given.as_json()) => {
            vec![entry(name, " (taken)", taken), entry(name, " (given)", given)]
        }
        (Some(schema), _) | (_, Some(schema)) => vec![entry(name, "", schema)],
        (None, None) => Vec::new(),
    });
    entries.collect()
}

fn docs(schema: &Schema) -> String {
    let docs = schema.as_json().get("description").and_then(Value::as_str);
    docs.unwrap_or_default().to_owned()
}

/// A schema in the notation of this page: Rust's names for numbers, `[…]` for lists and tuples, `{…}` for
/// fields (with `?` if they may be left out), and `|` between alternatives.
fn words(schema: &Value) -> String {
    let Some(map) = schema.as_object() else {
        return if *schema == Value::Bool(false) { "nothing" } else { "anything" }.to_owned();
    };
    let word = |key: &str| map.get(key).and_then(Value::as_str);
    let list = |key: &str| map.get(key).and_then(Value::as_array).map(Vec::as_slice);
    let each =
        |parts: &[Value], between: &str| parts.iter().map(words).collect::<Vec<_>>().join(between);
    let mut parts = Vec::new();
    if let Some(reference) = word("$ref") {
        parts.push(reference.rsplit('/').next().unwrap_or(reference).to_owned());
    }
    if let Some(all) = list("allOf") {
        parts.push(each(all, " & "));
    }
    if let Some(any) = list("anyOf").or(list("oneOf")) {
        parts.push(each(any, " | "));
    }
    if let Some(constant) = map.get("const") {
        parts.push(constant.to_string());
    } else if let Some(constants) = list("enum") {
        let constants: Vec<_> = constants.iter().map(ToString::to_string).collect();
        parts.push(constants.join(" | "));
    } else {
        let types: Vec<&str> = match map.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            _ if map.contains_key("properties") => vec!["object"],
            _ => Vec::new(),
        };
        let types: Vec<String> = types.into_iter().map(|ty| of_type(ty, schema)).collect();
        if !types.is_empty() {
            parts.push(types.join(" | "));
        } else if word("format") == Some("bytes") {
            parts.push("bytes".to_owned());
        }
    }
    match parts.is_empty() {
        true => "anything".to_owned(),
        false => parts.join(" & "),
    }
}

fn of_type(ty: &str, schema: &Value) -> String {
    let object = |key: &str| schema[key].as_object().into_iter().flatten();
    match (ty, schema["format"].as_str()) {
        ("integer", Some("int")) => "isize".to_owned(),
        ("integer", Some("uint")) => "usize".to_owned(),
        ("integer", Some(format)) => format.replacen("uint", "u", 1).replacen("int", "i", 1),
        ("number", Some("double")) => "f64".to_owned(),
        ("number", Some("float")) => "f32".to_owned(),
        ("string", None) => "text".to_owned(),
        ("string" | "number", Some(format)) => format.to_owned(),
        ("boolean", _) => "bool".to_owned(),
        ("array", _) => {
            let first = schema["prefixItems"].as_array().into_iter().flatten();
            let mut items: Vec<String> = first.map(words).collect();
            if items.is_empty() {
                items.push(words(schema.get("items").unwrap_or(&Value::Bool(true))));
                if let (Some(min), Some(max)) =
                    (schema["minItems"].as_u64(), schema["maxItems"].as_u64())
                    && min == max
                {
                    return format!("[{}; {min}]", items[0]);
                }
            }
            format!("[{}]", items.join(", "))
        }
        ("object", _) => {
            let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
            let mut fields: Vec<String> = object("properties")
                .map(|(name, of)| {
                    let mark = if required.iter().any(|it| it == name) { "" } else { "?" };
                    format!("{name}{mark}: {}", words(of))
                })
                .collect();
            let integers =
                object("patternProperties").map(|(_, of)| format!("integer: {}", words(of)));
            fields.extend(integers);
            match &schema["additionalProperties"] {
                Value::Bool(_) | Value::Null => {}
                of => fields.push(format!("text: {}", words(of))),
            }
            format!("{{ {} }}", fields.join(", ")).replace("{  }", "{}")
        }
        (other, _) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_told_in_short() {
        let optional = json!({"anyOf": [{"$ref": "#/$defs/read/Point"}, {"type": "null"}]});
        let cases = [
            (json!(true), "anything"),
            (json!({"type": "integer", "format": "uint8"}), "u8"),
            (json!({"type": ["integer", "null"], "format": "int64"}), "i64 | null"),
            (json!({"type": "integer", "format": "uint"}), "usize"),
            (json!({"format": "bytes"}), "bytes"),
            (json!({"type": "string", "enum": ["A", "B"]}), r#""A" | "B""#),
            (optional, "Point | null"),
            (json!({"type": "array", "items": {"type": "string"}}), "[text]"),
            (
                json!({"type": "array", "items": {"type": "boolean"}, "minItems": 4, "maxItems": 4}),
                "[bool; 4]",
            ),
            (
                json!({"type": "object", "required": ["x"], "properties": {
                    "x": {"type": "number", "format": "double"},
                    "y": {"type": "string", "format": "uuid"}}}),
                "{ x: f64, y?: uuid }",
            ),
            (json!({"type": "object", "additionalProperties": {"type": "null"}}), "{ text: null }"),
            (
                json!({"$ref": "#/$defs/read/Point", "properties": {"kind": {"const": "P"}},
                       "required": ["kind"]}),
                r#"Point & { kind: "P" }"#,
            ),
        ];
        for (schema, expected) in cases {
            assert_eq!(words(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn a_type_is_told_twice_where_it_is_read_in_another_way() {
        let point = |required: &[&str]| {
            let schema =
                json!({"description": "A point.", "properties": {"x": true}, "required": required});
            Schema::from(schema)
        };
        let mut definitions = Definitions::default();
        definitions.read.insert("Point".to_owned(), point(&[]));
        definitions.written.insert("Point".to_owned(), point(&["x"]));
        let told = types(&definitions);
        let names: Vec<_> = told.iter().map(|(name, text, _)| format!("{name} = {text}")).collect();
        assert_eq!(names, ["Point (taken) = { x?: anything }", "Point (given) = { x: anything }"]);
        definitions.read.clear();
        assert_eq!(types(&definitions)[0].2, "A point.");
        assert_eq!(types(&definitions)[0].0, "Point");
    }
}
