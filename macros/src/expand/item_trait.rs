//! The trait: as it was written, without our attributes, and with futures named.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{FnArg, ItemTrait, Pat, ReturnType, Token, TraitItem, TraitItemFn, Type, parse_quote};

use crate::options::{is_deprecation, is_option};
use crate::shape;

/// The trait that users implement, with plain `async fn`.
///
/// A literal `async fn` in a public trait would warn, since callers cannot ask for its future to be
/// `Send`; nobody will, handlers run on the node's thread. Traits with mistakes in them come here
/// too, so that the implementation is not reported on top of the mistake.
pub(crate) fn item_trait(item: &ItemTrait) -> TokenStream {
    let mut item = item.clone();
    item.attrs.retain(|attr| !is_option(attr));
    item.items.retain(|item| !matches!(item, TraitItem::Macro(_)));
    for item in &mut item.items {
        if let TraitItem::Fn(method) = item {
            rewrite(method);
        }
    }
    item.into_token_stream()
}

fn rewrite(method: &mut TraitItemFn) {
    method.sig.constness = None;
    // Callers are warned by the client's method; here the generated server would be.
    method.attrs.retain(|attr| !is_option(attr) && !is_deprecation(attr));
    for arg in &mut method.sig.inputs {
        match arg {
            FnArg::Receiver(receiver) => receiver.attrs.clear(),
            FnArg::Typed(arg) => {
                arg.attrs.clear();
                if shape::stream_item(&arg.ty).is_some() {
                    own(&mut arg.ty);
                }
                match &mut *arg.pat {
                    Pat::Ident(pat) => pat.mutability = None,
                    pattern => *pattern = parse_quote!(_),
                }
            }
        }
    }
    if method.default.is_some() {
        return;
    }
    if let Some(asyncness) = method.sig.asyncness.take() {
        let span = Span::call_site().located_at(asyncness.span);
        let (arrow, ty) = match &method.sig.output {
            ReturnType::Default => (<Token![->]>::default(), quote_spanned!(span=> ())),
            ReturnType::Type(arrow, ty) => (*arrow, ty.to_token_stream()),
        };
        let future = quote_spanned! {span=> impl ::core::future::Future<Output = #ty> };
        method.sig.output = ReturnType::Type(arrow, Box::new(Type::Verbatim(future)));
    }
}

/// An argument stream is the handler's own, and needs no pinning.
fn own(ty: &mut Type) {
    if let Type::ImplTrait(anonymous) = ty {
        anonymous.bounds.push(parse_quote!(::core::marker::Unpin));
        anonymous.bounds.push(parse_quote!('static));
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn async_becomes_a_future_and_options_go() {
        let item: ItemTrait = parse_quote! {
            /// Kept.
            pub trait Calc: Send {
                /// Kept too.
                #[farcall(idempotent)]
                async fn div(&self, a: f64, b: f64) -> Result<f64, E>;
                async fn reset(&self);
                async fn double(&self, of: impl Stream<Item = i64>) -> impl Stream<Item = i64>;
            }
        };
        let expected: ItemTrait = parse_quote! {
            /// Kept.
            pub trait Calc: Send {
                /// Kept too.
                fn div(&self, a: f64, b: f64)
                    -> impl ::core::future::Future<Output = Result<f64, E>>;
                fn reset(&self) -> impl ::core::future::Future<Output = ()>;
                fn double(&self, of: impl Stream<Item = i64> + ::core::marker::Unpin + 'static)
                    -> impl ::core::future::Future<Output = impl Stream<Item = i64>>;
            }
        };
        assert_eq!(item_trait(&item).to_string(), quote!(#expected).to_string());
    }
}
