//! What a type in a signature means.

use syn::{
    AngleBracketedGenericArguments, GenericArgument, PathArguments, PathSegment, ReturnType, Type,
    TypeReference, parse_quote,
};

use crate::model::{ParamKind, Returns};

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
    match result_arguments(&ty).as_deref() {
        Some([value, error]) => {
            Returns { bytes: is_bytes(value), error: Some((*error).clone()), ty: (*value).clone() }
        }
        _ => Returns { bytes: is_bytes(&ty), error: None, ty },
    }
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
        let cases: [(Type, ParamKind); 15] = [
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
        ];
        for (ty, expected) in cases {
            assert_eq!(parameter(&ty), expected, "{ty:?}");
        }
    }

    #[test]
    fn a_result_may_have_an_error_beside_it() {
        let returns = |ty, bytes, error| Returns { ty, bytes, error };
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
}
