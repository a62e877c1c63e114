//! From the model to code: the trait, its server, and its client.
//!
//! Generated code names everything by its full path, since users may have types called `Result` or
//! `Client`; its own variables cannot meet theirs, being of the macro's hygiene. What it does with a
//! user's type stands at the place of that type, so that the compiler's complaints do too. All other
//! tokens are of the macro: lints of the user's crate leave those alone, and no `#[allow]` is needed
//! (under `forbid` it would be an error).

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;

use crate::model::Service;

mod client;
mod item_trait;
mod probe;
mod schema;
mod server;

pub(crate) use item_trait::item_trait;

/// Everything that a service trait becomes.
pub(crate) fn service(service: &Service) -> TokenStream {
    let item = item_trait(&service.item);
    let server = server::server(service);
    let client = client::client(service);
    let probes = probe::probes(service);
    quote! { #item #server #client #probes }
}

/// The module that generated code refers to.
fn support(service: &Service) -> TokenStream {
    let krate = &service.krate;
    quote!(#krate::__macro)
}

/// What makes a type data, with a schema or without, as a path to go on from.
fn data(ty: &Type, opaque: bool, support: &TokenStream) -> TokenStream {
    let how = if opaque { quote!(Undescribed) } else { quote!(Described) };
    quote_spanned!(place(ty)=> <#ty as #support::Data<#support::#how>>)
}

/// A variable of the macro's own, which no name of the user's can meet.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Where these tokens begin, for code that the macro makes of them.
///
/// The compiler underlines an expression from its first token to its last, so that one which begins
/// here and [ends](end) there is underlined as the tokens are.
fn place(tokens: impl ToTokens) -> Span {
    at(tokens.into_token_stream().into_iter().next())
}

/// Where these tokens end.
fn end(tokens: impl ToTokens) -> Span {
    at(tokens.into_token_stream().into_iter().last())
}

fn at(token: Option<TokenTree>) -> Span {
    let place = token.map_or_else(Span::call_site, |token| token.span());
    Span::call_site().located_at(place)
}

/// `#[doc(hidden)]`, if the trait has it: then what is made of it has it too.
fn hidden(service: &Service) -> Option<TokenStream> {
    let hidden = service.item.attrs.iter().any(|attr| {
        attr.path().is_ident("doc")
            && matches!(&attr.meta, syn::Meta::List(list) if list.tokens.to_string() == "hidden")
    });
    hidden.then(|| quote!(#[doc(hidden)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Errors;
    use crate::parse;

    fn expanded() -> Vec<String> {
        let mut errors = Errors::default();
        let item = quote! {
            /// Reckons.
            pub trait Calc {
                async fn owned(&self, ctx: &Context, a: A, bytes: Bytes) -> B;
                async fn lent(&self, text: &str, bytes: &[u8], list: &[A], a: &A) -> B;
                #[farcall(idempotent, timeout = "2s")]
                async fn nothing(&self);
            }
        };
        let model = parse::service(quote!(crate = "krate"), item, &mut errors);
        let Ok(model) = model else { panic!("{:?}", errors.messages()) };
        assert_eq!(errors.messages(), [""; 0]);
        let mut words = Vec::new();
        flatten(service(&model), &mut words);
        words
    }

    fn flatten(tokens: TokenStream, words: &mut Vec<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    words.push("(".into());
                    flatten(group.stream(), words);
                    words.push(")".into());
                }
                other => words.push(other.to_string()),
            }
        }
    }

    #[test]
    fn names_that_users_may_shadow_are_never_used_bare() {
        let words = expanded();
        let shadowed = [
            "Box", "Clone", "Cow", "Debug", "Err", "From", "Future", "None", "Ok", "Option", "Rc",
            "Result", "Send", "Some", "String", "Sync", "Vec", "Call", "Client", "Node", "Service",
            "assert", "std", "core",
        ];
        for pair in words.windows(2).filter(|pair| shadowed.contains(&&*pair[1])) {
            assert_eq!(pair[0], ":", "{}", pair[1]);
        }
    }

    #[test]
    fn of_the_crate_only_the_support_module_is_used() {
        let words = expanded();
        let uses: Vec<_> = words.windows(4).filter(|words| words[0] == "krate").collect();
        assert!(!uses.is_empty());
        assert!(uses.iter().all(|words| words[1..] == [":", ":", "__macro"]), "{uses:?}");
    }

    #[test]
    fn no_lint_is_turned_off() {
        let words = expanded();
        assert!(!words.iter().any(|word| word == "allow" || word == "expect"));
    }
}
