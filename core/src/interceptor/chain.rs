//! Interceptors in their order.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{CallInfo, Check, End, Incoming, Interceptor, Outgoing};
use crate::wire::Failure;

/// Interceptors around a handle, the outermost first. There is at least one.
#[derive(Clone)]
pub(crate) struct Chain(Arc<[Arc<dyn Interceptor>]>);

/// How far a call came through a chain that it came through only so far.
pub(crate) enum Stop {
    /// The interceptor at this place refused it.
    Refused(usize, Failure),
    /// The one before this place wants something checked first.
    Check(usize, Check),
}

impl Chain {
    /// The chain with one more, the innermost.
    pub(crate) fn and(outer: Option<&Chain>, inner: Arc<dyn Interceptor>) -> Chain {
        let outer = outer.into_iter().flat_map(|chain| chain.0.iter().cloned());
        Chain(outer.chain([inner]).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a call through. With a refusal comes the place of the interceptor that refused.
    pub(crate) fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), (usize, Failure)> {
        for (at, interceptor) in self.0.iter().enumerate() {
            interceptor.outgoing(call).map_err(|refusal| (at, refusal.at_client()))?;
        }
        Ok(())
    }

    /// Takes a call in, from the interceptor at a place on.
    pub(crate) fn incoming(&self, from: usize, call: &mut Incoming) -> Result<(), Stop> {
        for (at, interceptor) in self.0.iter().enumerate().skip(from) {
            interceptor.incoming(call).map_err(|refusal| Stop::Refused(at, refusal.at_server()))?;
            if let Some(check) = call.check.take() {
                return Err(Stop::Check(at + 1, check));
            }
        }
        Ok(())
    }

    /// Tells those that let the call pass, the first of the chain, how it ended.
    pub(crate) fn ended(&self, passed: usize, call: &CallInfo<'_>, end: &End<'_>) {
        for interceptor in self.0[..passed].iter().rev() {
            // The call is over, and may end because of a panic: another one helps nobody.
            let told = catch_unwind(AssertUnwindSafe(|| interceptor.ended(call, end)));
            if told.is_err() {
                let (service, method) = (call.service, call.method);
                tracing::error!(service, method, "an interceptor panicked when a call ended");
            }
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.len()).finish()
    }
}
