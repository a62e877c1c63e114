//! `#[farcall::data]`: derives what a type needs to travel.
//!
//! `#[farcall(opaque)]` on a field becomes `#[schemars(with = "…")]`, which says *anything*.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Fields, Item, Meta, parse_quote};

use crate::errors::Errors;
use crate::options;
use crate::parse::item_span;
use crate::written::written;

const DERIVED: [&str; 3] = ["Serialize", "Deserialize", "JsonSchema"];

/// The type, with the derives of serde and schemars through the crate that re-exports them.
pub(crate) fn data(options: TokenStream, tokens: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = options::only_crate(options, "#[farcall::data]", &mut errors);
    let support = quote!(#krate::__macro);
    let anything = written(quote!(#support::Opaque<()>));
    let mut item = syn::parse2(tokens.clone());
    let attrs = match &mut item {
        Ok(Item::Struct(item)) => {
            opaque_fields(&mut item.fields, &anything, &mut errors);
            item.attrs.clone()
        }
        Ok(Item::Enum(item)) => {
            for variant in &mut item.variants {
                opaque_fields(&mut variant.fields, &anything, &mut errors);
            }
            item.attrs.clone()
        }
        Ok(Item::Union(item)) => {
            errors.add(item.union_token, "nothing tells which field a union has: write an `enum`");
            Vec::new()
        }
        Ok(_) => {
            errors.add_at(item_span(&tokens), "`#[farcall::data]` goes on a struct or an enum");
            Vec::new()
        }
        Err(error) => {
            errors.push(error.clone());
            return errors.into_tokens();
        }
    };
    attrs.iter().for_each(|attr| derived_twice(attr, &mut errors));
    let item = item.map_or(tokens, ToTokens::into_token_stream);
    if errors.any() {
        let errors = errors.into_tokens();
        return quote!(#errors #item);
    }
    let (serde, schemars) = (quote!(#support::serde), quote!(#support::schemars));
    let [serde_path, schemars_path] = [written(&serde), written(&schemars)];
    quote! {
        #[derive(#serde::Serialize, #serde::Deserialize, #schemars::JsonSchema)]
        #[serde(crate = #serde_path)]
        #[schemars(crate = #schemars_path)]
        #item
    }
}

/// Fields whose types have no schema are given one that says *anything*.
fn opaque_fields(fields: &mut Fields, anything: &str, errors: &mut Errors) {
    for field in fields {
        if options::opaque(&field.attrs, errors) {
            field.attrs.push(parse_quote!(#[schemars(with = #anything)]));
        }
        field.attrs.retain(|attr| !options::is_option(attr));
    }
}

/// Finds these derives, which would give the type each of them twice.
fn derived_twice(attr: &Attribute, errors: &mut Errors) {
    let Meta::List(list) = &attr.meta else { return };
    if !list.path.is_ident("derive") {
        return;
    }
    for token in list.tokens.clone() {
        if let TokenTree::Ident(ident) = token
            && DERIVED.iter().any(|derived| ident == derived)
        {
            errors.add(
                &ident,
                format_args!("`#[farcall::data]` derives `{ident}` already: remove it here"),
            );
        }
    }
}
