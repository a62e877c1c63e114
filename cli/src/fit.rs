//! What was typed, fitted to a method's parameters.
//!
//! Every argument is JSON, except where its parameter's type tells better:
//!
//! | parameter | argument |
//! |---|---|
//! | text | the characters, also `1` or `true`; in quotes, a JSON string |
//! | bytes | the characters; `@file`; `base64:…`; `[1, 2]`; `{"base64": "…"}`; in quotes, a JSON string |
//! | float | a number, `NaN`, `inf`, `-inf` |
//! | a type that its name does not tell | JSON, and a word that is no JSON is text |
//!
//! `name=value` is an argument by name, if the method has a parameter of that name. Inside of JSON
//! `{"base64": "…"}` are bytes and, where a float is wanted, `"NaN"` is one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use farcall::service::{MethodDescriptor, ParamDescriptor};

use crate::json::Json;
use crate::shape::Shape;

/// Reads the file of an argument `@file`; fails in words.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// A method's arguments: an array by position, or a map if any is given by name. Without a
/// descriptor every argument is JSON, or a word.
///
/// # Errors
/// One does not fit, or is given twice; in words. Whether there are enough is the server's to say.
pub(crate) fn arguments(
    method: Option<&MethodDescriptor>,
    given: &[String],
    read_file: ReadFile<'_>,
) -> Result<Value, String> {
    let params = method.map_or(&[][..], |method| &method.params);
    let given: Vec<Argument<'_>> = given.iter().map(|text| Argument::new(text, params)).collect();
    if given.iter().all(|argument| argument.name.is_none()) {
        let fitted = given.iter().enumerate().map(|(at, argument)| match params.get(at) {
            Some(param) => argument.fit(param, read_file),
            None => word(argument.text, &Shape::Unknown, read_file)
                .map_err(|misfit| format!("argument {}: {misfit}", at + 1)),
        });
        return Ok(Value::Array(fitted.collect::<Result<_, _>>()?));
    }
    let mut fitted: Vec<(Value, Value)> = Vec::new();
    // Those without a name are the first ones, wherever the others stand.
    let mut unnamed = params.iter();
    for argument in &given {
        let Some(param) = argument.name.or_else(|| unnamed.next()) else {
            let (count, text) = (params.len(), argument.text);
            return Err(format!("`{text}` is one argument too many, it takes {count}"));
        };
        if fitted.iter().any(|(name, _)| name.as_text() == Some(&*param.name)) {
            let hint = argument.hint();
            return Err(format!("argument `{}` is given twice{hint}", param.name));
        }
        fitted.push((Value::from(&*param.name), argument.fit(param, read_file)?));
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
    fn new(text: &'a str, params: &'a [ParamDescriptor]) -> Self {
        let named = text.split_once('=').and_then(|(name, text)| {
            let param = params.iter().find(|param| param.name == name)?;
            Some(Argument { name: Some(param), text })
        });
        named.unwrap_or(Argument { name: None, text })
    }

    fn fit(&self, param: &ParamDescriptor, read_file: ReadFile<'_>) -> Result<Value, String> {
        word(self.text, &Shape::of(&param.ty), read_file).map_err(|misfit| {
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

/// Fits what stands on the command line.
fn word(text: &str, shape: &Shape, read_file: ReadFile<'_>) -> Result<Value, Misfit> {
    match shape {
        Shape::Text => Ok(Value::Text(quoted(text).unwrap_or_else(|| text.to_owned()))),
        Shape::Bytes => bytes(text, read_file).map(Value::Bytes),
        Shape::Bool | Shape::Integer { .. } | Shape::Float => scalar(text, shape),
        Shape::Optional(_) if text == "null" => Ok(Value::Null),
        Shape::Optional(of) => word(text, of, read_file),
        Shape::Unknown => match Json::parse(text) {
            Ok(json) => plain(&json),
            Err(error) if text.starts_with(['{', '[', '"']) => {
                Err(Misfit::new(format!("JSON ({error})"), text))
            }
            Err(_) => Ok(Value::Text(text.to_owned())),
        },
        Shape::Unit | Shape::List(_) | Shape::Tuple(_) | Shape::Map(..) => {
            let json = Json::parse(text).map_err(|error| {
                Misfit::new(format!("{} in JSON ({error})", expected(shape)), text)
            })?;
            fit(&json, shape)
        }
    }
}

/// The string that a text in quotes stands for.
fn quoted(text: &str) -> Option<String> {
    match Json::parse(text) {
        Ok(Json::Text(string)) => Some(string),
        _ => None,
    }
}

fn bytes(text: &str, read_file: ReadFile<'_>) -> Result<Vec<u8>, Misfit> {
    if let Some(path) = text.strip_prefix('@') {
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
                .ok_or_else(|| Misfit::new(expected(&BYTE), item).inside(format_args!("[{at}]")))
            };
            items.iter().enumerate().map(byte).collect()
        }
        other => match coded(other) {
            Some(coded) => decoded(coded),
            None => Err(Misfit::new(expected(&Shape::Bytes), other)),
        },
    }
}

/// Fits a value in JSON.
fn fit(json: &Json, shape: &Shape) -> Result<Value, Misfit> {
    match (shape, json) {
        (Shape::Unknown, json) => plain(json),
        (Shape::Optional(_) | Shape::Unit, Json::Null) => Ok(Value::Null),
        (Shape::Optional(of), json) => fit(json, of),
        (Shape::Text, Json::Text(text)) => Ok(Value::from(&**text)),
        (Shape::Bytes, json) => bytes_of(json).map(Value::Bytes),
        (Shape::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Shape::Integer { .. } | Shape::Float, Json::Number(digits)) => scalar(digits, shape),
        (Shape::Float, Json::Text(text)) => match text.parse() {
            Ok(value) if !f64::is_finite(value) => Ok(Value::Float(value)),
            _ => Err(Misfit::new(expected(shape), json)),
        },
        (Shape::List(of), Json::List(items)) => each(items.iter().map(|item| (item, &**of))),
        (Shape::Tuple(of), Json::List(items)) if of.len() == items.len() => {
            each(items.iter().zip(of))
        }
        (Shape::Map(key, value), Json::Object(entries)) => {
            let entries = entries.iter().map(|(name, it)| {
                let inside = |misfit: Misfit| misfit.inside(format_args!(".{name}"));
                Ok((of_name(name, key).map_err(inside)?, fit(it, value).map_err(inside)?))
            });
            Ok(Value::Map(entries.collect::<Result<_, _>>()?))
        }
        (Shape::Map(key, value), Json::List(pairs)) => {
            let entries = pairs.iter().enumerate().map(|(at, pair)| {
                let inside = |misfit: Misfit| misfit.inside(format_args!("[{at}]"));
                match pair {
                    Json::List(pair) if pair.len() == 2 => Ok((
                        fit(&pair[0], key).map_err(inside)?,
                        fit(&pair[1], value).map_err(inside)?,
                    )),
                    other => Err(inside(Misfit::new("a pair [key, value]", other))),
                }
            });
            Ok(Value::Map(entries.collect::<Result<_, _>>()?))
        }
        (shape, json) => Err(Misfit::new(expected(shape), json)),
    }
}

fn each<'a>(items: impl Iterator<Item = (&'a Json, &'a Shape)>) -> Result<Value, Misfit> {
    let fitted = items.enumerate().map(|(at, (item, shape))| {
        fit(item, shape).map_err(|misfit| misfit.inside(format_args!("[{at}]")))
    });
    Ok(Value::Array(fitted.collect::<Result<_, _>>()?))
}

/// The key of a map, which JSON can only write as text.
fn of_name(name: &str, shape: &Shape) -> Result<Value, Misfit> {
    match shape {
        Shape::Bool | Shape::Integer { .. } | Shape::Float => scalar(name, shape),
        Shape::Bytes => Ok(Value::Bytes(name.as_bytes().to_vec())),
        Shape::Text | Shape::Unknown => Ok(Value::from(name)),
        other => Err(Misfit::new(format!("{}, so write [[key, value], …]", expected(other)), name)),
    }
}

/// Fits the text of a number, `true` or `false`.
fn scalar(text: &str, shape: &Shape) -> Result<Value, Misfit> {
    let value = match shape {
        Shape::Bool => text.parse().ok().map(Value::Bool),
        Shape::Integer { signed, bits } => integer(text, *signed, *bits),
        _ => float(text).map(Value::Float),
    };
    value.ok_or_else(|| Misfit::new(expected(shape), text))
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

/// JSON as it is, for a type that is not known.
fn plain(json: &Json) -> Result<Value, Misfit> {
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
        Json::List(items) => each(items.iter().map(|item| (item, &Shape::Unknown))),
        Json::Object(entries) => match coded(json) {
            Some(coded) => decoded(coded).map(Value::Bytes),
            None => {
                let entries = entries.iter().map(|(name, value)| {
                    let inside = |misfit: Misfit| misfit.inside(format_args!(".{name}"));
                    Ok((Value::from(&**name), plain(value).map_err(inside)?))
                });
                Ok(Value::Map(entries.collect::<Result<_, _>>()?))
            }
        },
    }
}

/// What fits, in words.
fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Text => "a string in quotes".to_owned(),
        Shape::Bytes => "bytes (a string, a list of numbers, {\"base64\": \"…\"})".to_owned(),
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
        Shape::Unit => "null".to_owned(),
        Shape::Optional(of) => format!("null or {}", expected(of)),
        Shape::List(_) => "a list".to_owned(),
        Shape::Tuple(of) => format!("a list of {}", of.len()),
        Shape::Map(..) => "an object".to_owned(),
        Shape::Unknown => "JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_file(path: &str) -> Result<Vec<u8>, String> {
        if path == "there" { Ok(vec![0, 255]) } else { Err("no such file".to_owned()) }
    }

    fn method(params: &[(&'static str, &'static str)]) -> MethodDescriptor {
        let params = params.iter();
        let param = |(name, ty): &(&'static str, &'static str)| ParamDescriptor {
            name: (*name).into(),
            ty: (*ty).into(),
            stream: false,
        };
        MethodDescriptor {
            name: "m".into(),
            params: params.map(param).collect(),
            ..MethodDescriptor::default()
        }
    }

    fn fitted(params: &[(&'static str, &'static str)], given: &[&str]) -> Result<Value, String> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        arguments(Some(&method(params)), &given, &read_file)
    }

    fn one(ty: &'static str, text: &str) -> Result<Value, String> {
        match fitted(&[("it", ty)], &[text])? {
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
            assert_eq!(one("String", word), text(word));
        }
        assert_eq!(one("&str", r#""with \"quotes\"""#), text("with \"quotes\""));
        assert_eq!(one("Option<String>", "null"), Ok(Value::Null));
        assert_eq!(one("Option<String>", "\"null\""), text("null"));
    }

    #[test]
    fn integers_keep_their_type_and_range() {
        assert_eq!(one("i64", "-9223372036854775808"), Ok(Value::from(i64::MIN)));
        assert_eq!(one("u64", "18446744073709551615"), Ok(Value::from(u64::MAX)));
        assert_eq!(one("i128", &i128::MIN.to_string()), Ok(Value::from(i128::MIN)));
        assert_eq!(one("u128", &u128::MAX.to_string()), Ok(Value::from(u128::MAX)));
        for (ty, word) in
            [("u8", "256"), ("u8", "-1"), ("i8", "-129"), ("i64", "9223372036854775808")]
        {
            assert!(one(ty, word).is_err(), "{word} for {ty}");
        }
    }

    #[test]
    fn floats_may_be_written_as_integers_or_words() {
        assert_eq!(one("f64", "1"), Ok(Value::Float(1.0)));
        assert_eq!(one("f32", "-2.5e3"), Ok(Value::Float(-2500.0)));
        assert_eq!(one("f64", "-inf"), Ok(Value::Float(f64::NEG_INFINITY)));
        assert!(one("f64", "NaN").unwrap().as_float().unwrap().is_nan());
        assert!(one("f64", "1e999").is_err());
        assert_eq!(
            one("Vec<f64>", r#"[1, "inf"]"#),
            Ok(Value::Array(vec![1.0.into(), f64::INFINITY.into()]))
        );
        assert!(one("Vec<f64>", r#"["1"]"#).is_err());
    }

    #[test]
    fn bytes_have_many_forms() {
        assert_eq!(one("Vec<u8>", "abc"), bytes(b"abc"));
        assert_eq!(one("&[u8]", "\"@there\""), bytes(b"@there"));
        assert_eq!(one("Bytes", "@there"), bytes(&[0, 255]));
        assert_eq!(one("Vec<u8>", "base64:AP8="), bytes(&[0, 255]));
        assert_eq!(one("Vec<u8>", r#"{"base64": "AP8="}"#), bytes(&[0, 255]));
        assert_eq!(one("Vec<u8>", "[0, 255]"), bytes(&[0, 255]));
        assert_eq!(one("Vec<u8>", r#"{"a": 1}"#), bytes(br#"{"a": 1}"#));
        assert_eq!(one("Option<Vec<u8>>", "null"), Ok(Value::Null));
        assert!(one("Vec<u8>", "[256]").unwrap_err().contains("at [0]"));
        assert!(one("Vec<u8>", "@absent").unwrap_err().contains("no such file"));
        assert!(one("Vec<u8>", "base64:=").is_err());
    }

    #[test]
    fn lists_tuples_and_maps_are_json() {
        assert_eq!(one("Vec<String>", r#"["a"]"#), Ok(Value::Array(vec!["a".into()])));
        assert_eq!(one("(i64, f64)", "[1, 2]"), Ok(Value::Array(vec![1.into(), 2.0.into()])));
        let map = Ok(Value::Map(vec![(1.into(), "a".into())]));
        assert_eq!(one("HashMap<u8, String>", r#"{"1": "a"}"#), map);
        assert_eq!(one("HashMap<u8, String>", r#"[[1, "a"]]"#), map);
        assert_eq!(one("()", "null"), Ok(Value::Null));
        assert!(one("(i64, f64)", "[1]").is_err());
        assert!(one("Vec<String>", "a").is_err());
    }

    #[test]
    fn of_an_unknown_type_json_is_what_it_is() {
        assert_eq!(one("Report", "7"), Ok(Value::from(7)));
        assert_eq!(one("Report", "1.0"), Ok(Value::Float(1.0)));
        assert_eq!(one("Colour", "Red"), text("Red"));
        assert_eq!(one("Date", "2026-10-01"), text("2026-10-01"));
        let report = Value::Map(vec![
            ("id".into(), Value::from(1_i128 << 100)),
            ("image".into(), Value::Bytes(vec![0, 255])),
        ]);
        let json = r#"{"id": 1267650600228229401496703205376, "image": {"base64": "AP8="}}"#;
        assert_eq!(one("Report", json), Ok(report));
        assert!(one("Report", r#"{"open": "#).unwrap_err().contains("JSON"));
    }

    #[test]
    fn names_make_a_map() {
        let params = [("a", "i64"), ("b", "String")];
        let map = Value::Map(vec![("b".into(), "x=y".into()), ("a".into(), 1.into())]);
        assert_eq!(fitted(&params, &["b=x=y", "a=1"]), Ok(map));
        let map = Value::Map(vec![("a".into(), 1.into()), ("b".into(), "x".into())]);
        assert_eq!(fitted(&params, &["1", "b=x"]), Ok(map));
        let map = Value::Map(vec![("b".into(), "x".into()), ("a".into(), 1.into())]);
        assert_eq!(fitted(&params, &["b=x", "1"]), Ok(map));
    }

    #[test]
    fn a_name_that_no_parameter_has_is_part_of_the_value() {
        assert_eq!(fitted(&[("s", "String")], &["k=v"]), Ok(Value::Array(vec!["k=v".into()])));
        let params = [("a", "i64"), ("b", "i64")];
        for given in [&["aa=1"][..], &["a=1", "aa=2"]] {
            let error = fitted(&params, given).unwrap_err();
            assert!(error.ends_with("(no parameter is named `aa`)"), "{error}");
        }
    }

    #[test]
    fn an_argument_is_given_once() {
        let params = [("a", "i64"), ("b", "i64")];
        assert_eq!(fitted(&params, &["1", "a=2"]), Err("argument `a` is given twice".to_owned()));
        assert!(fitted(&params, &["1", "2", "3", "b=4"]).unwrap_err().contains("too many"));
    }

    #[test]
    fn how_many_is_the_servers_to_say() {
        let params = [("a", "i64")];
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
            fitted(&[("a", "i64"), ("b", "Vec<u8>")], &["1", "[1, \"x\"]"]),
            Err("argument `b` of type Vec<u8>: at [1]: expected an integer from 0 to 255, \
                 found `\"x\"`"
                .to_owned())
        );
        assert_eq!(
            one("bool", "yes"),
            Err("argument `it` of type bool: expected true or false, found `yes`".to_owned())
        );
    }
}
