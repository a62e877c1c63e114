//! What stands in the parentheses of an attribute.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token, parse_quote};

use crate::check::{self, Errors};
use crate::model::plain;

/// Options of `#[farcall::service(…)]`.
pub(crate) struct ServiceOptions {
    /// The service's name on the wire, if it is not the trait's.
    pub(crate) name: Option<String>,
    /// The crate that the generated code refers to.
    pub(crate) krate: Path,
}

impl ServiceOptions {
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = ServiceOptions { name: None, krate: default_crate() };
        for option in entries([tokens], "#[farcall::service]", &["name", "crate"], errors) {
            match option.name.as_str() {
                "name" => options.name = option.name(check::service_name, errors),
                _ => options.krate = option.path(errors),
            }
        }
        options
    }
}

/// Options of `#[farcall(…)]` on a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    /// The method's name on the wire, if it is not that in Rust.
    pub(crate) name: Option<String>,
    pub(crate) idempotent: bool,
    pub(crate) timeout: Option<Duration>,
}

impl MethodOptions {
    pub(crate) fn parse(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut options = MethodOptions::default();
        let mut lists = Vec::new();
        for attr in attrs.iter().filter(|attr| is_option(attr)) {
            match &attr.meta {
                Meta::List(list) => lists.push(list.tokens.clone()),
                other => errors.add(
                    other,
                    "options stand in parentheses, as in `#[farcall(idempotent, timeout = \"2s\")]`",
                ),
            }
        }
        for option in entries(lists, "#[farcall(…)]", &["name", "idempotent", "timeout"], errors)
        {
            match option.name.as_str() {
                "name" => options.name = option.name(check::method_name, errors),
                "idempotent" => options.idempotent = option.flag(errors),
                _ => options.timeout = option.duration(errors),
            }
        }
        options
    }
}

/// Is this attribute ours, to be read and taken away?
pub(crate) fn is_option(attr: &Attribute) -> bool {
    attr.path().is_ident("farcall")
}

/// Is this `#[deprecated]`, which is for callers alone?
pub(crate) fn is_deprecation(attr: &Attribute) -> bool {
    attr.path().is_ident("deprecated")
}

/// Reads the options of a macro that has `crate` alone.
pub(crate) fn only_crate(tokens: TokenStream, attribute: &str, errors: &mut Errors) -> Path {
    entries([tokens], attribute, &["crate"], errors)
        .first()
        .map_or_else(default_crate, |option| option.path(errors))
}

fn default_crate() -> Path {
    parse_quote!(::farcall)
}

/// One option: `name` or `name = value`.
struct Entry {
    name: String,
    meta: Meta,
}

/// Splits options and keeps the known ones, each once.
fn entries(
    lists: impl IntoIterator<Item = TokenStream>,
    attribute: &str,
    accepted: &[&str],
    errors: &mut Errors,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for list in lists {
        let metas = match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(list) {
            Ok(metas) => metas,
            Err(error) => {
                errors.add_at(
                    error.span(),
                    format_args!("{error}; options are written as in `name = \"calc\"`"),
                );
                continue;
            }
        };
        for meta in metas {
            let name = meta.path().get_ident().map(plain).unwrap_or_default();
            if name == "recoverable" {
                errors.add(
                    meta,
                    "this version has no ledger to record calls in: remove `recoverable`; if the \
                     method may run twice, write `idempotent`",
                );
            } else if !accepted.contains(&name.as_str()) {
                errors.add(meta.path(), check::unknown_option(attribute, &name, accepted));
            } else if entries.iter().any(|entry| entry.name == name) {
                errors.add(meta, format_args!("`{name}` is given twice: keep one"));
            } else {
                entries.push(Entry { name, meta });
            }
        }
    }
    entries
}

impl Entry {
    fn flag(&self, errors: &mut Errors) -> bool {
        if !matches!(self.meta, Meta::Path(_)) {
            let name = &self.name;
            errors.add(&self.meta, format_args!("`{name}` takes no value: write `{name}` alone"));
        }
        true
    }

    fn text(&self, example: &str, errors: &mut Errors) -> Option<LitStr> {
        if let Meta::NameValue(pair) = &self.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            return Some(text.clone());
        }
        let name = &self.name;
        errors.add(&self.meta, format_args!("write a string, as in `{name} = \"{example}\"`"));
        None
    }

    fn name(&self, check: fn(&str, Span, &mut Errors), errors: &mut Errors) -> Option<String> {
        let text = self.text("calc", errors)?;
        check(&text.value(), text.span(), errors);
        Some(text.value())
    }

    fn path(&self, errors: &mut Errors) -> Path {
        let Some(text) = self.text("farcall", errors) else { return default_crate() };
        text.parse().unwrap_or_else(|_| {
            errors.add(&text, "write the path of the farcall crate, as in `crate = \"farcall\"`");
            default_crate()
        })
    }

    fn duration(&self, errors: &mut Errors) -> Option<Duration> {
        let text = self.text("2s", errors)?;
        match duration(&text.value()) {
            Ok(duration) => Some(duration),
            Err(mistake) => {
                errors.add(&text, mistake);
                None
            }
        }
    }
}

/// Units, longest first, and their length in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration as configuration does: whole numbers, each with its unit, longest unit first.
fn duration(text: &str) -> Result<Duration, String> {
    let malformed = || {
        let text = text.escape_debug();
        format!(
            "`{text}` is no duration: write whole numbers with units (d, h, m, s, ms, us, ns), as \
             in \"2s\", \"1500ms\" or \"1m30s\""
        )
    };
    let mut rest = text.trim();
    let mut nanos: u128 = 0;
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| malformed())?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = units.find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(malformed)?;
        nanos += u128::from(number) * unit.1;
        rest = rest[letters..].trim_start();
    }
    if nanos == 0 {
        return Err("without any time every call would fail: write more than 0".into());
    }
    let seconds = u64::try_from(nanos / 1_000_000_000)
        .map_err(|_| format!("`{text}` is longer than can be counted: write less"))?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_configuration() {
        for (text, expected) in [
            ("7us", Duration::from_micros(7)),
            ("50ms", Duration::from_millis(50)),
            ("2s", Duration::from_secs(2)),
            (" 2 s ", Duration::from_secs(2)),
            ("3m", Duration::from_secs(180)),
            ("1h", Duration::from_secs(3600)),
            ("1m30s", Duration::from_secs(90)),
            ("1h 1ms", Duration::from_millis(3_600_001)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_durations_are_refused() {
        for text in ["", " ", "2", "s", "2 min", "-1s", "1.5s", "30s1m", "1s1s", "1é", "0s", "0h0s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("18446744073709551615d").is_err());
    }
}
