//! Interceptors in their order.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{CallInfo, Check, End, Incoming, Interceptor, Outgoing, Refusal};
use crate::wire::Failure;

/// Interceptors around a handle, the outermost first. There is at least one.
#[derive(Clone)]
pub(crate) struct Chain(Arc<[Arc<dyn Interceptor>]>);

impl Chain {
    /// The chain with one more, the innermost.
    pub(crate) fn and(outer: Option<&Chain>, inner: Arc<dyn Interceptor>) -> Chain {
        let outer = outer.into_iter().flat_map(|chain| chain.0.iter().cloned());
        Chain(outer.chain([inner]).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a call through. `passed` is how many have let it pass, also when one panics.
    pub(crate) fn outgoing(
        &self,
        call: &mut Outgoing<'_>,
        passed: &Cell<usize>,
    ) -> Result<(), Failure> {
        for (at, interceptor) in self.0.iter().enumerate() {
            interceptor.outgoing(call).map_err(Refusal::at_client)?;
            passed.set(at + 1);
        }
        Ok(())
    }

    /// Takes a call in, from the first interceptor that has not let it pass on, to the next check
    /// or through all of them. The one that checks counts as passed, as long as its check does.
    pub(crate) fn incoming(
        &self,
        call: &mut Incoming,
        passed: &Cell<usize>,
    ) -> Result<Option<Check>, Failure> {
        for interceptor in self.0.iter().skip(passed.get()) {
            interceptor.incoming(call).map_err(Refusal::at_server)?;
            passed.set(passed.get() + 1);
            if let Some(check) = call.check.take() {
                return Ok(Some(check));
            }
        }
        Ok(None)
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
