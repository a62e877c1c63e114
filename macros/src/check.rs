//! What a service trait may not have, and what to write instead.
//!
//! Mistakes are collected, so that all of a trait's come out at once, each where it was made.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericParam, ItemTrait, Pat, ReceiverKind, ReturnType, Safety, Signature,
    TraitItem, TraitItemFn,
};

use crate::model::{Service, plain};
use crate::options::is_option;
use crate::shape;
use crate::written::written;

mod types;

/// The longest name of a service, in bytes: `config::Name::MAX_BYTES` of the core crate.
const MAX_SERVICE_NAME_BYTES: usize = 64;

/// The longest name of a method, in bytes: `wire::MAX_NAME_BYTES` of the core crate.
const MAX_NAME_BYTES: usize = 255;

/// What can be called on every client besides the methods of its trait: a method of the same name
/// would hide it, or be hidden by it.
const TAKEN: [&str; 6] = ["new", "from", "client", "clone", "into", "try_into"];

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// A mistake made in these tokens.
    pub(crate) fn add(&mut self, at: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(at, message));
    }

    /// A mistake made at this place.
    pub(crate) fn add_at(&mut self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    /// Were there any?
    pub(crate) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Collects the mistakes found by `f`, and says whether there were any.
    pub(crate) fn any_in<T>(&mut self, f: impl FnOnce(&mut Errors) -> T) -> (T, bool) {
        let mut found = Errors::default();
        let value = f(&mut found);
        let any = found.any();
        if let Some(error) = found.0 {
            self.push(error);
        }
        (value, any)
    }

    /// The code that makes the compiler report them.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.map(syn::Error::into_compile_error).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().flatten().map(|error| error.to_string()).collect()
    }
}

/// The message for an option that nobody knows.
pub(crate) fn unknown_option(attribute: &str, name: &str, accepted: &[&str]) -> String {
    let nearest = accepted
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > 0.7 && accepted.len() > 1)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = nearest.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default();
    let accepted: Vec<String> = accepted.iter().map(|known| format!("`{known}`")).collect();
    format!("unknown option: `{attribute}` takes {}{hint}", accepted.join(", "))
}

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

/// Checks all of a trait but its methods.
pub(crate) fn item(item: &ItemTrait, errors: &mut Errors) {
    if let Some(unsafety) = &item.unsafety {
        errors.add(unsafety, "remove `unsafe`: callers are in other processes and cannot promise");
    }
    if let Some(auto) = &item.modifiers.auto_token {
        errors.add(auto, "a service trait has methods: remove `auto`");
    }
    if !item.generics.params.is_empty() {
        let generics = &item.generics;
        errors.add(
            &generics.params,
            format_args!(
                "a service has one set of types, which both sides know: remove `{}`",
                written(generics)
            ),
        );
    }
    for attr in item.attrs.iter().filter(|attr| is_option(attr)) {
        errors.add(
            attr,
            "options of the service stand in its own attribute: \
             `#[farcall::service(name = \"calc\")]`",
        );
    }
    for item in &item.items {
        let (at, what) = match item {
            TraitItem::Fn(_) => continue,
            TraitItem::Const(item) => (item.ident.to_token_stream(), "constant"),
            TraitItem::Type(item) => (item.ident.to_token_stream(), "type"),
            other => (other.to_token_stream(), "item"),
        };
        errors.add(
            at,
            format_args!(
                "a service trait has methods only: put this {what} into a trait of its own, or \
                 beside the trait"
            ),
        );
    }
}

