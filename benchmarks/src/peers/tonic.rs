//! tonic over a Unix socket, with what its code generator would write written by hand: no `protoc`
//! is needed.

use std::convert::Infallible;

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{MOST_IN_FLIGHT, Multiplexed, Streaming};
use crate::closed_loop::Client;
use crate::lifeline::Ready;

mod streams;

/// Where the only method is found.
const METHOD: PathAndQuery = PathAndQuery::from_static("/benchmark.Echo/Echo");

/// The request and the response.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    /// What is echoed.
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

/// gRPC as most Rust programs use it.
#[derive(Debug)]
pub(crate) struct Tonic;

impl Multiplexed for Tonic {
    type Client = EchoClient;

    const NAME: &'static str = "tonic";

    const ABOUT: &'static str = "\
        gRPC by tonic over a Unix socket, encoded by prost, flow-control windows as they are by \
        default, limits of streams and message sizes raised so that all calls in flight fit.";

    fn streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }

    async fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        listen(socket, ready, EchoServer).await
    }

    async fn connect(&self, socket: &str) -> anyhow::Result<EchoClient> {
        Ok(EchoClient(grpc(socket).await?))
    }
}

/// Serves one service for ever.
async fn listen<S>(socket: &str, ready: Ready, service: S) -> anyhow::Result<()>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let listener = UnixListener::bind(socket)?;
    ready.announce()?;
    Server::builder()
        .max_concurrent_streams(MOST_IN_FLIGHT as u32)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}

/// What generated clients are made of, for a connection.
async fn grpc(socket: &str) -> anyhow::Result<Grpc<Channel>> {
    let channel = Endpoint::from_shared(format!("unix:{socket}"))?
        .buffer_size(MOST_IN_FLIGHT)
        .connect()
        .await?;
    let grpc = Grpc::new(channel);
    Ok(grpc.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX))
}

/// A generated client's inside.
#[derive(Debug, Clone)]
pub(crate) struct EchoClient(Grpc<Channel>);

impl Client for EchoClient {
    type Reply = Vec<u8>;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        let request = Request::new(Payload { bytes: payload.to_vec() });
        self.0.ready().await?;
        let response: Response<Payload> =
            self.0.unary(request, METHOD, ProstCodec::default()).await?;
        Ok(response.into_inner().bytes)
    }
}

#[derive(Debug, Clone)]
struct EchoServer;

impl NamedService for EchoServer {
    const NAME: &'static str = "benchmark.Echo";
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default())
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
            Ok(grpc.unary(EchoMethod, request).await)
        })
    }
}

struct EchoMethod;

impl UnaryService<Payload> for EchoMethod {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}
