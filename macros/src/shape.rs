//! What a type in a signature means.

use syn::punctuated::Punctuated;
use syn::{
    AngleBracketedGenericArguments, GenericArgument, PathArguments, PathSegment, ReturnType, Token,
    Type, TypeParamBound, TypeReference, parse_quote,
};

use crate::model::{Fails, ParamKind, Returns};

/// Is this `&Context`, the server's own parameter?
///
/// It is known by its name: what a type is, a macro cannot see.
pub(crate) fn is_context(ty: &Type) -> bool {
    match peel(ty) {
        Type::Reference(TypeReference { mutability: None, elem, .. }) => last_segment(elem)
            .is_some_and(|last| last.ident == "Context" && last.arguments.is_none()),
        _ => false,
    }
}

/// How a parameter of this type comes to the method.
pub(crate) fn parameter(ty: &Type) -> ParamKind {
    if is_context(ty) {
        return ParamKind::Context;
    }
    if let Some(item) = stream_item(ty) {
        return ParamKind::Stream { item: item.clone(), bytes: is_bytes(item) };
    }
    let Type::Reference(reference) = peel(ty) else {
        return if is_bytes(ty) { ParamKind::Bytes } else { ParamKind::Owned };
    };
    match peel(&reference.elem) {
        Type::Slice(slice) if is_word(&slice.elem, "u8") => ParamKind::LentBytes,
        Type::Slice(slice) => ParamKind::LentList((*slice.elem).clone()),
        elem if is_bytes(elem) => ParamKind::LentBytes,
        elem if is_word(elem, "str") => ParamKind::LentText,
        elem => ParamKind::Lent(elem.clone()),
    }
}

/// What a method of this result returns.
pub(crate) fn result(output: &ReturnType) -> Returns {
    let ty = match output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    let (given, mut error) = value_and_error(&ty);
    let Some(item) = stream_item(&given) else {
        return Returns { bytes: is_bytes(&given), error, stream: None, ty: given };
    };
    let before = error.is_some();
    let (ty, within) = value_and_error(item);
    let fails = Fails { before, within: within.is_some() };
    error = error.or(within);
    Returns { bytes: is_bytes(&ty), error, stream: Some(fails), ty }
}

/// `T` and `E` of `Result<T, E>`; the type itself if it is none.
fn value_and_error(ty: &Type) -> (Type, Option<Type>) {
    match result_arguments(ty).as_deref() {
        Some([value, error]) => ((*value).clone(), Some((*error).clone())),
        _ => (ty.clone(), None),
    }
}

/// The `T` of `impl Stream<Item = T>`, if that is what it is.
pub(crate) fn stream_item(ty: &Type) -> Option<&Type> {
    let Type::ImplTrait(anonymous) = peel(ty) else { return None };
    let PathArguments::AngleBracketed(arguments) = &stream_bound(&anonymous.bounds)?.arguments
    else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
        _ => None,
    })
}

/// The bound that says `Stream`, by whatever path.
pub(crate) fn stream_bound(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<&PathSegment> {
    bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().filter(|last| last.ident == "Stream")
        }
        _ => None,
    })
}

/// The types between the brackets of `Result<…>`, if this is one.
pub(crate) fn result_arguments(ty: &Type) -> Option<Vec<&Type>> {
    last_segment(ty).filter(|last| last.ident == "Result").map(type_arguments)
}

/// Is this `Vec<u8>`?
fn is_bytes(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| {
        last.ident == "Vec" && matches!(type_arguments(last)[..], [item] if is_word(item, "u8"))
    })
}

/// Is this the one word, without a path to it?
pub(crate) fn is_word(ty: &Type, word: &str) -> bool {
    matches!(peel(ty), Type::Path(ty) if ty.qself.is_none() && ty.path.is_ident(word))
}

fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(AngleBracketedGenericArguments { args, .. }) =
        &segment.arguments
    else {
        return Vec::new();
    };
    args.iter()
        .filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect()
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel(ty) {
        Type::Path(ty) if ty.qself.is_none() => ty.path.segments.last(),
        _ => None,
    }
}

/// The type inside of parentheses, and of the invisible ones that `macro_rules!` leaves.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        _ => ty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_told_apart_by_how_they_are_written() {
        let numbers = || ParamKind::Stream { item: parse_quote!(i64), bytes: false };
        let cases: [(Type, ParamKind); 18] = [
            (parse_quote!(i64), ParamKind::Owned),
            (parse_quote!(String), ParamKind::Owned),
            (parse_quote!(Vec<u16>), ParamKind::Owned),
            (parse_quote!(Option<Vec<u8>>), ParamKind::Owned),
            (parse_quote!(Context), ParamKind::Owned),
            (parse_quote!(&Point), ParamKind::Lent(parse_quote!(Point))),
            (parse_quote!(&(A, B)), ParamKind::Lent(parse_quote!((A, B)))),
            (parse_quote!(&[u16]), ParamKind::LentList(parse_quote!(u16))),
            (parse_quote!(&str), ParamKind::LentText),
            (parse_quote!(Vec<u8>), ParamKind::Bytes),
            (parse_quote!(std::vec::Vec<u8>), ParamKind::Bytes),
            (parse_quote!(&[u8]), ParamKind::LentBytes),
            (parse_quote!(&Vec<u8>), ParamKind::LentBytes),
            (parse_quote!(&Context), ParamKind::Context),
            (parse_quote!(&farcall::Context), ParamKind::Context),
            (parse_quote!(impl Stream<Item = i64>), numbers()),
            (parse_quote!(impl futures::Stream<Item = i64> + Unpin), numbers()),
            (
                parse_quote!(impl Stream<Item = Vec<u8>>),
                ParamKind::Stream { item: parse_quote!(Vec<u8>), bytes: true },
            ),
        ];
        for (ty, expected) in cases {
            assert_eq!(parameter(&ty), expected, "{ty:?}");
        }
    }

    #[test]
    fn a_result_may_have_an_error_beside_it() {
        let returns = |ty, bytes, error| Returns { ty, bytes, error, stream: None };
        let cases: [(ReturnType, Returns); 6] = [
            (parse_quote!(), returns(parse_quote!(()), false, None)),
            (parse_quote!(-> i64), returns(parse_quote!(i64), false, None)),
            (parse_quote!(-> Vec<u8>), returns(parse_quote!(Vec<u8>), true, None)),
            (
                parse_quote!(-> std::result::Result<i64, E>),
                returns(parse_quote!(i64), false, Some(parse_quote!(E))),
            ),
            (
                parse_quote!(-> (Result<Vec<u8>, E>)),
                returns(parse_quote!(Vec<u8>), true, Some(parse_quote!(E))),
            ),
            (
                parse_quote!(-> Option<Result<i64, E>>),
                returns(parse_quote!(Option<Result<i64, E>>), false, None),
            ),
        ];
        for (output, expected) in cases {
            assert_eq!(result(&output), expected, "{output:?}");
        }
    }

    #[test]
    fn a_stream_may_fail_before_it_begins_and_within() {
        let cases: [(ReturnType, bool, bool); 4] = [
            (parse_quote!(-> impl Stream<Item = i64>), false, false),
            (parse_quote!(-> impl Stream<Item = Result<i64, E>>), false, true),
            (parse_quote!(-> Result<impl Stream<Item = i64>, E>), true, false),
            (parse_quote!(-> Result<impl Stream<Item = Result<i64, E>>, E>), true, true),
        ];
        for (output, before, within) in cases {
            let error = (before || within).then(|| parse_quote!(E));
            let stream = Some(Fails { before, within });
            let expected = Returns { ty: parse_quote!(i64), bytes: false, error, stream };
            assert_eq!(result(&output), expected, "{output:?}");
        }
    }
}
