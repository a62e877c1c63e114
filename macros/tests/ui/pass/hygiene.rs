//! Types, parameters and methods that are named like ours, or like the standard library's.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub, unused)]

use farcall_core::{Config, Memory};
use farcall_macros as farcall;

/// Shadows of everything.
pub mod names {
    use std::string::String as Text;

    use super::farcall;

    macro_rules! shadow {
        ($($name:ident)+) => {$(
            /// Not what it seems.
            #[farcall::data(crate = "farcall_core")]
            #[derive(Clone, Copy, Debug, Default, PartialEq)]
            pub struct $name;
        )+};
    }

    shadow! {
        Result Option Box String Vec Call CallError MethodError Client Node Method Some None Ok Err
        Rc Cow Duration Service Data Params Context Future Send Sync Clone_ Debug_ Probe Invocation
        Failure Descriptor IntoService ParamsWriter S T E Self_ From
    }

    /// Not the crate.
    #[farcall::data(crate = "farcall_core")]
    #[derive(Debug, PartialEq)]
    pub struct Wrapped<T> {
        /// What is in it.
        pub inner: T,
    }

    /// Its names are in our way.
    #[farcall::service(crate = "farcall_core")]
    pub trait Shadows {
        /// Parameters.
        async fn parameters(
            &self,
            self_: u8,
            params: u8,
            client: u8,
            context: u8,
            ctx: &farcall_core::Context,
            method: u8,
            arguments: u8,
            target: u8,
            about: u8,
            returned: u8,
            argument_params: &u8,
            __params: u8,
            service: &[u8],
        ) -> u64;
        /// Types.
        #[allow(clippy::too_many_arguments)]
        async fn types(
            &self,
            a: Result,
            b: Option,
            c: Box,
            d: String,
            e: Vec,
            f: Call,
            g: &Client,
            h: Context,
            i: &[Cow],
        ) -> (Result, Option, Box, String, Vec, Call, Client, Context, Cow);
        /// A type that is called `Result`, and none.
        async fn result(&self) -> Result;
        /// A true one.
        async fn true_result(&self, fail: bool) -> std::result::Result<S, Text>;
        /// Type parameters.
        async fn parameter_names(&self, s: S, t: T, e: E) -> Wrapped<T>;
        /// Methods.
        async fn descriptor(&self) -> u8;
        /// Methods.
        async fn call(&self) -> u8;
        /// Methods.
        async fn fmt(&self) -> u8;
        /// Methods.
        async fn typed(&self) -> u8;
        /// Methods.
        async fn build(&self) -> u8;
        /// Methods.
        async fn drop(&self) -> u8;
        /// Methods.
        async fn deref(&self) -> u8;
    }

    /// Implements it.
    #[derive(Debug)]
    pub struct Server;

    impl Shadows for Server {
        async fn parameters(
            &self,
            self_: u8,
            params: u8,
            client: u8,
            context: u8,
            ctx: &farcall_core::Context,
            method: u8,
            arguments: u8,
            target: u8,
            about: u8,
            returned: u8,
            argument_params: &u8,
            __params: u8,
            service: &[u8],
        ) -> u64 {
            let _ = ctx;
            let numbers = [
                self_,
                params,
                client,
                context,
                method,
                arguments,
                target,
                about,
                returned,
                *argument_params,
                __params,
                service[0],
            ];
            numbers.into_iter().fold(0, |all, number| all * 10 + u64::from(number))
        }
        async fn types(
            &self,
            a: Result,
            b: Option,
            c: Box,
            d: String,
            e: Vec,
            f: Call,
            g: &Client,
            h: Context,
            i: &[Cow],
        ) -> (Result, Option, Box, String, Vec, Call, Client, Context, Cow) {
            (a, b, c, d, e, f, *g, h, i[0])
        }
        async fn result(&self) -> Result {
            Result
        }
        async fn true_result(&self, fail: bool) -> std::result::Result<S, Text> {
            if fail {
                std::result::Result::Err("failed".into())
            } else {
                std::result::Result::Ok(S)
            }
        }
        async fn parameter_names(&self, _: S, t: T, _: E) -> Wrapped<T> {
            Wrapped { inner: t }
        }
        async fn descriptor(&self) -> u8 {
            1
        }
        async fn call(&self) -> u8 {
            2
        }
        async fn fmt(&self) -> u8 {
            3
        }
        async fn typed(&self) -> u8 {
            4
        }
        async fn build(&self) -> u8 {
            5
        }
        async fn drop(&self) -> u8 {
            7
        }
        async fn deref(&self) -> u8 {
            8
        }
    }
}

/// Traits that are called what type parameters are.
mod letters {
    use super::farcall;

    #[farcall::service(crate = "farcall_core")]
    trait S {
        async fn s(&self, t: super::names::T);
    }

    #[farcall::service(crate = "farcall_core")]
    trait T {
        async fn t(&self, s: super::names::S);
    }
}

fn main() -> farcall_core::Result<()> {
    farcall_core::block_on(async {
        let node =
            farcall_core::Node::open_with(Config::default(), Memory::new().transport()).await?;
        node.serve(names::ShadowsServer::new(names::Server)).await?;
        let client = names::ShadowsClient::from(node.client("shadows"));
        let number = client.parameters(1, 2, 3, 4, 5, 6, 7, 8, 9, &1, 2, &[3]).await?;
        assert_eq!(number, 123_456_789_123);
        assert_eq!(client.result().await?, names::Result);
        assert_eq!(client.true_result(false).await?, names::S);
        let error = client.true_result(true).await.unwrap_err();
        assert_eq!(error.returned().as_deref(), Some("failed"));
        let wrapped = client.parameter_names(names::S, names::T, names::E).await?;
        assert_eq!(wrapped, names::Wrapped { inner: names::T });
        assert_eq!(client.descriptor().await? + client.call().await?, 3);
        assert_eq!(client.fmt().await? + client.typed().await?, 7);
        assert_eq!(client.build().await?, 5);
        assert_eq!(client.drop().await? + client.deref().await?, 15);
        Ok(())
    })
}
