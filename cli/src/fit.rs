//! What was typed, fitted to a method's parameters.
//!
//! Every argument is JSON, except where its parameter's schema tells better:
//!
//! | parameter | argument |
//! |---|---|
//! | text | the characters, also `1` or `true`; in quotes, a JSON string |
//! | a variant without fields | its name, in quotes or not |
//! | bytes | the characters; `@file`; `base64:…`; `[1, 2]`; `{"base64": "…"}`; in quotes, a JSON string |
//! | float | a number, `NaN`, `inf`, `-inf` |
//! | a UUID, an address | as it is usually written |
//! | one whose schema tells nothing | JSON, and a word that is no JSON is text |
//!
//! `name=value` is an argument by name, if the method has a parameter of that name. Inside of JSON
//! `{"base64": "…"}` are bytes and, where a float is wanted, `"NaN"` is one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use farcall::schema::{Definitions, Schema};
use farcall::service::{MethodDescriptor, ParamDescriptor};

use crate::json::Json;
use crate::shape::{Keys, Shape};

/// Reads the file of an argument `@file`; fails in words.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// A method's arguments: an array by position, or a map if any is given by name. Without a
/// descriptor every argument is JSON, or a word.
///
/// # Errors
/// One does not fit, or is given twice; in words. Whether there are enough is the server's to say.
pub(crate) fn arguments(
    method: Option<(&MethodDescriptor, &Definitions)>,
    given: &[String],
    read_file: ReadFile<'_>,
) -> Result<Value, String> {
    let unknown = Definitions::default();
    let params = method.map_or(&[][..], |(method, _)| &method.params);
    let (streams, params): (Vec<_>, Vec<_>) = params.iter().partition(|param| param.stream);
    for (text, name) in given.iter().filter_map(|text| Some((text, text.split_once('=')?.0))) {
        if streams.iter().any(|stream| stream.name == name) {
            return Err(format!(
                "`{text}`: `{name}` is a stream, whose items are read from standard input"
            ));
        }
    }
    let definitions = method.map_or(&unknown, |(_, known)| known);
    let fit = Fit { definitions, read_file: Some(read_file) };
    let given: Vec<Argument<'_>> = given.iter().map(|text| Argument::new(text, &params)).collect();
    if given.iter().all(|argument| argument.name.is_none()) {
        let fitted = given.iter().enumerate().map(|(at, argument)| match params.get(at) {
            Some(param) => argument.fit(param, fit),
            None => fit
                .word(argument.text, &Schema::default())
                .map_err(|misfit| format!("argument {}: {misfit}", at + 1)),
        });
        return Ok(Value::Array(fitted.collect::<Result<_, _>>()?));
    }
    let mut fitted: Vec<(Value, Value)> = Vec::new();
    // Those without a name are the first ones, wherever the others stand.
    let mut unnamed = params.iter().copied();
    for argument in &given {
        let Some(param) = argument.name.or_else(|| unnamed.next()) else {
            let (count, text) = (params.len(), argument.text);
            return Err(format!("`{text}` is one argument too many, it takes {count}"));
        };
        if fitted.iter().any(|(name, _)| name.as_text() == Some(&*param.name)) {
            let hint = argument.hint();
            return Err(format!("argument `{}` is given twice{hint}", param.name));
        }
        fitted.push((Value::from(&*param.name), argument.fit(param, fit)?));
    }
    Ok(Value::Map(fitted))
}

/// One argument as it was typed.
struct Argument<'a> {
    /// The parameter that it names.
    name: Option<&'a ParamDescriptor>,
    text: &'a str,
}

impl<'a> Argument<'a> {
    fn new(text: &'a str, params: &[&'a ParamDescriptor]) -> Self {
        let named = text.split_once('=').and_then(|(name, text)| {
            let param = params.iter().find(|param| param.name == name)?;
            Some(Argument { name: Some(*param), text })
        });
        named.unwrap_or(Argument { name: None, text })
    }

    fn fit(&self, param: &ParamDescriptor, fit: Fit<'_>) -> Result<Value, String> {
        fit.word(self.text, &param.schema).map_err(|misfit| {
            format!("argument `{}` of type {}: {misfit}{}", param.name, param.ty, self.hint())
        })
    }

    /// What to add to a mistake, if this was meant to be by name.
    fn hint(&self) -> String {
        match (self.name, self.text.split_once('=')) {
            (None, Some((name, _)))
                if name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') =>
            {
                format!(" (no parameter is named `{name}`)")
            }
            _ => String::new(),
        }
    }
}

