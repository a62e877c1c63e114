//! Which types cannot travel, as far as it shows in how they are written. The rest is found by the
//! compiler, from the bounds of the generated code.

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, Type, TypeReference};

use crate::errors::Errors;
use crate::shape::{self, peel};
use crate::written::written;

/// Checks the type of a parameter that is not the context.
pub(super) fn parameter(ty: &Type, errors: &mut Errors) {
    if let Some(item) = shape::stream_item(ty) {
        return travels(item, errors);
    }
    let Type::Reference(reference) = peel(ty) else {
        return travels(ty, errors);
    };
    let TypeReference { lifetime, mutability, elem, .. } = reference;
    if mutability.is_some() {
        errors.add(
            ty,
            format_args!(
                "what the method changes stays with the server: write `&{}`, or return the changed \
                 value",
                written(elem)
            ),
        );
    } else if let Some(lifetime) = lifetime.as_ref().filter(|lifetime| lifetime.ident != "_") {
        errors.add(
            lifetime,
            format_args!("an argument is lent while the method runs: write `&{}`", written(elem)),
        );
    } else if !matches!(peel(elem), Type::Slice(_)) && !shape::is_word(elem, "str") {
        travels(elem, errors);
    } else if let Type::Slice(slice) = peel(elem) {
        travels(&slice.elem, errors);
    }
}

/// Checks the type of a result.
pub(super) fn result(ty: &Type, errors: &mut Errors) {
    match shape::result_arguments(ty).as_deref() {
        // Without brackets it may be a type of that name; the generated code finds out.
        None | Some([]) => given(ty, None, errors),
        Some([value, error]) => {
            given(value, Some(error), errors);
            travels(error, errors);
        }
        Some(_) => unknown_error(ty, errors),
    }
}

/// Checks what a method gives: a value, or a stream whose items may be results of their own.
fn given(ty: &Type, error: Option<&Type>, errors: &mut Errors) {
    let Some(item) = shape::stream_item(ty) else { return travels(ty, errors) };
    match shape::result_arguments(item).as_deref() {
        None | Some([]) => travels(item, errors),
        Some([value, own]) => {
            travels(value, errors);
            match error {
                None => travels(own, errors),
                Some(error) if written(error) != written(own) => errors.add(
                    own,
                    format_args!(
                        "a call has one type of error, before its stream and within: write `{}` \
                         here too",
                        written(error)
                    ),
                ),
                Some(_) => {}
            }
        }
        Some(_) => unknown_error(item, errors),
    }
}

fn unknown_error(ty: &Type, errors: &mut Errors) {
    errors.add(
        ty,
        format_args!(
            "callers must know the error's type: write it, as in `Result<T, E>`, instead of `{}`",
            written(ty)
        ),
    );
}

fn travels(ty: &Type, errors: &mut Errors) {
    match peel(ty) {
        Type::Slice(slice) => {
            errors.add(ty, format_args!("write `Vec<{}>`", written(&slice.elem)));
        }
        _ if shape::is_word(ty, "str") => errors.add(ty, "write `String`"),
        // Only a visitor that may change what it visits is compiled in.
        _ => Walk { errors }.visit_type_mut(&mut ty.clone()),
    }
}

struct Walk<'a> {
    errors: &'a mut Errors,
}

impl VisitMut for Walk<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::Reference(reference) => self.errors.add(
                &reference,
                format_args!(
                    "a value that travels borrows nothing: write `{}` instead of `{}`",
                    owned(reference),
                    written(&reference)
                ),
            ),
            Type::ImplTrait(anonymous) if shape::stream_bound(&anonymous.bounds).is_some() => {
                self.streams(ty, shape::stream_item(ty).is_some());
            }
            Type::TraitObject(object) if shape::stream_bound(&object.bounds).is_some() => {
                self.streams(ty, false);
            }
            Type::ImplTrait(_) => {
                self.errors.add(ty, "both sides must know the types of a call: name the type");
            }
            Type::TraitObject(_) => self.errors.add(
                ty,
                "a trait object cannot travel: write a type that holds the data, such as an enum",
            ),
            Type::FnPtr(_) => self.errors.add(ty, "a function cannot travel: take what it needs"),
            Type::Infer(_) => {
                self.errors.add(ty, "both sides must know the types of a call: name the type");
            }
            Type::Path(path) if path.path.segments.first().is_some_and(|s| s.ident == "Self") => {
                self.errors.add(
                    ty,
                    "clients have no `Self`, only the server has it: write a type of its own for \
                     what travels",
                );
            }
            _ => visit_mut::visit_type_mut(self, ty),
        }
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            self.errors.add(
                &lifetime,
                format_args!(
                    "a value that travels borrows nothing: write an owned type, or `'static` \
                     instead of `{lifetime}`"
                ),
            );
        }
    }
}

impl Walk<'_> {
    /// A stream where none can be.
    fn streams(&mut self, ty: &Type, whole: bool) {
        let message = match whole {
            true => "a stream is a parameter or a result of its own, and no part of a value",
            false => "write it with the type of its items: `impl Stream<Item = …>`",
        };
        self.errors.add(ty, message);
    }
}

/// What to write instead of a reference.
fn owned(reference: &TypeReference) -> String {
    match peel(&reference.elem) {
        Type::Slice(slice) => format!("Vec<{}>", written(&slice.elem)),
        elem if shape::is_word(elem, "str") => "String".into(),
        elem => written(elem.to_token_stream()),
    }
}
