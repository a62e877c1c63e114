//! What a program lets others see of its calls: metrics as Prometheus reads them, and spans as
//! OpenTelemetry collects them, with one trace over all processes that a call passes.
//!
//!     cargo run --example observability

use farcall::prelude::*;
use farcall::{Config, Incoming, Interceptor, Memory, Outgoing, Refusal};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

#[farcall::service]
trait Stock {
    /// Takes things from the shelf, and says how many are left.
    async fn take(&self, count: u32) -> Result<u32, String>;
}

#[farcall::service]
trait Shop {
    /// Sells things, which it has somebody fetch.
    async fn order(&self, ctx: &Context, count: u32) -> Result<String, String>;
}

struct Shelf;

impl Stock for Shelf {
    async fn take(&self, count: u32) -> Result<u32, String> {
        tracing::info!(count, "looked at the shelf");
        10_u32.checked_sub(count).ok_or_else(|| format!("there are 10, not {count}"))
    }
}

struct Counter;

impl Shop for Counter {
    async fn order(&self, ctx: &Context, count: u32) -> Result<String, String> {
        let stock = StockClient::new(ctx.node());
        let left = stock.take(count).await.map_err(|error| error.to_string())?;
        Ok(format!("{count} sold, {left} left"))
    }
}

/// Joins farcall's spans to traces of OpenTelemetry, whose layer gives them their ids: a call that
/// leaves says which span it leaves, and one that comes has that span for its parent.
struct OpenTelemetry(TraceContextPropagator);

impl Interceptor for OpenTelemetry {
    fn outgoing(&self, call: &mut Outgoing<'_>) -> Result<(), Refusal> {
        let context = call.span().context();
        self.0.inject_context(&context, &mut Headers(call));
        Ok(())
    }

    fn incoming(&self, call: &mut Incoming) -> Result<(), Refusal> {
        // Without such a layer there is nothing to set; the call is none the worse for it.
        let _ = call.span().set_parent(self.0.extract(&Headers(&*call)));
        Ok(())
    }
}

/// The headers of a call, as OpenTelemetry writes and reads them.
struct Headers<C>(C);

impl Injector for Headers<&mut Outgoing<'_>> {
    fn set(&mut self, name: &str, value: String) {
        self.0.set_header(name, value);
    }
}

impl Extractor for Headers<&Incoming> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.header(name)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.context().headers().map(|(name, _)| name).collect()
    }
}

/// Collects metrics until somebody asks for them, which here is this program itself.
fn collect_metrics() -> farcall::Result<PrometheusHandle> {
    let seconds = [0.000_1, 0.001, 0.01, 0.1, 1.0];
    let builder = PrometheusBuilder::new().set_buckets(&seconds).map_err(farcall::Error::other)?;
    builder.install_recorder().map_err(farcall::Error::other)
}

/// Collects spans in memory; a program that runs for long sends them to a collector.
fn collect_spans() -> farcall::Result<InMemorySpanExporter> {
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("farcall"));
    let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO).with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(farcall::Error::other)?;
    Ok(spans)
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let metrics = collect_metrics()?;
    let spans = collect_spans()?;

    let node = Node::open_with(Config::default(), Memory::new().transport()).await?;
    let node = node.with(OpenTelemetry(TraceContextPropagator::new()));
    node.serve(StockServer::new(Shelf)).await?;
    node.serve(ShopServer::new(Counter)).await?;

    let shop = ShopClient::new(&node);
    println!("{}", shop.order(3).await?);
    let Err(error) = shop.order(30).await else { return Err("30 of 10 were sold".into()) };
    println!("30 not sold: {error}");

    println!("\nmetrics:\n\n{}", metrics.render());
    let spans = spans.get_finished_spans().map_err(farcall::Error::other)?;
    println!("spans:\n");
    let first = &spans.last().ok_or("no span was collected")?.span_context.trace_id();
    for root in spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID) {
        println!("trace {}", root.span_context.trace_id());
        print(root, &spans, 1);
    }
    // Two orders, each a span at the client and at the server, and so the call to the stock.
    let in_first = spans.iter().filter(|span| span.span_context.trace_id() == *first).count();
    if (spans.len(), in_first) == (8, 4) { Ok(()) } else { Err("spans are missing".into()) }
}

/// A span, and those that it is the parent of.
fn print(span: &SpanData, all: &[SpanData], depth: usize) {
    let (id, kind, status) = (span.span_context.span_id(), &span.span_kind, &span.status);
    println!("{:indent$}{id} {} {kind:?} {status:?}", "", span.name, indent = 2 * depth);
    for attribute in span.attributes.iter().filter(|it| it.key.as_str().starts_with("rpc.")) {
        println!("{:indent$}{}: {}", "", attribute.key, attribute.value, indent = 2 * depth + 4);
    }
    let id = span.span_context.span_id();
    for child in all.iter().filter(|child| child.parent_span_id == id) {
        print(child, all, depth + 1);
    }
}
