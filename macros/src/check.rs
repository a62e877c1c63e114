//! What a service trait may not have, and what to write instead.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericParam, ItemTrait, Pat, ReceiverKind, ReturnType, Safety, Signature,
    TraitItem, TraitItemFn,
};

use crate::errors::Errors;
use crate::model::plain;
use crate::options::is_option;
use crate::shape;
use crate::written::written;

mod names;
mod types;

pub(crate) use names::{method_name, names, service_name};

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
    for attr in attrs.iter().filter(|attr| !is_option(attr)) {
        errors.add(
            attr,
            "remove this attribute: parameters of a service method take `#[farcall(opaque)]` alone",
        );
    }
}
