//! What stands in the parentheses of an attribute.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token, parse_quote};

use crate::check;
use crate::duration::duration;
use crate::errors::Errors;
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
    /// Its calls are recorded as tasks.
    pub(crate) recoverable: bool,
    pub(crate) timeout: Option<Duration>,
    /// The types of its result and error have no schema.
    pub(crate) opaque: bool,
}

/// Reads `#[farcall(opaque)]`, which is all that a parameter or a field may say.
pub(crate) fn opaque(attrs: &[Attribute], errors: &mut Errors) -> bool {
    let mut opaque = false;
    for attr in attrs.iter().filter(|attr| is_option(attr)) {
        match &attr.meta {
            Meta::List(list) => {
                for option in entries([list.tokens.clone()], "#[farcall(…)]", &["opaque"], errors)
                {
                    opaque |= option.flag(errors);
                }
            }
            other => errors.add(other, "write `#[farcall(opaque)]`"),
        }
    }
    opaque
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
        let accepted = ["name", "idempotent", "recoverable", "timeout", "opaque"];
        for option in entries(lists, "#[farcall(…)]", &accepted, errors) {
            match option.name.as_str() {
                "name" => options.name = option.name(check::method_name, errors),
                "idempotent" => options.idempotent = option.flag(errors),
                "recoverable" => options.recoverable = option.flag(errors),
                "opaque" => options.opaque = option.flag(errors),
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
            if !accepted.contains(&name.as_str()) {
                errors.add(meta.path(), unknown(attribute, &name, accepted));
            } else if entries.iter().any(|entry| entry.name == name) {
                errors.add(meta, format_args!("`{name}` is given twice: keep one"));
            } else {
                entries.push(Entry { name, meta });
            }
        }
    }
    entries
}

/// The message for an option that nobody knows.
fn unknown(attribute: &str, name: &str, accepted: &[&str]) -> String {
    let nearest = accepted
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > 0.7 && accepted.len() > 1)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = nearest.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default();
    let accepted: Vec<String> = accepted.iter().map(|known| format!("`{known}`")).collect();
    format!("unknown option: `{attribute}` takes {}{hint}", accepted.join(", "))
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
