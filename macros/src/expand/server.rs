//! The server: takes a value that implements the trait, and answers calls with it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Type};

use super::{data, hidden, local, place, support};
use crate::model::{Fails, Method, Param, ParamKind, Returns, Service, plain};

/// `CalcServer`, with all that it needs out of the user's sight.
pub(super) fn server(service: &Service) -> TokenStream {
    let support = support(service);
    let (vis, item) = (&service.item.vis, &service.item.ident);
    let server = service.companion("Server");
    let name = server.to_string();
    let hidden = hidden(service);
    let about = format!(
        "Serves something that implements [`{item}`], as `{}`: hand it to `Node::serve`.",
        service.name
    );
    let dispatcher = dispatcher(service);
    // For people who read the documentation, so long as the trait is not called that.
    let generic = if item == "S" { quote!(T) } else { quote!(S) };
    quote! {
        #[doc = #about]
        #hidden
        #[must_use = "nothing is served before this is handed to `Node::serve`"]
        #vis struct #server(
            ::std::boxed::Box<
                dyn ::core::ops::FnOnce() -> ::std::rc::Rc<dyn #support::Service>
                    + ::core::marker::Send,
            >,
        );

        const _: () = {
            impl #server {
                /// Serves this value.
                #vis fn new<#generic>(service: #generic) -> Self
                where
                    #generic:
                        #item + ::core::marker::Send + ::core::marker::Sync + 'static,
                {
                    Self::build(move || service)
                }

                /// Serves what `make` makes. It is made on the node's thread and stays there, so
                /// that it may hold an `Rc`.
                #vis fn build<#generic>(
                    make: impl ::core::ops::FnOnce() -> #generic
                        + ::core::marker::Send
                        + 'static,
                ) -> Self
                where
                    #generic: #item + 'static,
                {
                    Self(::std::boxed::Box::new(move || {
                        ::std::rc::Rc::new(__FarcallDispatcher(::std::rc::Rc::new(make())))
                    }))
                }
            }

            impl ::core::fmt::Debug for #server {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_struct(#name).finish_non_exhaustive()
                }
            }

            impl #support::IntoService for #server {
                fn into_service(
                    self: ::std::boxed::Box<Self>,
                ) -> ::core::result::Result<
                    ::std::rc::Rc<dyn #support::Service>,
                    ::std::string::String,
                > {
                    ::core::result::Result::Ok((self.0)())
                }
            }

            #dispatcher

            // A program that has only clients is not to hear that its trait is dead code.
            let _ = __FarcallDispatcher::<()>;
        };
    }
}

/// The type that implements `Service` for whatever implements the trait.
fn dispatcher(service: &Service) -> TokenStream {
    let support = support(service);
    let (item, client) = (&service.item.ident, service.companion("Client"));
    let [method, params, context] = ["method", "params", "context"].map(local);
    let arms = service.methods.iter().enumerate().map(|(position, method)| {
        let steps = steps(method, service);
        quote!(#position => { #steps })
    });
    quote! {
        struct __FarcallDispatcher<__FarcallService>(::std::rc::Rc<__FarcallService>);

        impl<__FarcallService> #support::Service for __FarcallDispatcher<__FarcallService>
        where
            __FarcallService: #item + 'static,
        {
            fn descriptor(&self) -> #support::Descriptor {
                ::core::clone::Clone::clone(#client::__farcall_schema().offers())
            }

            fn call(
                &self,
                #method: usize,
                #params: #support::Params,
                #context: &#support::Context,
            ) -> ::core::result::Result<#support::Invocation, #support::Failure> {
                match #method {
                    #(#arms)*
                    _ => ::core::result::Result::Err(#support::no_such_method(#method)),
                }
            }
        }
    }
}