/// What an argument stream takes, one line for each.
pub(crate) struct Item {
    schema: Schema,
    definitions: Definitions,
}

impl Item {
    /// Of this parameter, which is a stream.
    pub(crate) fn new(param: &ParamDescriptor, definitions: &Definitions) -> Self {
        Item { schema: param.schema.clone(), definitions: definitions.clone() }
    }

    /// The value of a line, by the rules of arguments; but no line names a file, as lines are data
    /// and nobody has typed them. A blank one has none, unless it is a text or bytes.
    ///
    /// # Errors
    /// It does not fit; in words.
    pub(crate) fn fit(&self, line: &str) -> Result<Option<Value>, String> {
        let fit = Fit { definitions: &self.definitions, read_file: None };
        let plain = matches!(&fit.shapes(&self.schema)[..], [Shape::Text | Shape::Bytes]);
        let line = if plain { line } else { line.trim() };
        if line.is_empty() && !plain {
            return Ok(None);
        }
        fit.word(line, &self.schema).map(Some).map_err(|misfit| misfit.to_string())
    }
}

/// Why a value does not fit.
#[derive(Debug)]
struct Misfit {
    /// Where in the argument, as `[1].name`.
    path: String,
    expected: String,
    found: String,
}

impl Misfit {
    fn new(expected: impl Into<String>, found: impl fmt::Display) -> Self {
        Misfit { path: String::new(), expected: expected.into(), found: found.to_string() }
    }

    /// The one that got further, if one did.
    fn nearer(self, other: Misfit) -> Misfit {
        if other.path.len() > self.path.len() { other } else { self }
    }

    fn inside(mut self, step: impl fmt::Display) -> Self {
        self.path.insert_str(0, &step.to_string());
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        let mut found: String = self.found.chars().take(SHOWN).collect();
        if found.len() < self.found.len() {
            found.push('…');
        }
        if !self.path.is_empty() {
            write!(f, "at {}: ", self.path)?;
        }
        write!(f, "expected {}, found `{found}`", self.expected)
    }
}

/// Fits values to schemas.
#[derive(Clone, Copy)]
struct Fit<'a> {
    definitions: &'a Definitions,
    /// Where `@file` has no meaning there is none.
    read_file: Option<ReadFile<'a>>,
}

