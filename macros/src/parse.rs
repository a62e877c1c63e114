//! From the attribute and its trait to the model.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprLit, FnArg, Item, ItemTrait, Lit, Meta, Pat, TraitItem, TraitItemFn,
    parse_quote,
};

use crate::check;
use crate::errors::Errors;
use crate::expand;
use crate::model::{Method, Param, ParamKind, Service, plain};
use crate::options::{self, MethodOptions, ServiceOptions, is_deprecation};
use crate::shape;

/// Reads a service trait and finds all of its mistakes.
///
/// A method with a mistake is left out of the model, and stays in the trait.
///
/// # Errors
/// There can be no server and client; what is left then is given.
pub(crate) fn service(
    options: TokenStream,
    tokens: TokenStream,
    errors: &mut Errors,
) -> Result<Service, TokenStream> {
    let options = ServiceOptions::parse(options, errors);
    let item = trait_of(tokens, errors)?;
    check::item(&item, errors);
    if !item.generics.params.is_empty() {
        return Err(expand::item_trait(&item));
    }
    let name = options.name.unwrap_or_else(|| {
        let name = snake_case(&plain(&item.ident));
        check::service_name(&name, item.ident.span(), errors);
        name
    });
    let methods = item.items.iter().filter_map(|item| match item {
        TraitItem::Fn(item) => method(item, errors),
        _ => None,
    });
    let methods = methods.collect();
    let (docs, lints) = (docs(&item.attrs), lints(&item.attrs).collect());
    let mut service = Service { item, krate: options.krate, name, docs, lints, methods };
    check::names(&mut service, errors);
    Ok(service)
}

fn trait_of(tokens: TokenStream, errors: &mut Errors) -> Result<ItemTrait, TokenStream> {
    match syn::parse2(tokens.clone()) {
        Ok(Item::Trait(item)) => Ok(item),
        Ok(Item::Impl(item)) => {
            errors.add(
                item.impl_token,
                "`#[farcall::service]` goes on the trait: remove it here, and implement the trait \
                 with plain `async fn`",
            );
            Err(tokens)
        }
        Ok(_) => {
            errors.add_at(
                item_span(&tokens),
                "`#[farcall::service]` goes on a trait, whose methods are what can be called",
            );
            Err(tokens)
        }
        Err(error) => {
            errors.push(error);
            Err(TokenStream::new())
        }
    }
}

/// Where an item's keyword is, behind attributes and visibility.
pub(crate) fn item_span(tokens: &TokenStream) -> Span {
    let mut words = tokens.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) if word != "pub" => Some(word.span()),
        _ => None,
    });
    words.next().unwrap_or_else(Span::call_site)
}

fn method(item: &TraitItemFn, errors: &mut Errors) -> Option<Method> {
    let (options, broken) = errors.any_in(|errors| {
        check::method(item, errors);
        MethodOptions::parse(&item.attrs, errors)
    });
    let (params, broken_params) = errors.any_in(|errors| {
        item.sig.inputs.iter().filter_map(|arg| param(arg, errors)).collect::<Vec<_>>()
    });
    if broken || broken_params {
        return None;
    }
    let ident = item.sig.ident.clone();
    let name = options.name.unwrap_or_else(|| {
        let name = plain(&ident);
        check::method_name(&name, ident.span(), errors);
        name
    });
    let returns = shape::result(&item.sig.output);
    let streams = params.iter().any(|param| matches!(param.kind, ParamKind::Stream { .. }));
    if options.recoverable && (streams || returns.stream.is_some()) {
        errors.add(
            &item.sig.ident,
            "a recoverable method has no streams: what has moved of one cannot be recorded",
        );
        return None;
    }
    if options.recoverable && options.idempotent {
        errors.add(
            &item.sig.ident,
            "a recoverable method is resumed by itself: remove `idempotent`; for calls that are made \
             twice, callers give a key",
        );
        return None;
    }
    let attrs = item.attrs.iter();
    let for_callers = attrs.filter(|attr| attr.path().is_ident("doc") || is_deprecation(attr));
    Some(Method {
        ident,
        name,
        docs: docs(&item.attrs),
        attrs: for_callers.cloned().chain(lints(&item.attrs)).collect(),
        params,
        returns,
        idempotent: options.idempotent,
        recoverable: options.recoverable,
        timeout: options.timeout,
        opaque: options.opaque,
    })
}

