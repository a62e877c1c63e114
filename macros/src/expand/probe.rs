//! Results under another name: found by the compiler, since a macro does not see through aliases.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;

use super::{end, place, support};
use crate::model::{Returns, Service, plain};

/// Fails to compile where a method's return type is a `Result` that is not written as one.
///
/// serde would send such a `Result` as data, and callers would get it inside of another.
pub(super) fn probes(service: &Service) -> TokenStream {
    let support = support(service);
    let probes = service.methods.iter().filter_map(|method| {
        let Returns { ty, error: None, .. } = &method.returns else { return None };
        let probe = quote!(<#support::Probe<#ty>>::IS_RESULT);
        // Of the name in Rust: that for callers may have braces in it, which `assert!` would read.
        let message = format!(
            "this is a `Result` by another name: write `Result<T, E>`, so that callers of `{}` get \
             its error",
            plain(&method.ident)
        );
        let assertion = assertion(ty, &probe, &message);
        Some(quote! {
            const _: () = {
                use #support::NotAResult as _;
                #assertion
            };
        })
    });
    quote!(#(#probes)*)
}

/// An assertion that the compiler underlines as `ty` when it fails.
fn assertion(ty: &Type, probe: &TokenStream, message: &str) -> TokenStream {
    let path = quote_spanned!(place(ty)=> ::core::assert!);
    let arguments = quote_spanned!(end(ty)=> (!#probe, #message));
    quote!(#path #arguments;)
}
