//! `#[farcall::main]` and `#[farcall::test]`: an `async fn` on the node's thread.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, ItemFn};

use crate::errors::Errors;
use crate::options;
use crate::parse::item_span;

/// Which of the two.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Entry {
    Main,
    Test,
}

impl Entry {
    fn attribute(self) -> &'static str {
        match self {
            Entry::Main => "#[farcall::main]",
            Entry::Test => "#[farcall::test]",
        }
    }
}

/// The function, without `async`, around the one that was written.
pub(crate) fn entry(entry: Entry, options: TokenStream, tokens: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let attribute = entry.attribute();
    let krate = options::only_crate(options, attribute, &mut errors);
    let mut item: ItemFn = match syn::parse2(tokens.clone()) {
        Ok(Item::Fn(item)) => item,
        Ok(_) => {
            errors.add_at(item_span(&tokens), format_args!("`{attribute}` goes on an `async fn`"));
            let errors = errors.into_tokens();
            return quote!(#errors #tokens);
        }
        Err(error) => {
            errors.push(error);
            return errors.into_tokens();
        }
    };
    check(&item, attribute, &mut errors);
    let attrs = std::mem::take(&mut item.attrs);
    let vis = std::mem::replace(&mut item.vis, syn::Visibility::Inherited);
    let (name, output) = (&item.sig.ident, &item.sig.output);
    let test = (entry == Entry::Test).then(|| quote!(#[::core::prelude::v1::test]));
    if errors.any() {
        // Calls of it stay right, and nothing else is reported of it.
        let errors = errors.into_tokens();
        return quote! { #errors #(#attrs)* #vis fn #name() #output { ::core::unreachable!() } };
    }
    // The function as written stays one, inside: its return type then guides inference in its body
    // as everywhere, and the compiler's complaints are those of an `async fn`.
    quote! {
        #(#attrs)*
        #test
        #vis fn #name() #output {
            #item
            #krate::block_on(#name())
        }
    }
}

fn check(item: &ItemFn, attribute: &str, errors: &mut Errors) {
    let sig = &item.sig;
    let name = &sig.ident;
    if sig.asyncness.is_none() {
        errors.add(
            sig.fn_token,
            format_args!("`{attribute}` runs a future: write `async fn {name}`"),
        );
    }
    if !sig.inputs.is_empty() {
        errors.add(&sig.inputs, format_args!("nobody passes arguments here: write `{name}()`"));
    }
    if !sig.generics.params.is_empty() {
        let generics = &sig.generics.params;
        errors.add(generics, format_args!("nobody chooses types here: write `{name}()`"));
    }
}