/// Checks all of a method but its options.
pub(crate) fn method(method: &TraitItemFn, errors: &mut Errors) {
    let TraitItemFn { attrs, modifiers, sig, default, .. } = method;
    for attr in attrs {
        if attr.path().is_ident("cfg") {
            errors.add(
                attr,
                "client and server must have the same methods: put `#[cfg]` on the whole trait",
            );
        }
    }
    let Signature { constness, asyncness, safety, abi, ident, generics, variadic, .. } = sig;
    let qualifiers: [(Option<TokenStream>, &str); 5] = [
        (modifiers.defaultness.map(ToTokens::into_token_stream), "default"),
        (constness.map(ToTokens::into_token_stream), "const"),
        (matches!(safety, Safety::Unsafe(_)).then(|| safety.to_token_stream()), "unsafe"),
        (matches!(safety, Safety::Safe(_)).then(|| safety.to_token_stream()), "safe"),
        (abi.as_ref().map(ToTokens::to_token_stream), "extern"),
    ];
    let mut qualified = false;
    for (tokens, word) in qualifiers {
        if let Some(tokens) = tokens {
            qualified = true;
            errors.add(
                tokens,
                format_args!(
                    "a call goes to another process: write `async fn {ident}`, without `{word}`"
                ),
            );
        }
    }
    if asyncness.is_none() && !qualified {
        errors.add(
            sig.fn_token,
            format_args!("every call waits for another process: write `async fn {ident}`"),
        );
    }
    if generics.params.iter().all(|param| matches!(param, GenericParam::Lifetime(_))) {
        if !generics.params.is_empty() {
            errors.add(
                &generics.params,
                format_args!(
                    "arguments are lent while the method runs, and results borrow nothing: remove \
                     `{}`",
                    written(generics)
                ),
            );
        }
    } else {
        errors.add(
            &generics.params,
            format_args!(
                "both sides must know the types of a call: remove `{}` and name the types",
                written(generics)
            ),
        );
    }
    if let Some(clause) = &generics.where_clause {
        errors.add(clause, "both sides must know the types of a call: remove the `where` clause");
    }
    if let Some(variadic) = variadic {
        errors.add(variadic, "a call has a fixed number of arguments: take a `Vec` instead");
    }
    if let Some(body) = default {
        errors.add(
            body,
            format_args!("only the server knows what `{ident}` does: write `;` instead of a body"),
        );
    }
    receiver(sig, errors);
    parameters(sig, errors);
    if let ReturnType::Type(_, ty) = &sig.output {
        types::result(ty, errors);
    }
}

fn receiver(sig: &Signature, errors: &mut Errors) {
    let written = match sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => receiver,
        _ => {
            let ident = &sig.ident;
            errors.add(
                ident,
                format_args!(
                    "a method runs on the service that is served: write `{ident}(&self, …)`"
                ),
            );
            return;
        }
    };
    match &written.kind {
        ReceiverKind::Reference(_, None, None) => {}
        ReceiverKind::Reference(_, Some(lifetime), None) => {
            errors.add(lifetime, "nothing of the service is lent to a caller: write `&self`");
        }
        ReceiverKind::Reference(_, _, Some(_)) => errors.add(
            written,
            "calls run concurrently and share the service: write `&self`, and keep what changes in \
             a `Mutex` or an atomic",
        ),
        _ => errors.add(written, "calls run concurrently and share the service: write `&self`"),
    }
    attributes(&written.attrs, errors);
}

fn parameters(sig: &Signature, errors: &mut Errors) {
    let mut seen = HashSet::new();
    let mut context = false;
    for arg in &sig.inputs {
        let FnArg::Typed(arg) = arg else { continue };
        attributes(&arg.attrs, errors);
        match &*arg.pat {
            Pat::Ident(pat) if pat.mutability.is_some() => errors.add(
                pat,
                format_args!("write `{}`: the `mut` goes into the implementation", pat.ident),
            ),
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                if !seen.insert(plain(&pat.ident)) {
                    errors.add(
                        &pat.ident,
                        format_args!("two parameters are named `{}`: rename one", pat.ident),
                    );
                }
            }
            other => errors.add(
                other,
                "callers know a parameter by its name: write one, and take it apart in the \
                 implementation",
            ),
        }
        if !shape::is_context(&arg.ty) {
            types::parameter(&arg.ty, errors);
        } else if std::mem::replace(&mut context, true) {
            errors.add(&arg.ty, "a call has one context: remove this parameter");
        }
    }
}

fn attributes(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs {
        errors.add(attr, "remove this attribute: parameters of a service method take none");
    }
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