fn param(arg: &FnArg, errors: &mut Errors) -> Option<Param> {
    let FnArg::Typed(arg) = arg else { return None };
    let Pat::Ident(pat) = &*arg.pat else { return None };
    let ty = (*arg.ty).clone();
    let opaque = options::opaque(&arg.attrs, errors);
    Some(Param { ident: pat.ident.clone(), kind: shape::parameter(&ty), ty, opaque })
}

/// The lints that are turned off here, for code that repeats what they are about.
fn lints(attrs: &[Attribute]) -> impl Iterator<Item = Attribute> {
    attrs.iter().filter_map(|attr| match &attr.meta {
        // What is expected of the trait happens there, and need not happen again.
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            let lints = &list.tokens;
            Some(parse_quote!(#[allow(#lints)]))
        }
        _ => None,
    })
}

/// The text of doc comments. What `#[doc = include_str!(…)]` brings is known to rustdoc alone.
fn docs(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs {
        if let Meta::NameValue(pair) = &attr.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            for line in text.value().lines() {
                lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            }
            if text.value().is_empty() {
                lines.push(String::new());
            }
        }
    }
    lines.join("\n").trim().to_owned()
}

/// `HttpApi` as `http_api`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let after_word = i > 0 && !letters[i - 1].is_uppercase() && letters[i - 1] != '_';
        let ends_acronym = i > 0
            && letters[i - 1].is_uppercase()
            && letters.get(i + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_word || ends_acronym) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn parsed(options: TokenStream, item: TokenStream) -> (Service, Vec<String>) {
        let mut errors = Errors::default();
        let service = service(options, item, &mut errors);
        (service.unwrap_or_else(|_| panic!("{:?}", errors.messages())), errors.messages())
    }

    #[test]
    fn what_is_not_written_has_a_default() {
        let item = quote! {
            pub trait HttpApi {
                async fn get(&self, ctx: &Context, path: &str) -> Result<Vec<u8>, HttpError>;
            }
        };
        let (service, errors) = parsed(quote!(), item);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(service.name, "http_api");
        assert_eq!(service.krate, parse_quote!(::farcall));
        let [get] = &service.methods[..] else { panic!("one method") };
        assert_eq!((&*get.name, get.idempotent, get.timeout), ("get", false, None));
        let names: Vec<_> = get.travelling().map(|param| param.ident.to_string()).collect();
        assert_eq!(names, ["path"]);
    }

    #[test]
    fn mistakes_come_out_together_and_spare_the_rest() {
        let item = quote! {
            trait Calc {
                fn add(&self, a: i64, b: i64) -> i64;
                #[farcall(timeout = "soon")]
                async fn sub(self, a: &mut i64) -> &i64;
                async fn mul(&self, a: i64, b: i64) -> i64;
            }
        };
        let (service, errors) = parsed(quote!(nam = "calc"), item);
        assert_eq!(errors.len(), 6, "{errors:#?}");
        let names: Vec<_> = service.methods.iter().map(|method| &*method.name).collect();
        assert_eq!(names, ["mul"]);
        assert_eq!(service.item.items.len(), 3);
    }

    #[test]
    fn names_become_snake_case() {
        for (name, expected) in [
            ("Calc", "calc"),
            ("TextTools", "text_tools"),
            ("HTTPApi", "http_api"),
            ("ApiV2", "api_v2"),
            ("V2Api", "v2_api"),
            ("Already_There", "already_there"),
            ("X", "x"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }

    #[test]
    fn docs_are_the_lines_as_written() {
        let item: ItemTrait = parse_quote! {
            /// First.
            ///
            ///     code
            #[doc = include_str!("more.md")]
            #[doc(alias = "other")]
            /** Last. */
            trait Documented {}
        };
        assert_eq!(docs(&item.attrs), "First.\n\n    code\nLast.");
    }
}
