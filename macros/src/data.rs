//! `#[farcall::data]`: derives what a type needs to travel.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Item, Meta};

use crate::errors::Errors;
use crate::options;
use crate::parse::item_span;
use crate::written::written;

const DERIVED: [&str; 2] = ["Serialize", "Deserialize"];

/// The type, with serde's derives through the crate that re-exports them.
pub(crate) fn data(options: TokenStream, tokens: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = options::only_crate(options, "#[farcall::data]", &mut errors);
    let attrs = match syn::parse2(tokens.clone()) {
        Ok(Item::Struct(item)) => item.attrs,
        Ok(Item::Enum(item)) => item.attrs,
        Ok(Item::Union(item)) => {
            errors.add(item.union_token, "nothing tells which field a union has: write an `enum`");
            Vec::new()
        }
        Ok(_) => {
            errors.add_at(item_span(&tokens), "`#[farcall::data]` goes on a struct or an enum");
            Vec::new()
        }
        Err(error) => {
            errors.push(error);
            return errors.into_tokens();
        }
    };
    attrs.iter().for_each(|attr| derived_twice(attr, &mut errors));
    if errors.any() {
        let errors = errors.into_tokens();
        return quote!(#errors #tokens);
    }
    let serde = quote!(#krate::__macro::serde);
    let path = written(&serde);
    quote! {
        #[derive(#serde::Serialize, #serde::Deserialize)]
        #[serde(crate = #path)]
        #tokens
    }
}

/// Finds serde's derives, which would give the type each of them twice.
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
