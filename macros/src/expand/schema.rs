//! What the service tells of itself: a static, filled at the first question.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Type;

use super::server::timeout;
use super::{data, local, place, support};
use crate::model::{Method, Param, ParamKind, Service, plain};
use crate::written::written;

/// An expression for the service's schema, which is the same each time.
pub(super) fn schema(service: &Service) -> TokenStream {
    let support = support(service);
    let (name, docs) = (text(&service.name), text(&service.docs));
    let methods = local("methods");
    let calls = service.methods.iter().map(|it| method(it, &support));
    let body = match service.methods.is_empty() {
        true => quote!(|_| ()),
        false => quote!(|#methods| { #(#methods #calls)* }),
    };
    quote! {
        static SCHEMA: #support::ServiceSchema = #support::ServiceSchema::new(|| {
            #support::schema::describe(#name, #docs, #body)
        });
        &SCHEMA
    }
}

/// A method, with its types as they are written and as they describe themselves.
fn method(method: &Method, support: &TokenStream) -> TokenStream {
    let (name, docs) = (text(&method.name), text(&method.docs));
    let (returns, opaque) = (&method.returns, method.opaque);
    let result = text(&written(&returns.ty));
    let of_result =
        if returns.bytes { bytes(support) } else { described(&returns.ty, opaque, support) };
    let params = method.travelling().map(|param| {
        let name = text(&plain(&param.ident));
        let of_param = of_param(param, support);
        if let ParamKind::Stream { item, .. } = &param.kind {
            let ty = text(&written(item));
            quote!(.param_stream(#name, #ty, #of_param))
        } else {
            let ty = text(&written(&param.ty));
            quote!(.param(#name, #ty, #of_param))
        }
    });
    let error = returns.error.as_ref().map(|error| {
        let (ty, of_error) = (text(&written(error)), described(error, opaque, support));
        quote!(.error(#ty, #of_error))
    });
    let stream = returns.stream.map(|_| quote!(.stream()));
    let recoverable = method.recoverable.then(|| quote!(.recoverable()));
    let (idempotent, timeout) = (method.idempotent, timeout(method));
    quote! {
        .method(#name, #docs, #result, #of_result)
        #(#params)*
        #error
        #stream
        #recoverable
        .options(#idempotent, #timeout);
    }
}

fn of_param(param: &Param, support: &TokenStream) -> TokenStream {
    match &param.kind {
        ParamKind::Context => TokenStream::new(),
        ParamKind::Owned => described(&param.ty, param.opaque, support),
        ParamKind::Lent(ty) => described(ty, param.opaque, support),
        ParamKind::LentList(item) => {
            let data = data(item, param.opaque, support);
            quote_spanned!(place(item)=> #data::__describe_list)
        }
        ParamKind::LentText => quote!(|describer| describer.describe::<::std::string::String>()),
        ParamKind::Bytes | ParamKind::LentBytes | ParamKind::Stream { bytes: true, .. } => {
            bytes(support)
        }
        ParamKind::Stream { item, .. } => described(item, param.opaque, support),
    }
}

fn described(ty: &Type, opaque: bool, support: &TokenStream) -> TokenStream {
    let data = data(ty, opaque, support);
    quote_spanned!(place(ty)=> #data::__describe)
}

fn bytes(support: &TokenStream) -> TokenStream {
    quote!(|_| #support::schema::Described::bytes())
}

fn text(text: &str) -> TokenStream {
    quote!(::std::borrow::Cow::Borrowed(#text))
}
