//! Mistakes, collected, so that all of a trait's come out at once, each where it was made.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

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
