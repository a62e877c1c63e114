//! The client: a method for each of the trait's, with the same parameters, that makes a call.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::schema::schema;
use super::server::{decode, timeout};
use super::{data, hidden, local, place, support};
use crate::model::{Method, Param, ParamKind, Returns, Service, plain};

/// `CalcClient`.
pub(super) fn client(service: &Service) -> TokenStream {
    let support = support(service);
    let (vis, item, name) = (&service.item.vis, &service.item.ident, &service.name);
    let client = service.companion("Client");
    let hidden = hidden(service);
    let lints = &service.lints;
    let schema = schema(service);
    let methods = service.methods.iter().map(|method| call(method, service));

    let about = format!(
        "Calls the service `{name}`; its methods are those of [`{item}`]. Clones are cheap and \
         call the same service."
    );
    let new = format!("A client of the service `{name}` in the node's namespace.");
    let from = format!(
        "Calls whatever `client` calls, which should be a [`{item}`]: a service of another name, or \
         one certain server."
    );
    quote! {
        #[doc = #about]
        #hidden
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #vis struct #client {
            client: #support::Client,
        }

        #(#lints)*
        impl #client {
            #[doc = #new]
            #[must_use]
            #vis fn new(node: &#support::Node) -> Self {
                <Self as ::core::convert::From<#support::Client>>::from(#support::Client::new(node, #name))
            }

            /// The client by names that this one is made of.
            #[must_use]
            #vis fn client(&self) -> &#support::Client {
                &self.client
            }

            #(#methods)*

            #[doc(hidden)]
            fn __farcall_schema() -> &'static #support::ServiceSchema {
                #schema
            }
        }

        impl ::core::convert::From<#support::Client> for #client {
            #[doc = #from]
            fn from(client: #support::Client) -> Self {
                Self { client: client.expecting(Self::__farcall_schema()) }
            }
        }
    }
}

/// A method that encodes its arguments and makes the call.
fn call(method: &Method, service: &Service) -> TokenStream {
    let support = support(service);
    let vis = &service.item.vis;
    let [params, about] = ["params", "about"].map(local);
    let mut ident = method.ident.clone();
    ident.set_span(place(&ident));
    let attrs = &method.attrs;
    let docs = method.docs.is_empty().then(|| {
        let docs = format!("Calls `{}`.", method.name);
        quote!(#[doc = #docs])
    });
    let parameters = method.travelling().map(|param| {
        let (ident, ty) = (&param.ident, &param.ty);
        let sent = matches!(param.kind, ParamKind::Stream { .. });
        let sent = sent.then(|| quote!(+ ::core::marker::Send + 'static));
        quote!(#ident: #ty #sent)
    });

    let count = method.values().count();
    let mutability = (count > 0).then(|| quote!(mut));
    let writes = method.values().map(|param| write(param, &support));
    let uploads = method.streams().map(|param| upload(param, &support));
    let Returns { ty, bytes, error, stream } = &method.returns;
    let decode = decode(ty, *bytes, method.opaque, &support);
    let (kind, typed, call) = match stream {
        None if method.recoverable => ("TaskCall", "typed_task", "__task_call"),
        None => ("Call", "typed", "__call"),
        Some(_) => ("StreamCall", "typed_stream", "__stream_call"),
    };
    let [kind, typed, call] = [kind, typed, call].map(local);
    let (ending, make) = match error {
        None => {
            let error = quote!(#support::CallError);
            (error.clone(), quote!(#support::Client::#typed::<_, #error>))
        }
        Some(error) => {
            let data = data(error, method.opaque, &support);
            (quote!(#support::MethodError<#error>), quote_spanned!(place(error)=> #data::#call))
        }
    };
    let (name, idempotent, timeout) = (&method.name, method.idempotent, timeout(method));
    quote! {
        #(#attrs)*
        #docs
        #vis fn #ident(&self, #(#parameters),*) -> #support::#kind<#ty, #ending> {
            let #mutability #params = #support::ParamsWriter::positions(#count);
            #(#writes)*
            let #about =
                #support::Method { name: #name, idempotent: #idempotent, timeout: #timeout };
            #make(&self.client, &#about, #params, #decode) #(#uploads)*
        }
    }
}

/// Sends an argument stream along with the call.
fn upload(param: &Param, support: &TokenStream) -> TokenStream {
    let (ident, ParamKind::Stream { item, bytes }) = (&param.ident, &param.kind) else {
        return TokenStream::new();
    };
    let encode = if *bytes {
        quote!(#support::encode_bytes)
    } else {
        let data = data(item, param.opaque, support);
        quote_spanned!(place(item)=> #data::__encode)
    };
    quote!(.upload(#support::Upload::new(#ident, #encode)))
}

/// Encodes an argument.
fn write(param: &Param, support: &TokenStream) -> TokenStream {
    let (ident, name, params) = (&param.ident, plain(&param.ident), local("params"));
    let data = |ty| data(ty, param.opaque, support);
    match &param.kind {
        ParamKind::Context | ParamKind::Stream { .. } => TokenStream::new(),
        ParamKind::Owned => {
            let data = data(&param.ty);
            quote!(#data::__write(&#ident, #name, &mut #params);)
        }
        ParamKind::Lent(ty) => {
            let data = data(ty);
            quote!(#data::__write(#ident, #name, &mut #params);)
        }
        ParamKind::LentList(item) => {
            let data = data(item);
            quote!(#data::__write_list(#ident, #name, &mut #params);)
        }
        ParamKind::LentText => quote!(#params.push(#name, #ident);),
        ParamKind::Bytes => quote!(#params.push_bytes(&#ident);),
        ParamKind::LentBytes => quote!(#params.push_bytes(#ident);),
    }
}
