//! What spans and metrics say of calls, and that a trace goes with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farcall_core::config::ServerConfig;
use farcall_core::{
    Config, Context, Event, Functions, Incoming, Interceptor, Memory, Node, Reason, Refusal,
    TraceContext, block_on,
};
use futures::join;
use metrics::set_default_local_recorder;
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a test saw of one span.
#[derive(Clone, Debug, Default)]
struct Seen {
    target: String,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    entered: bool,
    entered_at_once: bool,
    closed: bool,
}

impl Seen {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map(String::as_str).unwrap_or_default()
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Keeps every span of farcall's.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, Seen>>>);

impl Spans {
    fn change(&self, id: &Id, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            change(seen);
        }
    }

    /// The spans of this target and method, in the order in which they were made.
    fn of(&self, target: &str, method: &str) -> Vec<(u64, Seen)> {
        let spans = self.0.lock().unwrap().clone().into_iter();
        let named = |seen: &Seen| seen.target == target && seen.get("rpc.method") == method;
        spans.filter(|(_, seen)| named(seen)).collect()
    }

    fn one(&self, target: &str, method: &str) -> (u64, Seen) {
        let mut spans = self.of(target, method);
        assert_eq!(spans.len(), 1, "{target} {method}");
        spans.remove(0)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        let target = attributes.metadata().target().to_owned();
        if target.starts_with("farcall::") {
            let parent = ctx.span(id).and_then(|span| span.parent()).map(|it| it.id().into_u64());
            let mut seen = Seen { target, parent, ..Seen::default() };
            attributes.record(&mut seen);
            self.0.lock().unwrap().insert(id.into_u64(), seen);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, _: LayerContext<'_, S>) {
        self.change(id, |seen| record.record(seen));
    }

    fn on_enter(&self, id: &Id, _: LayerContext<'_, S>) {
        self.change(id, |seen| {
            assert!(!seen.entered_at_once, "entered twice: {seen:?}");
            (seen.entered, seen.entered_at_once) = (true, true);
        });
    }

    fn on_exit(&self, id: &Id, _: LayerContext<'_, S>) {
        self.change(id, |seen| seen.entered_at_once = false);
    }

    fn on_close(&self, id: Id, _: LayerContext<'_, S>) {
        self.change(&id, |seen| seen.closed = true);
    }
}

/// One test at a time: what spans are wanted is known to a process as a whole, and it is noticed late
/// when that changes while another thread makes its first span.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spans that are kept while the guards live, on this thread.
fn listen() -> (Spans, (tracing::subscriber::DefaultGuard, MutexGuard<'static, ()>)) {
    let alone = alone();
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    (spans, (tracing::subscriber::set_default(subscriber), alone))
}

fn service() -> Functions {
    Functions::new("calc")
        .add("add", |a: i64, b: i64| a + b)
        .add("headers", |ctx: Context| headers(&ctx))
        .add("nested", |ctx: Context| async move {
            ctx.node().client("calc").call::<Vec<String>>("headers", ()).await.unwrap()
        })
        .add("spawned", |ctx: Context| async move {
            let first = is_serving(&Span::current());
            let spawned = ctx.scope(async { is_serving(&Span::current()) });
            let spawned = tokio::task::spawn_local(spawned).await.unwrap();
            // By now it was polled more than once.
            (first, spawned, is_serving(&Span::current()))
        })
        .add("hang", || async { pending::<()>().await })
        .add("panic", || -> i64 { panic!("a fault") })
        .try_add("fail", || Err::<i64, _>("its own error"))
}

fn is_serving(span: &Span) -> bool {
    span.metadata().is_some_and(|span| span.target() == "farcall::server")
}

fn headers(ctx: &Context) -> Vec<String> {
    ctx.headers().map(|(name, value)| format!("{name}: {value}")).collect()
}

async fn node(memory: &Memory, concurrency: usize) -> Node {
    let server = ServerConfig { concurrency, backlog: 1, ..ServerConfig::default() };
    Node::open_with(Config { server, ..Config::default() }, memory.transport()).await.unwrap()
}

/// A server of the service, and a client of it.
async fn pair() -> (Node, Node) {
    let memory = Memory::new();
    let (server, client) = (node(&memory, 1).await, node(&memory, 1).await);
    server.serve(service()).await.unwrap();
    (server, client)
}

#[test]
fn a_call_has_a_span_on_each_side_and_both_know_the_trace() {
    let (spans, _guard) = listen();
    block_on(async {
        let (_server, client) = pair().await;
        let sum: i64 = client.client("calc").call("add", (1, 2)).await.unwrap();
        assert_eq!(sum, 3);
        let (_, client_side) = spans.one("farcall::client", "calc/add");
        let (_, server_side) = spans.one("farcall::server", "calc/add");
        for (side, kind) in [(&client_side, "client"), (&server_side, "server")] {
            assert_eq!(side.get("otel.kind"), kind);
            assert_eq!(side.get("otel.name"), "calc/add");
            assert_eq!(side.get("rpc.system.name"), "farcall");
            assert_eq!(side.get("rpc.response.status_code"), "ok");
            assert_eq!(side.get("otel.status_code"), "");
            assert!(side.closed, "{side:?}");
        }
        assert!(server_side.entered);
        assert_eq!(server_side.get("farcall.caller"), client.identity());
        assert_eq!(client_side.get("trace_id").len(), 32);
        assert_eq!(client_side.get("trace_id"), server_side.get("trace_id"));
        assert_eq!(client_side.get("span_id"), server_side.get("parent_id"));
    });
}

/// Calls `nested` in the trace of these tests, and looks at what became of it.
async fn nested_in_trace(server: Node, client: Node, spans: &Spans) {
    server.serve(service()).await.unwrap();
    let calc = client.client("calc");
    let call = calc.call::<Vec<String>>("nested", ()).header(TraceContext::TRACEPARENT, TRACE);
    let headers = call.header(TraceContext::TRACESTATE, "a=1").await.unwrap();
    let (serving, _) = spans.one("farcall::server", "calc/nested");
    let (_, calling) = spans.one("farcall::client", "calc/headers");
    assert_eq!(calling.parent, Some(serving));
    assert_eq!(calling.get("trace_id"), &TRACE[3..35]);
    let expected = format!("00-{}-{}-01", &TRACE[3..35], calling.get("span_id"));
    assert_ne!(expected, TRACE);
    assert_eq!(headers, [format!("traceparent: {expected}"), "tracestate: a=1".to_owned()]);
    let in_span: (bool, bool, bool) = calc.call("spawned", ()).await.unwrap();
    assert_eq!(in_span, (true, true, true));
}

#[test]
fn what_a_handler_calls_is_a_child_of_its_span_in_the_same_trace() {
    let (spans, _guard) = listen();
    block_on(async {
        let memory = Memory::new();
        nested_in_trace(node(&memory, 4).await, node(&memory, 4).await, &spans).await;
    });
}

#[test]
fn interceptors_have_their_say_before_the_span_is_entered() {
    struct Looks;
    impl Interceptor for Looks {
        fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
            assert!(!is_serving(&Span::current()));
            assert!(is_serving(call.span()));
            let once_more = async {
                tokio::task::yield_now().await;
                assert!(!is_serving(&Span::current()));
                Ok(Vec::new())
            };
            if call.context().method() != "headers" {
                call.check(once_more);
            }
            Ok(())
        }
    }
    let (spans, _guard) = listen();
    block_on(async {
        let memory = Memory::new();
        let server = node(&memory, 4).await.with(Looks);
        nested_in_trace(server, node(&memory, 4).await, &spans).await;
    });
}

#[test]
fn where_nobody_listens_no_trace_begins_and_one_that_came_is_passed_on() {
    let _alone = alone();
    block_on(async {
        let memory = Memory::new();
        let (server, client) = (node(&memory, 4).await, node(&memory, 4).await);
        server.serve(service()).await.unwrap();
        let calc = client.client("calc");
        let nothing: [String; 0] = [];
        assert_eq!(calc.call::<Vec<String>>("headers", ()).await.unwrap(), nothing);
        assert_eq!(calc.call::<Vec<String>>("nested", ()).await.unwrap(), nothing);
        let nested = |parent: &'static str, state: &'static str| {
            let call = calc.call::<Vec<String>>("nested", ());
            call.header(TraceContext::TRACEPARENT, parent).header(TraceContext::TRACESTATE, state)
        };
        let parent = format!("traceparent: {TRACE}");
        let passed_on = [parent.clone(), "tracestate: a=1,b=2".to_owned()];
        assert_eq!(nested(TRACE, "a=1,b=2").await.unwrap(), passed_on);
        assert_eq!(nested(TRACE, "no list").await.unwrap(), [parent]);
        assert_eq!(nested("garbage", "a=1").await.unwrap(), nothing);
    });
}

#[test]
fn the_ends_of_calls_are_said_and_only_faults_are_errors() {
    let (spans, _guard) = listen();
    block_on(async {
        let (server, client) = pair().await;
        let calc = client.client("calc");
        calc.call::<i64>("panic", ()).await.unwrap_err();
        calc.call::<i64>("fail", ()).await.unwrap_err();
        let late = calc.call::<()>("hang", ()).timeout(Duration::from_millis(20)).await;
        assert_eq!(late.unwrap_err().reason(), Reason::DeadlineExceeded);
        let ends = |target, method| {
            let (_, seen) = spans.one(target, method);
            let field = |name: &str| seen.get(name).to_owned();
            [field("rpc.response.status_code"), field("otel.status_code"), field("error.type")]
        };
        assert_eq!(ends("farcall::client", "calc/panic"), ["panicked", "ERROR", "panicked"]);
        assert_eq!(ends("farcall::server", "calc/panic"), ["panicked", "ERROR", "panicked"]);
        assert_eq!(ends("farcall::client", "calc/fail"), ["returned", "ERROR", "returned"]);
        assert_eq!(ends("farcall::server", "calc/fail"), ["returned", "", ""]);
        let late = "deadline_exceeded";
        assert_eq!(ends("farcall::client", "calc/hang"), [late, "ERROR", late]);
        server.close().await;
    });
}

/// A meter's name and labels, and what it shows.
fn shown(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let entries = snapshotter.snapshot().into_vec();
    let entry = |(key, _, _, value): (metrics_util::CompositeKey, _, _, DebugValue)| {
        let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{} {}", key.key().name(), labels.join(" ")), value)
    };
    entries.into_iter().map(entry).collect()
}

/// The rows of the table in `docs/OBSERVABILITY.md`: name, kind, and the names of the labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let table = include_str!("../../docs/OBSERVABILITY.md");
    let rows = table.lines().filter(|line| line.starts_with("| `farcall_"));
    let row = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[4].split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    };
    rows.map(row).collect()
}