impl Fit<'_> {
    fn shapes(&self, schema: &Schema) -> Vec<Shape> {
        schema.forms(self.definitions).iter().map(Shape::of).collect()
    }

    /// Fits what stands on the command line.
    fn word(self, text: &str, schema: &Schema) -> Result<Value, Misfit> {
        let mut shapes = self.shapes(schema);
        if shapes.contains(&Shape::Null) && text == "null" {
            return Ok(Value::Null);
        }
        if shapes.len() > 1 {
            shapes.retain(|shape| *shape != Shape::Null);
        }
        if let [shape] = &shapes[..] {
            return self.word_of_one(text, shape);
        }
        // Words that are one of the variants, or any text.
        let plain = quoted(text).unwrap_or_else(|| text.to_owned());
        if shapes.iter().any(|shape| shape.is_word(&plain)) {
            return Ok(Value::Text(plain));
        }
        match Json::parse(text) {
            Ok(json) => self.json(&json, schema),
            Err(error) => Err(Misfit::new(format!("{} ({error})", expected(&shapes)), text)),
        }
    }

    fn word_of_one(self, text: &str, shape: &Shape) -> Result<Value, Misfit> {
        let plain = || quoted(text).unwrap_or_else(|| text.to_owned());
        match shape {
            Shape::Text => Ok(Value::Text(plain())),
            Shape::Word(_) | Shape::Uuid | Shape::Address(_) => {
                self.json_of_one(&Json::Text(plain()), shape)
            }
            Shape::Bytes => bytes(text, self.read_file).map(Value::Bytes),
            Shape::Bool | Shape::Integer { .. } | Shape::Float => scalar(text, shape),
            Shape::Anything => match Json::parse(text) {
                Ok(json) => plain_json(&json),
                Err(error) if text.starts_with(['{', '[', '"']) => {
                    Err(Misfit::new(format!("JSON ({error})"), text))
                }
                Err(_) => Ok(Value::Text(text.to_owned())),
            },
            _ => {
                let json = Json::parse(text).map_err(|error| {
                    Misfit::new(format!("{} in JSON ({error})", shape.expected()), text)
                })?;
                self.json_of_one(&json, shape)
            }
        }
    }

    /// Fits a value in JSON: to the first form that takes it, as serde does.
    fn json(self, json: &Json, schema: &Schema) -> Result<Value, Misfit> {
        let shapes = self.shapes(schema);
        let mut misfit = Misfit::new(expected(&shapes), json);
        for shape in &shapes {
            match self.json_of_one(json, shape) {
                Ok(value) => return Ok(value),
                Err(other) if shapes.len() == 1 => return Err(other),
                Err(other) if shape.is_meant_by(json) => misfit = misfit.nearer(other),
                Err(_) => {}
            }
        }
        Err(misfit)
    }

    fn json_of_one(self, json: &Json, shape: &Shape) -> Result<Value, Misfit> {
        match (shape, json) {
            (Shape::Anything, json) => plain_json(json),
            (Shape::Null, Json::Null) => Ok(Value::Null),
            (Shape::Text, Json::Text(text)) => Ok(Value::from(&**text)),
            (Shape::Word(word), Json::Text(text)) if text == word => Ok(Value::from(&**text)),
            (Shape::Constant(constant), json)
                if Json::parse(&constant.to_string()).as_ref() == Ok(json) =>
            {
                plain_json(json)
            }
            (Shape::Uuid, Json::Text(text)) => {
                uuid(text).map(Value::Bytes).ok_or_else(|| Misfit::new(shape.expected(), json))
            }
            (Shape::Address(format), Json::Text(text)) => {
                address(format, text).ok_or_else(|| Misfit::new(shape.expected(), json))
            }
            (Shape::Bytes, json) => bytes_of(json).map(Value::Bytes),
            (Shape::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Shape::Integer { .. } | Shape::Float, Json::Number(digits)) => scalar(digits, shape),
            (Shape::Number, Json::Number(_)) => plain_json(json),
            (Shape::Float, Json::Text(text)) => match text.parse() {
                Ok(value) if !f64::is_finite(value) => Ok(Value::Float(value)),
                _ => Err(Misfit::new(shape.expected(), json)),
            },
            (Shape::List { first, rest, len }, Json::List(items))
                if len.contains(&(items.len() as u64)) =>
            {
                each(items.iter().enumerate(), |at, item| {
                    self.json(item, first.get(at).unwrap_or(rest))
                })
            }
            // Bytes where a list of numbers is expected are bytes as well.
            (Shape::List { .. }, json) if coded(json).is_some() => bytes_of(json).map(Value::Bytes),
            (Shape::Struct { .. }, Json::Object(entries)) => self.fields(entries, shape, json),
            (Shape::Map(keys, of), Json::Object(entries)) => {
                let entries = entries.iter().map(|(name, it)| {
                    let inside = |misfit: Misfit| misfit.inside(format_args!(".{name}"));
                    Ok((keys.key(name).map_err(inside)?, self.json(it, of).map_err(inside)?))
                });
                Ok(Value::Map(entries.collect::<Result<_, _>>()?))
            }
            (Shape::Map(_, of), Json::List(pairs)) => {
                let entries = pairs.iter().enumerate().map(|(at, pair)| {
                    let inside = |misfit: Misfit| misfit.inside(format_args!("[{at}]"));
                    match pair {
                        Json::List(pair) if pair.len() == 2 => Ok((
                            plain_json(&pair[0]).map_err(inside)?,
                            self.json(&pair[1], of).map_err(inside)?,
                        )),
                        other => Err(inside(Misfit::new("a pair [key, value]", other))),
                    }
                });
                Ok(Value::Map(entries.collect::<Result<_, _>>()?))
            }
            (shape, json) => Err(Misfit::new(shape.expected(), json)),
        }
    }

    /// The fields of a struct; those that it does not know go as they are, if it takes such.
    fn fields(
        self,
        entries: &[(String, Json)],
        shape: &Shape,
        whole: &Json,
    ) -> Result<Value, Misfit> {
        let Shape::Struct { fields, required, rest } = shape else {
            return Err(Misfit::new(shape.expected(), whole));
        };
        if let Some(missing) =
            required.iter().find(|it| !entries.iter().any(|(name, _)| name == *it))
        {
            return Err(Misfit::new(format!("a field `{missing}`"), whole));
        }
        let entries = entries.iter().map(|(name, it)| {
            let inside = |misfit: Misfit| misfit.inside(format_args!(".{name}"));
            let schema = fields.iter().find(|(known, _)| known == name).map(|(_, schema)| schema);
            let value = match schema.or(rest.as_deref()) {
                Some(schema) => self.json(it, schema).map_err(inside)?,
                None => {
                    let names: Vec<_> =
                        fields.iter().map(|(name, _)| format!("`{name}`")).collect();
                    let expected = format!("no field but {}", names.join(", "));
                    return Err(inside(Misfit::new(expected, it)));
                }
            };
            Ok((Value::from(&**name), value))
        });
        Ok(Value::Map(entries.collect::<Result<_, _>>()?))
    }
}

