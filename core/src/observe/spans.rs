//! The spans of a call: one at the client, one at the server.
//!
//! Fields are named as in OpenTelemetry's conventions for remote procedure calls (of which
//! `rpc.service` is no more a part: the method's full name is `service/method`), and those that
//! `tracing-opentelemetry` gives a meaning begin with `otel.`. A span that nobody wants costs a look
//! at a level: its fields are not made.

use compact_str::CompactString;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;

use super::Ended;
use crate::peer::PeerInfo;
use crate::trace_context::TraceContext;

/// The span of a call that is about to be made, a child of the span that it is made in.
pub(crate) fn client_span(service: &str, method: &str) -> Span {
    if nobody_listens() {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: "farcall::client",
        "call",
        otel.name = %format_args!("{service}/{method}"),
        otel.kind = "client",
        rpc.system.name = "farcall",
        rpc.method = %format_args!("{service}/{method}"),
        rpc.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
        trace_id = Empty,
        span_id = Empty,
    );
    if is_wanted(&span) { span } else { Span::none() }
}

/// The span of a handler. It has no parent here: what it descends from is in another process.
pub(crate) fn server_span(
    service: &str,
    method: &str,
    caller: &PeerInfo,
    headers: &[(CompactString, CompactString)],
) -> Span {
    if nobody_listens() {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: "farcall::server",
        parent: None,
        "call",
        otel.name = %format_args!("{service}/{method}"),
        otel.kind = "server",
        rpc.system.name = "farcall",
        rpc.method = %format_args!("{service}/{method}"),
        rpc.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
        farcall.caller = &*caller.identity,
        trace_id = Empty,
        parent_id = Empty,
    );
    if !is_wanted(&span) {
        return Span::none();
    }
    let header = headers.iter().find(|(name, _)| name == TraceContext::TRACEPARENT);
    if let Some(trace) = header.and_then(|(_, value)| TraceContext::parse(value)) {
        span.record("trace_id", display(trace.trace_id()));
        span.record("parent_id", display(trace.parent_id()));
    }
    span
}

/// Whether certainly nobody wants spans of this level: one load. The macro would ask the same, but
/// with the feature `log`, which some crate in a program may turn on, it makes the fields first.
#[inline]
fn nobody_listens() -> bool {
    LevelFilter::current() < LevelFilter::INFO
}

/// Whether somebody listens. Where another thread has a subscriber and this one has none, spans look
/// as if somebody did.
fn is_wanted(span: &Span) -> bool {
    !span.is_disabled() && !tracing::dispatcher::get_default(|it| it.is::<NoSubscriber>())
}

/// Says how the call ended.
pub(crate) fn record_end(span: &Span, ended: Ended, message: &str, is_error: bool) {
    if span.is_disabled() {
        return;
    }
    span.record("rpc.response.status_code", ended.as_str());
    if is_error {
        span.record("error.type", ended.as_str());
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", message);
    }
}