#[test]
fn calls_are_counted_by_method_and_outcome() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    block_on(async {
        // A recorder is found by nodes that were there before it.
        let (server, client) = pair().await;
        let _guard = set_default_local_recorder(&recorder);
        let calc = client.client("calc");
        for _ in 0..3 {
            calc.call::<i64>("add", (1, 2)).await.unwrap();
        }
        calc.call::<i64>("fail", ()).await.unwrap_err();
        calc.call::<i64>("garbage\n", ()).await.unwrap_err();
        // One runs, one waits, one is too many; then two have nobody any more who wants them.
        let mut calls: Vec<_> = (0..3).map(|_| calc.call::<()>("hang", ())).collect();
        let third = calls.pop().unwrap();
        let waiting = calls.into_iter().map(|call| tokio::task::spawn_local(call));
        let waiting: Vec<_> = waiting.collect();
        tokio::task::yield_now().await;
        assert_eq!(third.await.unwrap_err().reason(), Reason::Busy);
        let before = shown(&snapshotter);
        assert_eq!(before["farcall_calls_in_flight server calc"], 1.0);
        assert_eq!(before["farcall_calls_waiting server calc"], 1.0);
        assert_eq!(before["farcall_calls_in_flight client calc"], 2.0);
        for call in &waiting {
            call.abort();
        }
        for call in waiting {
            assert!(call.await.unwrap_err().is_cancelled());
        }
        let peer = client.servers("calc").await.unwrap()[0].peer;
        while client.peer(peer).status().await.unwrap().services[0].running > 0 {}
        server.close().await;

        let expected = [
            ("farcall_calls_total client calc add ok", 3.0),
            ("farcall_calls_total server calc add ok", 3.0),
            ("farcall_calls_total client calc fail returned", 1.0),
            ("farcall_calls_total server calc fail returned", 1.0),
            ("farcall_calls_total client calc _OTHER unknown_method", 1.0),
            ("farcall_calls_total server calc _OTHER unknown_method", 1.0),
            ("farcall_calls_total client calc hang busy", 1.0),
            ("farcall_calls_total server calc hang busy", 1.0),
            ("farcall_calls_total client calc hang cancelled", 2.0),
            ("farcall_calls_total server calc hang cancelled", 2.0),
            ("farcall_calls_in_flight client calc", 0.0),
            ("farcall_calls_in_flight server calc", 0.0),
            ("farcall_calls_waiting server calc", 0.0),
        ];
        let mut shown = shown(&snapshotter);
        // A snapshot takes out what it shows.
        for (name, value) in before {
            *shown.entry(name).or_default() += value;
        }
        for (name, value) in expected {
            assert_eq!(shown.get(name), Some(&value), "{name} in {shown:#?}");
        }
        assert_eq!(shown["farcall_call_duration_seconds server calc add"], 3.0);
        assert_eq!(shown["farcall_call_duration_seconds client calc add"], 3.0);
        // The one that was refused is not timed.
        assert_eq!(shown["farcall_call_duration_seconds server calc hang"], 2.0);
    });
}