/// What happens when a method is called: decode, move into the future, run, reply.
fn steps(method: &Method, service: &Service) -> TokenStream {
    let support = support(service);
    let (item, ident) = (&service.item.ident, &method.ident);
    let [params, arguments, context, target] =
        ["params", "arguments", "context", "target"].map(local);

    let names: Vec<String> = method.values().map(|param| plain(&param.ident)).collect();
    let reads = method.travelling().map(|param| read(param, &support));
    let mutability = method.travelling().next().map(|_| quote!(mut));
    let has_context = method.params.iter().any(|param| param.kind == ParamKind::Context);
    let keep_context = (has_context || method.returns.stream.is_some())
        .then(|| quote!(let #context = ::core::clone::Clone::clone(#context);));

    let passed = method.params.iter().map(pass);
    let run = quote! {
        <__FarcallService as #item>::#ident(&*#target, #(#passed),*).await
    };
    let outcome = match method.returns.stream {
        None => match &method.returns.error {
            None => reply(method, &quote!(&#run), &support),
            Some(error) => reply_either(method, error, &quote!(&#run), &support),
        },
        Some(fails) => results(method, fails, &run, &support),
    };
    quote! {
        let #mutability #arguments = #params.arguments(&[#(#names),*])?;
        #(#reads)*
        #arguments.finish()?;
        #keep_context
        let #target = ::core::clone::Clone::clone(&self.0);
        ::core::result::Result::Ok(::std::boxed::Box::pin(async move { #outcome }))
    }
}

/// Sends a stream of results. It may borrow from the service and from the arguments, so all that it
/// takes is one future.
fn results(method: &Method, fails: Fails, run: &TokenStream, support: &TokenStream) -> TokenStream {
    let [context, stream, item, failed] = ["context", "stream", "item", "failed"].map(local);
    let encode = match &method.returns.error {
        Some(error) if fails.within => reply_either(method, error, &quote!(#item), support),
        _ => reply(method, &quote!(#item), support),
    };
    let send =
        |stream: &TokenStream| quote!(#support::results(&#context, #stream, |#item| #encode).await);
    match &method.returns.error {
        Some(error) if fails.before => {
            let (send, data) = (send(&quote!(#stream)), data(error, method.opaque, support));
            let reply_error = quote_spanned!(place(error)=> #data::__error);
            quote! {
                match #run {
                    ::core::result::Result::Ok(#stream) => #send,
                    ::core::result::Result::Err(#failed) => #reply_error(&#failed),
                }
            }
        }
        _ => send(run),
    }
}

/// Encodes what is behind a reference to a `Result`.
fn reply_either(
    method: &Method,
    error: &Type,
    result: &TokenStream,
    support: &TokenStream,
) -> TokenStream {
    let returned = local("returned");
    let reply_value = reply(method, &quote!(#returned), support);
    let data = data(error, method.opaque, support);
    let reply_error = quote_spanned!(place(error)=> #data::__error);
    quote! {
        match #result {
            ::core::result::Result::Ok(#returned) => #reply_value,
            ::core::result::Result::Err(#returned) => #reply_error(#returned),
        }
    }
}

/// Decodes a parameter into its variable.
fn read(param: &Param, support: &TokenStream) -> TokenStream {
    let (argument, arguments) = (argument(param), local("arguments"));
    let data = |ty| data(ty, param.opaque, support);
    let decoded = match &param.kind {
        ParamKind::Context => return TokenStream::new(),
        ParamKind::Owned => {
            let data = data(&param.ty);
            quote!(#data::__read(&mut #arguments)?)
        }
        ParamKind::Lent(ty) => {
            let data = data(ty);
            quote!(#data::__read(&mut #arguments)?)
        }
        ParamKind::LentList(item) => {
            let data = data(item);
            quote!(#data::__read_list(&mut #arguments)?)
        }
        ParamKind::LentText => quote!(#arguments.next::<::std::string::String>()?),
        ParamKind::Bytes | ParamKind::LentBytes => quote!(#arguments.next_bytes()?),
        ParamKind::Stream { item, bytes } => {
            let (name, context) = (plain(&param.ident), local("context"));
            let decode = decode(item, *bytes, param.opaque, support);
            quote!(#arguments.next_stream(#context, #name, #decode)?)
        }
    };
    quote!(let #argument = #decoded;)
}

/// Passes a parameter to the method.
fn pass(param: &Param) -> TokenStream {
    let span = place(&param.ty);
    let (argument, context) = (argument(param), local("context"));
    match &param.kind {
        // A `Context` of another crate is found here.
        ParamKind::Context => quote_spanned!(span=> &#context),
        ParamKind::Owned | ParamKind::Bytes | ParamKind::Stream { .. } => {
            quote_spanned!(span=> #argument)
        }
        ParamKind::Lent(_)
        | ParamKind::LentList(_)
        | ParamKind::LentText
        | ParamKind::LentBytes => quote_spanned!(span=> &#argument),
    }
}

/// The variable that a decoded parameter is in.
fn argument(param: &Param) -> Ident {
    let mut argument = local(&format!("argument_{}", plain(&param.ident)));
    argument.set_span(argument.span().located_at(place(&param.ty)));
    argument
}

/// Encodes a result.
fn reply(method: &Method, value: &TokenStream, support: &TokenStream) -> TokenStream {
    let Returns { ty, bytes, .. } = &method.returns;
    if *bytes {
        quote_spanned!(place(ty)=> #support::reply::bytes(#value))
    } else {
        let data = data(ty, method.opaque, support);
        quote_spanned!(place(ty)=> #data::__reply(#value))
    }
}

/// What reads a value of this type, or an item of a stream of them.
pub(super) fn decode(ty: &Type, bytes: bool, opaque: bool, support: &TokenStream) -> TokenStream {
    if bytes {
        return quote!(#support::value::decode_bytes);
    }
    let data = data(ty, opaque, support);
    quote_spanned!(place(ty)=> #data::__decode)
}

/// The method's timeout, as an `Option<Duration>`.
pub(super) fn timeout(method: &Method) -> TokenStream {
    match method.timeout {
        None => quote!(::core::option::Option::None),
        Some(timeout) => {
            let (seconds, nanos) = (timeout.as_secs(), timeout.subsec_nanos());
            quote!(::core::option::Option::Some(::core::time::Duration::new(#seconds, #nanos)))
        }
    }
}
