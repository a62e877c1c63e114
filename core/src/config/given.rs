//! A value as it was written, before a getter decides what it must be.

use std::time::Duration;

use ::config::{Value, ValueKind};

use super::{duration, secret, size};

/// A value as it was written in the file or in a variable.
///
/// The file's values have types of their own, and are held to them: `"12"` is no number there. A
/// variable is text, which each getter reads as the type it wants, so that a password of digits
/// stays what it is.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    File(&'a ValueKind),
    Variable(&'a str),
}

/// How many characters of a value a mistake shows.
const SHOWN: usize = 80;

/// Why a value is not accepted: how to write it instead, if the value shows what was meant.
pub(super) type Refusal = Option<String>;

impl<'a> Given<'a> {
    pub(super) fn text(self) -> Result<&'a str, Refusal> {
        match self {
            Given::Variable(text) => Ok(text),
            Given::File(ValueKind::String(text)) => Ok(text),
            Given::File(ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil) => Err(None),
            Given::File(_) => Err(Some("write it in quotes".to_owned())),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, Refusal> {
        match self {
            Given::File(ValueKind::Boolean(value)) => Ok(*value),
            Given::File(ValueKind::String(text)) if read_boolean(text).is_some() => {
                Err(without_quotes())
            }
            Given::File(_) => Err(None),
            Given::Variable(text) => read_boolean(text).ok_or(None),
        }
    }

    pub(super) fn integer(self) -> Result<i64, Refusal> {
        match self {
            Given::File(ValueKind::I64(number)) => Ok(*number),
            Given::File(ValueKind::Float(_)) => Err(never_rounded()),
            Given::File(ValueKind::String(text)) if text.trim().parse::<i64>().is_ok() => {
                Err(without_quotes())
            }
            Given::File(_) => Err(None),
            Given::Variable(text) => {
                text.trim().parse().map_err(|_| match text.trim().parse::<f64>() {
                    Ok(number) if text.contains('.') && number.is_finite() => never_rounded(),
                    _ => None,
                })
            }
        }
    }

    pub(super) fn duration(self) -> Result<Duration, Refusal> {
        match self {
            Given::File(ValueKind::I64(number)) if *number >= 0 => {
                Err(Some(duration::needs_unit(&number.to_string())))
            }
            Given::File(ValueKind::String(text)) => duration::parse(text).map_err(Some),
            Given::File(_) => Err(None),
            Given::Variable(text) => duration::parse(text).map_err(Some),
        }
    }

    pub(super) fn size(self) -> Result<usize, Refusal> {
        match self {
            Given::File(ValueKind::I64(number)) => usize::try_from(*number).map_err(|_| None),
            Given::File(ValueKind::String(text)) => size::parse(text).map_err(Some),
            Given::File(ValueKind::Float(_)) => Err(never_rounded()),
            Given::File(_) => Err(None),
            Given::Variable(text) => size::parse(text).map_err(Some),
        }
    }

    /// A list with each item read by `item`.
    pub(super) fn list<T>(
        self,
        item: impl Fn(Given<'a>) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let items: Vec<Given<'a>> = match self {
            Given::File(ValueKind::Array(items)) => {
                items.iter().map(|value| Given::File(&value.kind)).collect()
            }
            Given::File(ValueKind::Table(_) | ValueKind::Nil) => return Err(None),
            Given::File(_) => return Err(Some("write it in brackets".to_owned())),
            Given::Variable("") => Vec::new(),
            Given::Variable(text) => {
                text.split(',').map(|part| Given::Variable(part.trim())).collect()
            }
        };
        let mut read = Vec::with_capacity(items.len());
        for (index, given) in items.into_iter().enumerate() {
            let refused = |help: Refusal| {
                let place = format!("item {} is not accepted", index + 1);
                Some(help.map_or(place.clone(), |help| format!("{place}: {help}")))
            };
            if matches!(given, Given::Variable("")) {
                return Err(refused(Some("there is nothing between its commas".to_owned())));
            }
            read.push(item(given).map_err(refused)?);
        }
        Ok(read)
    }

    /// What was found, for a mistake: the value and its type, cut where it is long and without what
    /// is secret.
    pub(super) fn describe(&self, key: &str) -> String {
        let what = match self {
            Given::File(kind) => type_name(kind),
            Given::Variable("") => return "an empty text".to_owned(),
            Given::Variable(_) => "text",
        };
        if secret::is_secret(key) {
            return format!("{} ({what})", secret::HIDDEN);
        }
        let shown = match self {
            Given::File(ValueKind::Table(_)) => return "a table".to_owned(),
            Given::File(kind) => written(kind),
            // The text of a variable has no quotes, so none are shown, unless they make its ends
            // visible.
            Given::Variable(text) if text.trim() == *text && !text.contains(char::is_control) => {
                secret::hide(text)
            }
            Given::Variable(text) => quoted(text),
        };
        format!("{} ({what})", cut(&shown))
    }
}

fn read_boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn never_rounded() -> Refusal {
    Some("an integer is never rounded".to_owned())
}

fn without_quotes() -> Refusal {
    Some("write it without quotes".to_owned())
}

/// What TOML calls a value of this kind.
pub(super) fn type_name(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
            "integer"
        }
        ValueKind::Float(_) => "float",
        ValueKind::String(_) => "string",
        ValueKind::Table(_) => "table",
        ValueKind::Array(_) => "list",
    }
}