#[test]
fn a_server_that_comes_back_is_counted_as_a_reconnection() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = set_default_local_recorder(&recorder);
    block_on(async {
        let memory = Memory::new();
        let client = node(&memory, 1).await;
        let mut events = client.events();
        let add = || client.client("calc").call::<i64>("add", (1, 2));
        for starts in 0..2 {
            let id = Some("a".parse().unwrap());
            let config = Config {
                server: ServerConfig { id, ..ServerConfig::default() },
                ..Config::default()
            };
            let server = Node::open_with(config, memory.transport()).await.unwrap();
            server.serve(service()).await.unwrap();
            assert_eq!(add().await.unwrap(), 3);
            let shown = shown(&snapshotter);
            let back = shown.get("farcall_reconnects_total calc").copied();
            assert_eq!(back, (starts == 1).then_some(1.0));
            server.close().await;
            events.find(|event| matches!(event, Event::ServerDown { .. }).then_some(())).await;
        }
    });
}

#[test]
fn what_is_emitted_is_documented_with_its_labels() {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = set_default_local_recorder(&recorder);
    block_on(async {
        let (server, client) = pair().await;
        let calc = client.client("calc");
        let (added, failed) = join!(calc.call::<i64>("add", (1, 2)), calc.call::<i64>("none", ()));
        assert!(added.is_ok() && failed.is_err());
        server.close().await;
    });
    let documented = documented();
    let emitted = snapshotter.snapshot().into_vec();
    assert!(emitted.len() > 5);
    for (key, ..) in emitted {
        let (kind, labels) = &documented[key.key().name()];
        let expected = match key.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert_eq!(kind, expected);
        let names: BTreeSet<String> = key.key().labels().map(|it| it.key().to_owned()).collect();
        assert_eq!(&names, labels, "{key:?}");
    }
}
