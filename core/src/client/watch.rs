//! One call that somebody listens to, from its first poll to its end.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::{CompactString, ToCompactString};
use tracing::Span;
use tracing::field::display;

use crate::context::inherited_trace;
use crate::interceptor::{CallInfo, Chain, End, Outgoing, Side, set};
use crate::observe::{ClientMeters, ClientService, Ended, client_span, record_end};
use crate::trace_context::TraceContext;
use crate::wire::{Failure, Headers, MAX_HEADER_BYTES, MAX_HEADERS};

/// Hears how a call ends: for metrics, its span, and its interceptors. Dropping it means that the
/// call was dropped.
pub(crate) struct Watch {
    service: CompactString,
    method: CompactString,
    arguments: usize,
    one_way: bool,
    span: Span,
    meters: Option<Arc<ClientService>>,
    /// The interceptors, and how many of them have let the call pass.
    chain: Option<(Chain, Cell<usize>)>,
    /// The clock is read only for those who ask how long it took.
    since: Option<Instant>,
    told: bool,
}

impl Watch {
    /// Watches a call, if anybody listens.
    pub(crate) fn begin(
        chain: Option<&Chain>,
        meters: &ClientMeters,
        service: &CompactString,
        method: &CompactString,
        arguments: usize,
        one_way: bool,
    ) -> Option<Box<Self>> {
        let span = client_span(service, method);
        let meters = meters.service(service);
        if chain.is_none() && meters.is_none() && span.is_disabled() {
            return None;
        }
        if let Some(meters) = &meters {
            meters.begun();
        }
        let since = (chain.is_some() || meters.is_some()).then(Instant::now);
        Some(Box::new(Watch {
            service: service.clone(),
            method: method.clone(),
            arguments,
            one_way,
            span,
            meters,
            chain: chain.map(|chain| (chain.clone(), Cell::new(0))),
            since,
            told: false,
        }))
    }

    /// Sends the call through the interceptors, and gives it its place in a trace.
    pub(crate) fn outgoing(&mut self, headers: &mut Headers) -> Result<(), Failure> {
        if let Some((chain, passed)) = &self.chain {
            let (service, method, span) = (&*self.service, &*self.method, &self.span);
            let arguments = self.arguments;
            let mut call = Outgoing { service, method, arguments, headers, span };
            span.in_scope(|| chain.outgoing(&mut call, passed))?;
        }
        if self.span.is_disabled() {
            pass_on_trace(headers);
            return Ok(());
        }
        // What is there by now was put there by somebody who knows better.
        let given = headers.iter().find(|(name, _)| name == TraceContext::TRACEPARENT);
        let trace = match given {
            Some((_, given)) => TraceContext::parse(given),
            None => {
                let inherited = inherited_trace();
                let trace = match &inherited {
                    Some((trace, _)) => trace.continued(),
                    None => TraceContext::begin(),
                };
                put_trace(headers, trace, inherited.and_then(|(_, state)| state));
                Some(trace)
            }
        };
        if let Some(trace) = trace {
            self.span.record("trace_id", display(trace.trace_id()));
            self.span.record("span_id", display(trace.parent_id()));
        }
        Ok(())
    }

    /// The call ended with a value of so many bytes, or without one.
    pub(crate) fn end(mut self, outcome: Result<usize, &Failure>) {
        match outcome {
            Ok(result) => self.tell(Ended::Ok, "", result),
            Err(failure) => self.tell(Ended::Failed(failure.reason), &failure.message, 0),
        }
    }

    fn tell(&mut self, ended: Ended, message: &str, result: usize) {
        self.told = true;
        let took = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        if let Some(meters) = &self.meters {
            meters.ended(&self.method, ended, took);
        }
        // Whatever a call ends with but its value is an error to its caller, unless it was its wish.
        record_end(&self.span, ended, message, matches!(ended, Ended::Failed(_)));
        if let Some((chain, passed)) = &self.chain {
            let call = CallInfo {
                side: Side::Client,
                service: &self.service,
                method: &self.method,
                arguments: self.arguments,
                one_way: self.one_way,
            };
            let end = End { ended, message, result, took };
            self.span.in_scope(|| chain.ended(passed.get(), &call, &end));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Ended::Cancelled, "", 0);
        }
    }
}

/// A call that a handler makes belongs to the trace of the handler's own call, as it is where nobody
/// makes a span of it.
pub(crate) fn pass_on_trace(headers: &mut Headers) {
    let Some((trace, state)) = inherited_trace() else { return };
    if headers.iter().all(|(name, _)| name != TraceContext::TRACEPARENT) {
        put_trace(headers, trace, state);
    }
}

/// Adds the headers of a trace. A call that has no room for them goes without: it is not to fail for
/// being watched.
fn put_trace(headers: &mut Headers, trace: TraceContext, state: Option<CompactString>) {
    let parent = (TraceContext::TRACEPARENT, trace.to_compact_string());
    let state = state.map(|state| (TraceContext::TRACESTATE, state));
    for (name, value) in std::iter::once(parent).chain(state) {
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() >= MAX_HEADERS || bytes + name.len() + value.len() > MAX_HEADER_BYTES {
            return;
        }
        set(headers, CompactString::const_new(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_takes_no_room_that_is_not_there() {
        let trace = TraceContext::begin();
        let many = (0..MAX_HEADERS - 1).map(|at| (format!("h{at}").into(), "x".into()));
        let mut headers: Headers = many.collect();
        put_trace(&mut headers, trace, Some("a=1".into()));
        assert_eq!(headers.len(), MAX_HEADERS);
        assert_eq!(headers[MAX_HEADERS - 1].0, TraceContext::TRACEPARENT);
        let mut headers: Headers = vec![("h".into(), "x".repeat(MAX_HEADER_BYTES - 60).into())];
        put_trace(&mut headers, trace, None);
        assert_eq!(headers.len(), 1);
    }
}
