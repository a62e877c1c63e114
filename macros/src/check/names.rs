//! Names that cannot be.

use std::collections::HashMap;

use proc_macro2::Span;

use crate::errors::Errors;
use crate::model::{Service, plain};

/// The longest name of a service, in bytes: `config::Name::MAX_BYTES` of the core crate.
const MAX_SERVICE_NAME_BYTES: usize = 64;

/// The longest name of a method, in bytes: `wire::MAX_NAME_BYTES` of the core crate.
const MAX_NAME_BYTES: usize = 255;

/// What can be called on every client besides the methods of its trait: a method of the same name
/// would hide it, or be hidden by it.
const TAKEN: [&str; 6] = ["new", "from", "client", "clone", "into", "try_into"];

/// Checks the name of a service, which becomes part of file names, addresses and keys: what
/// `config::Name` of the core crate says.
pub(crate) fn service_name(name: &str, span: Span, errors: &mut Errors) {
    let stray = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let mistake = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.starts_with('.') {
        "it begins with a dot".to_owned()
    } else if let Some(stray) = name.chars().find(stray) {
        format!("it has {stray:?} in it")
    } else if name.len() > MAX_SERVICE_NAME_BYTES {
        format!("it takes {} bytes", name.len())
    } else {
        return;
    };
    errors.add_at(
        span,
        format_args!(
            "no service can have this name, {mistake}: write `name = \"…\"` with up to \
             {MAX_SERVICE_NAME_BYTES} of a–z, A–Z, 0–9, `-`, `_` and `.`"
        ),
    );
}

/// Checks the name of a method, which may be any text.
pub(crate) fn method_name(name: &str, span: Span, errors: &mut Errors) {
    let mistake = if name.is_empty() {
        "it is empty".to_owned()
    } else if let Some(control) = name.chars().find(|c| c.is_control()) {
        format!("it has the control character {control:?} in it")
    } else if name.len() > MAX_NAME_BYTES {
        format!("it takes {} bytes", name.len())
    } else {
        return;
    };
    errors.add_at(
        span,
        format_args!(
            "no method can have this name, {mistake}: write `name = \"…\"` with up to \
             {MAX_NAME_BYTES} bytes of plain text"
        ),
    );
}

/// Checks what the methods are to each other and to what is generated, and removes those that clash.
pub(crate) fn names(service: &mut Service, errors: &mut Errors) {
    let client = service.companion("Client");
    let mut seen = HashMap::new();
    service.methods.retain(|method| {
        let ident = &method.ident;
        let word = plain(ident);
        if TAKEN.contains(&word.as_str()) {
            errors.add(
                ident,
                format_args!(
                    "`{client}::{word}` is taken: rename the method, and keep its name for callers \
                     with `#[farcall(name = \"{word}\")]`"
                ),
            );
            return false;
        }
        if let Some(first) = seen.insert(method.name.clone(), ident.clone()) {
            errors.add(
                ident,
                format_args!(
                    "callers know both `{first}` and `{ident}` as `{}`: give one of them another \
                     name with `#[farcall(name = \"…\")]`",
                    method.name
                ),
            );
            return false;
        }
        true
    });
}