/// What fits one of several, in words.
fn expected(shapes: &[Shape]) -> String {
    const SHOWN: usize = 8;
    let mut words: Vec<String> = shapes.iter().take(SHOWN).map(Shape::expected).collect();
    words.dedup();
    if shapes.len() > SHOWN {
        words.push("…".to_owned());
    }
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(", or "),
    }
}

/// The string that a text in quotes stands for.
fn quoted(text: &str) -> Option<String> {
    match Json::parse(text) {
        Ok(Json::Text(string)) => Some(string),
        _ => None,
    }
}

/// A UUID travels as its bytes.
fn uuid(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|letter| *letter != b'-').collect();
    let pairs = (digits.len() == 32).then(|| digits.chunks(2))?;
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Addresses travel as lists of their bytes; one of either kind says which it is.
fn address(format: &str, text: &str) -> Option<Value> {
    let list = |octets: &[u8]| octets.iter().map(|octet| Value::from(*octet)).collect::<Vec<_>>();
    Some(match format {
        "ipv4" => Value::Array(list(&text.parse::<Ipv4Addr>().ok()?.octets())),
        "ipv6" => Value::Array(list(&text.parse::<Ipv6Addr>().ok()?.octets())),
        _ => {
            let (kind, octets) = match text.parse().ok()? {
                IpAddr::V4(address) => ("V4", list(&address.octets())),
                IpAddr::V6(address) => ("V6", list(&address.octets())),
            };
            Value::Map(vec![(kind.into(), Value::Array(octets))])
        }
    })
}

fn bytes(text: &str, read_file: Option<ReadFile<'_>>) -> Result<Vec<u8>, Misfit> {
    if let (Some(path), Some(read_file)) = (text.strip_prefix('@'), read_file) {
        return read_file(path).map_err(|error| Misfit::new(format!("a file ({error})"), text));
    }
    if let Some(coded) = text.strip_prefix("base64:") {
        return decoded(coded);
    }
    match Json::parse(text) {
        Ok(json @ Json::List(_)) => bytes_of(&json),
        Ok(Json::Text(string)) => Ok(string.into_bytes()),
        Ok(json) if coded(&json).is_some() => bytes_of(&json),
        // Any other document is what is to be sent.
        _ => Ok(text.as_bytes().to_vec()),
    }
}

fn decoded(coded: &str) -> Result<Vec<u8>, Misfit> {
    STANDARD.decode(coded).map_err(|error| Misfit::new(format!("base64 ({error})"), coded))
}

/// The text of `{"base64": "…"}`.
fn coded(json: &Json) -> Option<&str> {
    match json {
        Json::Object(entries) => match &entries[..] {
            [(name, Json::Text(coded))] if name == "base64" => Some(coded),
            _ => None,
        },
        _ => None,
    }
}

