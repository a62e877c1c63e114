//! Private traits, half of whose server and client nobody uses, under the strictest lints.
#![forbid(unsafe_code, warnings, unused, missing_docs, unreachable_pub, non_local_definitions)]
#![forbid(missing_debug_implementations, private_interfaces, private_bounds)]

use farcall_macros as farcall;

mod served {
    use super::farcall;

    #[farcall::service(crate = "farcall_core")]
    trait OnlyServed {
        async fn one(&self, a: i64) -> i64;
        async fn other(&self) -> Result<i64, String>;
    }

    struct One;

    impl OnlyServed for One {
        async fn one(&self, a: i64) -> i64 {
            a
        }
        async fn other(&self) -> Result<i64, String> {
            Ok(1)
        }
    }

    pub(crate) fn server() -> impl farcall_core::service::IntoService {
        OnlyServedServer::new(One)
    }
}

mod called {
    use super::farcall;

    #[farcall::service(crate = "farcall_core")]
    pub(super) trait OnlyCalled {
        async fn one(&self, a: i64) -> i64;
        async fn other(&self) -> Result<i64, String>;
    }
}

mod inner {
    pub(in crate::inner) mod deeper {
        use farcall_macros as farcall;

        #[farcall::service(crate = "farcall_core")]
        pub(in crate::inner) trait Restricted {
            async fn one(&self);
        }
    }

    pub(crate) fn call(client: &farcall_core::Client) {
        drop(deeper::RestrictedClient::from(client.clone()).one());
    }
}

fn call(client: farcall_core::Client) {
    drop(called::OnlyCalledClient::from(client).one(1));
}

fn main() {
    #[farcall::service(crate = "farcall_core")]
    trait Local {
        async fn here(&self);
    }

    struct Here;

    impl Local for Here {
        async fn here(&self) {}
    }

    let here = LocalServer::build(|| Here);
    assert_eq!(format!("{here:?}"), "LocalServer { .. }");
    drop(here);
    drop(served::server());
    let _: (fn(_), fn(&_)) = (call, inner::call);
}