/// The value as TOML writes it, without passwords.
fn written(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::Array(items) => list(items.iter().map(|Value { kind, .. }| written(kind))),
        ValueKind::Table(_) => "{…}".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// The text in quotes as TOML writes it, without passwords.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in secret::hide(text).chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Also so that nothing moves the cursor of whoever looks at it.
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The texts as a TOML list, without passwords.
pub(super) fn quoted_list(texts: &[String]) -> String {
    // The comma of a password parts a URL in two, neither of which looks like one.
    let parted = |text: &String| text.contains('@') && !text.contains("://");
    if texts.iter().any(parted) {
        return list([quoted(&texts.join(","))].into_iter());
    }
    list(texts.iter().map(|text| quoted(text)))
}

/// The items as a TOML list.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::document::Document;
    use super::*;

    fn file(kind: impl Into<ValueKind>) -> ValueKind {
        kind.into()
    }

    #[test]
    fn a_float_is_no_integer() {
        assert_eq!(Given::File(&file(2.7)).integer(), Err(never_rounded()));
        assert_eq!(Given::File(&file(2.0)).integer(), Err(never_rounded()));
        assert_eq!(Given::Variable("2.7").integer(), Err(never_rounded()));
        assert_eq!(Given::File(&file(2.7)).size(), Err(never_rounded()));
    }

    #[test]
    fn a_number_in_quotes_is_no_integer_in_a_file() {
        assert_eq!(Given::File(&file("12")).integer(), Err(without_quotes()));
        assert_eq!(Given::File(&file("many")).integer(), Err(None));
    }

    #[test]
    fn a_variable_is_read_as_what_is_wanted() {
        let given = Given::Variable("12");
        assert_eq!(given.integer(), Ok(12));
        assert_eq!(given.text(), Ok("12"));
        assert_eq!(given.size(), Ok(12));
        assert_eq!(given.list(Given::integer), Ok(vec![12]));
    }

    #[test]
    fn a_number_is_no_text_in_a_file() {
        assert_eq!(Given::File(&file(12)).text(), Err(Some("write it in quotes".to_owned())));
    }

    #[test]
    fn true_and_one_are_booleans_of_a_variable() {
        assert_eq!(Given::Variable("true").boolean(), Ok(true));
        assert_eq!(Given::Variable("0").boolean(), Ok(false));
        assert_eq!(Given::Variable("yes").boolean(), Err(None));
    }

    #[test]
    fn a_boolean_in_quotes_is_none_in_a_file() {
        assert_eq!(Given::File(&file("true")).boolean(), Err(without_quotes()));
        assert_eq!(Given::File(&file(1)).boolean(), Err(None));
    }

    #[test]
    fn a_number_alone_is_no_duration() {
        let refusal = Some(duration::needs_unit("30"));
        assert_eq!(Given::File(&file(30)).duration(), Err(refusal.clone()));
        assert_eq!(Given::Variable("30").duration(), Err(refusal));
    }

    #[test]
    fn commas_make_a_list_of_a_variable() {
        assert_eq!(Given::Variable("a, b").list(Given::text), Ok(vec!["a", "b"]));
        assert_eq!(Given::Variable("").list(Given::text), Ok(vec![]));
    }

    #[test]
    fn nothing_between_two_commas_is_a_mistake() {
        let refusal = Given::Variable("a,,b").list(Given::text).unwrap_err();
        assert_eq!(refusal.unwrap(), "item 2 is not accepted: there is nothing between its commas");
    }

    #[test]
    fn the_wrong_item_of_a_list_is_counted_from_one() {
        let list = file(vec![Value::from("a"), Value::from(2)]);
        let refusal = Given::File(&list).list(Given::text).unwrap_err();
        assert_eq!(refusal.unwrap(), "item 2 is not accepted: write it in quotes");
    }

    #[test]
    fn a_text_is_no_list_in_a_file() {
        assert!(Given::File(&file("a,b")).list(Given::text).is_err());
    }

    #[test]
    fn what_was_found_has_its_type() {
        assert_eq!(Given::File(&file(2.0)).describe("k"), "2.0 (float)");
        assert_eq!(Given::File(&file("a")).describe("k"), "\"a\" (string)");
        assert_eq!(Given::Variable("a").describe("k"), "a (text)");
        assert_eq!(Given::Variable(" a").describe("k"), "\" a\" (text)");
        assert_eq!(Given::Variable("").describe("k"), "an empty text");
    }

    #[test]
    fn quoted_text_is_toml() {
        for text in ["a", "\"\\", "a\nb\tc", "\u{0}\u{1b}\u{7f}\u{9f}", "é"] {
            let line = format!("k = {}", quoted(text));
            let file = Document::parse(Path::new("report"), &line).unwrap();
            assert_eq!(file.get("k"), Some(&ValueKind::String(text.to_owned())));
        }
    }

    #[test]
    fn what_was_found_is_hidden_if_secret() {
        let list = file(vec![Value::from("redis://:pw@host")]);
        assert_eq!(Given::File(&list).describe("redis.url"), "[\"redis://:***@host\"] (list)");
        assert_eq!(Given::File(&file(1234)).describe("redis.password"), "*** (integer)");
        assert_eq!(Given::Variable("x").describe("token"), "*** (text)");
    }

    #[test]
    fn a_password_with_a_comma_is_hidden_in_a_list() {
        let texts = |items: [&str; 2]| quoted_list(&items.map(str::to_owned));
        assert_eq!(texts(["redis://:p", "w@host"]), "[\"redis://:***@host\"]");
        assert_eq!(
            texts(["redis://:a@one", "redis://:b@two"]),
            "[\"redis://:***@one\", \"redis://:***@two\"]"
        );
    }

    #[test]
    fn what_was_found_is_cut_where_it_is_long() {
        let long = "é".repeat(1000);
        assert_eq!(
            Given::Variable(&long).describe("k").chars().count(),
            SHOWN + "… (text)".chars().count()
        );
    }
}