fn bytes_of(json: &Json) -> Result<Vec<u8>, Misfit> {
    const BYTE: Shape = Shape::Integer { signed: false, bits: 8 };
    match json {
        Json::Text(text) => Ok(text.clone().into_bytes()),
        Json::List(items) => {
            let byte = |(at, item): (usize, &Json)| {
                match item {
                    Json::Number(digits) => digits.parse().ok(),
                    _ => None,
                }
                .ok_or_else(|| Misfit::new(BYTE.expected(), item).inside(format_args!("[{at}]")))
            };
            items.iter().enumerate().map(byte).collect()
        }
        other => match coded(other) {
            Some(coded) => decoded(coded),
            None => Err(Misfit::new(Shape::Bytes.expected(), other)),
        },
    }
}

fn each<'a>(
    items: impl Iterator<Item = (usize, &'a Json)>,
    fit: impl Fn(usize, &Json) -> Result<Value, Misfit>,
) -> Result<Value, Misfit> {
    let fitted = items
        .map(|(at, item)| fit(at, item).map_err(|misfit| misfit.inside(format_args!("[{at}]"))));
    Ok(Value::Array(fitted.collect::<Result<_, _>>()?))
}

impl Keys {
    /// The key of a map, which JSON can only write as text.
    fn key(self, name: &str) -> Result<Value, Misfit> {
        match self {
            Keys::Text => Ok(Value::from(name)),
            Keys::Integers => {
                let number = integer(name, true, 128).or_else(|| integer(name, false, 128));
                number.ok_or_else(|| Misfit::new("an integer", name))
            }
        }
    }
}

/// Fits the text of a number, `true` or `false`.
fn scalar(text: &str, shape: &Shape) -> Result<Value, Misfit> {
    let value = match shape {
        Shape::Bool => text.parse().ok().map(Value::Bool),
        Shape::Integer { signed, bits } => integer(text, *signed, *bits),
        _ => float(text).map(Value::Float),
    };
    value.ok_or_else(|| Misfit::new(shape.expected(), text))
}

fn integer(text: &str, signed: bool, bits: u32) -> Option<Value> {
    let unused = 128 - bits;
    if signed {
        let value = text.parse::<i128>().ok()?;
        (value >= i128::MIN >> unused && value <= i128::MAX >> unused).then(|| value.into())
    } else {
        let value = text.parse::<u128>().ok()?;
        (value <= u128::MAX >> unused).then(|| value.into())
    }
}

fn float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // `1e999` is no infinity, it is too large.
    let too_large = value.is_infinite() && text.contains(|letter: char| letter.is_ascii_digit());
    (!too_large).then_some(value)
}

/// JSON as it is, for a type of which nothing is known.
fn plain_json(json: &Json) -> Result<Value, Misfit> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Number(digits) => {
            let value = if digits.contains(['.', 'e', 'E']) {
                float(digits).map(Value::Float)
            } else {
                integer(digits, true, 128).or_else(|| integer(digits, false, 128))
            };
            value.ok_or_else(|| Misfit::new("a number of up to 128 bits", digits))
        }
        Json::Text(text) => Ok(Value::from(&**text)),
        Json::List(items) => each(items.iter().enumerate(), |_, item| plain_json(item)),
        Json::Object(entries) => match coded(json) {
            Some(coded) => decoded(coded).map(Value::Bytes),
            None => {
                let entries = entries.iter().map(|(name, value)| {
                    let inside = |misfit: Misfit| misfit.inside(format_args!(".{name}"));
                    Ok((Value::from(&**name), plain_json(value).map_err(inside)?))
                });
                Ok(Value::Map(entries.collect::<Result<_, _>>()?))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_schema() -> serde_json::Value {
        json!({"type": "string"})
    }

    fn float_schema() -> serde_json::Value {
        json!({"type": "number", "format": "double"})
    }

    fn bytes_schema() -> serde_json::Value {
        json!({"format": "bytes"})
    }

    fn integer(format: &str) -> serde_json::Value {
        json!({"type": "integer", "format": format})
    }

    fn pair() -> serde_json::Value {
        json!({"type": "array", "prefixItems": [integer("int64"), float_schema()], "minItems": 2, "maxItems": 2})
    }

    fn numbered() -> serde_json::Value {
        json!({"type": "object", "additionalProperties": false,
               "patternProperties": {r"^\d+$": text_schema()}})
    }

    fn shape() -> serde_json::Value {
        json!({"$ref": "#/$defs/read/Shape"})
    }

    fn read_file(path: &str) -> Result<Vec<u8>, String> {
        if path == "there" { Ok(vec![0, 255]) } else { Err("no such file".to_owned()) }
    }

    /// A parameter of each of these schemas, with definitions.
    fn fitted(
        params: &[(&'static str, serde_json::Value)],
        given: &[&str],
    ) -> Result<Value, String> {
        let params = params.iter().map(|(name, schema)| ParamDescriptor {
            name: (*name).into(),
            ty: "T".into(),
            schema: schema.clone().into(),
            ..ParamDescriptor::default()
        });
        let method = MethodDescriptor { params: params.collect(), ..MethodDescriptor::default() };
        let mut definitions = Definitions::default();
        let shape = json!({"oneOf": [
            {"type": "string", "enum": ["Dot", "Line"]},
            {"type": "object", "properties": {"Circle": {"$ref": "#/$defs/read/Circle"}},
             "required": ["Circle"], "additionalProperties": false},
            {"type": "object", "properties": {"Path": {"type": "array", "items": {
                "$ref": "#/$defs/read/Shape"}}}, "required": ["Path"], "additionalProperties": false},
        ]});
        let circle = json!({"type": "object", "properties": {
            "radius": float_schema(), "name": {"type": ["string", "null"]}, "image": {"format": "bytes"}},
            "required": ["radius"]});
        definitions.read.insert("Shape".to_owned(), shape.into());
        definitions.read.insert("Circle".to_owned(), circle.into());
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        arguments(Some((&method, &definitions)), &given, &read_file)
    }

    fn one(schema: serde_json::Value, text: &str) -> Result<Value, String> {
        match fitted(&[("it", schema)], &[text])? {
            Value::Array(mut values) => Ok(values.remove(0)),
            other => panic!("{other:?} is not by position"),
        }
    }

    fn text(text: &str) -> Result<Value, String> {
        Ok(Value::from(text))
    }

    fn bytes(bytes: &[u8]) -> Result<Value, String> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    #[test]
    fn for_a_string_every_word_is_one() {
        for word in ["abc", "1", "true", "null", "[1]", "{", "a=b", "", "\"open"] {
            assert_eq!(one(text_schema(), word), text(word));
        }
        assert_eq!(one(text_schema(), r#""with \"quotes\"""#), text("with \"quotes\""));
        assert_eq!(one(json!({"type": ["string", "null"]}), "null"), Ok(Value::Null));
        assert_eq!(one(json!({"type": ["string", "null"]}), "\"null\""), text("null"));
    }

    #[test]
    fn integers_keep_their_type_and_range() {
        assert_eq!(one(integer("int64"), "-9223372036854775808"), Ok(Value::from(i64::MIN)));
        assert_eq!(one(integer("uint64"), "18446744073709551615"), Ok(Value::from(u64::MAX)));
        assert_eq!(one(integer("int128"), &i128::MIN.to_string()), Ok(Value::from(i128::MIN)));
        assert_eq!(one(integer("uint128"), &u128::MAX.to_string()), Ok(Value::from(u128::MAX)));
        for (ty, word) in
            [("uint8", "256"), ("uint8", "-1"), ("int8", "-129"), ("int64", "9223372036854775808")]
        {
            assert!(one(integer(ty), word).is_err(), "{word} for {ty}");
        }
    }

    #[test]
    fn floats_may_be_written_as_integers_or_words() {
        assert_eq!(one(float_schema(), "1"), Ok(Value::Float(1.0)));
        assert_eq!(
            one(json!({"type": "number", "format": "float"}), "-2.5e3"),
            Ok(Value::Float(-2500.0))
        );
        assert_eq!(one(float_schema(), "-inf"), Ok(Value::Float(f64::NEG_INFINITY)));
        assert!(one(float_schema(), "NaN").unwrap().as_float().unwrap().is_nan());
        assert!(one(float_schema(), "1e999").is_err());
        assert_eq!(
            one(json!({"type": "array", "items": float_schema()}), r#"[1, "inf"]"#),
            Ok(Value::Array(vec![1.0.into(), f64::INFINITY.into()]))
        );
        assert!(one(json!({"type": "array", "items": float_schema()}), r#"["1"]"#).is_err());
    }

    #[test]
    fn bytes_have_many_forms() {
        assert_eq!(one(bytes_schema(), "abc"), bytes(b"abc"));
        assert_eq!(one(bytes_schema(), "\"@there\""), bytes(b"@there"));
        assert_eq!(one(bytes_schema(), "@there"), bytes(&[0, 255]));
        assert_eq!(one(bytes_schema(), "base64:AP8="), bytes(&[0, 255]));
        assert_eq!(one(bytes_schema(), r#"{"base64": "AP8="}"#), bytes(&[0, 255]));
        assert_eq!(one(bytes_schema(), "[0, 255]"), bytes(&[0, 255]));
        assert_eq!(one(bytes_schema(), r#"{"a": 1}"#), bytes(br#"{"a": 1}"#));
        assert_eq!(
            one(json!({"anyOf": [bytes_schema(), {"type": "null"}]}), "null"),
            Ok(Value::Null)
        );
        assert!(one(bytes_schema(), "[256]").unwrap_err().contains("at [0]"));
        assert!(one(bytes_schema(), "@absent").unwrap_err().contains("no such file"));
        assert!(one(bytes_schema(), "base64:=").is_err());
    }

    #[test]
    fn lists_tuples_and_maps_are_json() {
        assert_eq!(
            one(json!({"type": "array", "items": text_schema()}), r#"["a"]"#),
            Ok(Value::Array(vec!["a".into()]))
        );
        assert_eq!(one(pair(), "[1, 2]"), Ok(Value::Array(vec![1.into(), 2.0.into()])));
        let map = Ok(Value::Map(vec![(1.into(), "a".into())]));
        assert_eq!(one(numbered(), r#"{"1": "a"}"#), map);
        assert_eq!(one(numbered(), r#"[[1, "a"]]"#), map);
        assert_eq!(one(json!({"type": "null"}), "null"), Ok(Value::Null));
        assert!(one(pair(), "[1]").is_err());
        assert!(one(json!({"type": "array", "items": text_schema()}), "a").is_err());
    }

    #[test]
    fn of_an_unknown_type_json_is_what_it_is() {
        assert_eq!(one(json!(true), "7"), Ok(Value::from(7)));
        assert_eq!(one(json!(true), "1.0"), Ok(Value::Float(1.0)));
        assert_eq!(one(json!({}), "Red"), text("Red"));
        assert_eq!(one(json!(true), "2026-10-01"), text("2026-10-01"));
        let report = Value::Map(vec![
            ("id".into(), Value::from(1_i128 << 100)),
            ("image".into(), Value::Bytes(vec![0, 255])),
        ]);
        let json = r#"{"id": 1267650600228229401496703205376, "image": {"base64": "AP8="}}"#;
        assert_eq!(one(json!(true), json), Ok(report));
        assert!(one(json!(true), r#"{"open": "#).unwrap_err().contains("JSON"));
    }

    #[test]
    fn names_make_a_map() {
        let params = [("a", integer("int64")), ("b", text_schema())];
        let map = Value::Map(vec![("b".into(), "x=y".into()), ("a".into(), 1.into())]);
        assert_eq!(fitted(&params, &["b=x=y", "a=1"]), Ok(map));
        let map = Value::Map(vec![("a".into(), 1.into()), ("b".into(), "x".into())]);
        assert_eq!(fitted(&params, &["1", "b=x"]), Ok(map));
        let map = Value::Map(vec![("b".into(), "x".into()), ("a".into(), 1.into())]);
        assert_eq!(fitted(&params, &["b=x", "1"]), Ok(map));
    }

    #[test]
    fn a_name_that_no_parameter_has_is_part_of_the_value() {
        assert_eq!(fitted(&[("s", text_schema())], &["k=v"]), Ok(Value::Array(vec!["k=v".into()])));
        let params = [("a", integer("int64")), ("b", integer("int64"))];
        for given in [&["aa=1"][..], &["a=1", "aa=2"]] {
            let error = fitted(&params, given).unwrap_err();
            assert!(error.ends_with("(no parameter is named `aa`)"), "{error}");
        }
    }

    #[test]
    fn an_argument_is_given_once() {
        let params = [("a", integer("int64")), ("b", integer("int64"))];
        assert_eq!(fitted(&params, &["1", "a=2"]), Err("argument `a` is given twice".to_owned()));
        assert!(fitted(&params, &["1", "2", "3", "b=4"]).unwrap_err().contains("too many"));
    }

    #[test]
    fn how_many_is_the_servers_to_say() {
        let params = [("a", integer("int64"))];
        assert_eq!(fitted(&params, &[]), Ok(Value::Array(vec![])));
        assert_eq!(fitted(&params, &["1", "x"]), Ok(Value::Array(vec![1.into(), "x".into()])));
    }

    #[test]
    fn without_a_descriptor_arguments_are_json_or_words() {
        let given = ["1", "x", "k=v", "[true]"].map(str::to_owned);
        let values = vec![1.into(), "x".into(), "k=v".into(), Value::Array(vec![true.into()])];
        assert_eq!(arguments(None, &given, &read_file), Ok(Value::Array(values)));
    }

    #[test]
    fn a_misfit_says_which_argument_where_and_what() {
        assert_eq!(
            fitted(&[("a", integer("int64")), ("b", bytes_schema())], &["1", "[1, \"x\"]"]),
            Err("argument `b` of type T: at [1]: expected an integer from 0 to 255, \
                 found `\"x\"`"
                .to_owned())
        );
        assert_eq!(
            one(json!({"type": "boolean"}), "yes"),
            Err("argument `it` of type T: expected true or false, found `yes`".to_owned())
        );
    }

    #[test]
    fn own_types_are_fitted_inside_too() {
        assert_eq!(one(shape(), "Dot"), text("Dot"));
        assert_eq!(one(shape(), "\"Line\""), text("Line"));
        let circle = |fields| Value::Map(vec![("Circle".into(), Value::Map(fields))]);
        let fields = vec![("radius".into(), Value::Float(1.0)), ("name".into(), Value::Null)];
        let path = Value::Map(vec![(
            "Path".into(),
            Value::Array(vec!["Dot".into(), circle(fields.clone())]),
        )]);
        let json = r#"{"Path": ["Dot", {"Circle": {"radius": 1, "name": null}}]}"#;
        assert_eq!(one(shape(), json), Ok(path));
        let fields = vec![
            ("radius".into(), Value::Float(1.0)),
            ("image".into(), Value::Bytes(vec![0, 255])),
        ];
        let json = r#"{"Circle": {"radius": 1, "image": {"base64": "AP8="}}}"#;
        assert_eq!(one(shape(), json), Ok(circle(fields)));
    }

    #[test]
    fn a_misfit_inside_of_an_own_type_is_named_with_its_place() {
        let misfits = [
            (r#"{"Circle": {"radius": "x"}}"#, "at .Circle.radius: expected a number"),
            (r#"{"Circle": {}}"#, "at .Circle: expected a field `radius`"),
            (r#"{"Path": [{"Circle": {"radius": null}}]}"#, "at .Path[0].Circle.radius: "),
            ("Triangle", "expected `Dot`, or `Line`, or an object of `Circle`"),
            ("7", "expected `Dot`, or `Line`, or an object of `Circle`"),
        ];
        for (given, expected) in misfits {
            let error = one(shape(), given).unwrap_err();
            assert!(error.contains(expected), "{error} / {expected}");
        }
    }

    #[test]
    fn ids_and_addresses_travel_as_their_bytes() {
        let format = |format: &str| json!({"type": "string", "format": format});
        let id = "0b6a1f6e-5f0e-4c43-9a55-2f1f7f9d3c11";
        let Ok(Value::Bytes(bytes)) = one(format("uuid"), id) else { panic!("bytes") };
        assert_eq!((bytes.len(), bytes[0]), (16, 0x0b));
        assert!(one(format("uuid"), "0b6a").is_err());
        let octets = Value::Array([127, 0, 0, 1].map(Value::from).to_vec());
        assert_eq!(one(format("ipv4"), "127.0.0.1"), Ok(octets.clone()));
        let tagged = Value::Map(vec![("V4".into(), octets)]);
        assert_eq!(one(format("ip"), "127.0.0.1"), Ok(tagged));
        assert!(one(format("ipv6"), "127.0.0.1").unwrap_err().contains("an address (ipv6)"));
        assert_eq!(one(format("date"), "2026-10-01"), text("2026-10-01"));
    }
}
