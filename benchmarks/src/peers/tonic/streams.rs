//! gRPC's streams, with what its code generator would write written by hand.

use std::convert::Infallible;
use std::pin::Pin;

use anyhow::Context as _;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::server::{
    ClientStreamingService, NamedService, ServerStreamingService, StreamingService,
};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Tonic, grpc, listen};
use crate::closed_loop::runtime;
use crate::lifeline::Ready;
use crate::load::{self, Load};
use crate::peers::Streaming;
use crate::shape::Work;
use crate::streaming::{Streams, drive};

const SEND: &str = "/benchmark.Items/Send";
const COUNT: &str = "/benchmark.Items/Count";
const ECHO: &str = "/benchmark.Items/Echo";

/// An item; its bytes are shared with the program on either side.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    /// What it carries.
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

/// A size, or a number of items.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Number {
    #[prost(uint64, tag = "1")]
    value: u64,
}

impl Streaming for Tonic {
    fn about(&self) -> &'static str {
        "Streaming methods, items as messages of one field of `bytes::Bytes`, flow-control windows as \
         they are by default."
    }

    fn serve(&self, _: Work, socket: &str, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(listen(socket, ready, ItemsServer))
    }

    fn load(&self, socket: &str, load: &Load) -> anyhow::Result<()> {
        runtime()?.block_on(async { drive(ItemsClient(grpc(socket).await?), load).await })
    }
}

/// A generated client's inside.
#[derive(Debug, Clone)]
struct ItemsClient(Grpc<Channel>);

impl ItemsClient {
    /// The client, once it takes a call.
    async fn ready(&self) -> anyhow::Result<Grpc<Channel>> {
        let mut grpc = self.0.clone();
        grpc.ready().await?;
        Ok(grpc)
    }
}

impl Streams for ItemsClient {
    type Item = Bytes;

    async fn download(
        &self,
        size: usize,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>>> {
        let request = Request::new(Number { value: size as u64 });
        let path = PathAndQuery::from_static(SEND);
        let response: Response<tonic::Streaming<Item>> =
            self.ready().await?.server_streaming(request, path, ProstCodec::default()).await?;
        Ok(response.into_inner().map(|item| Ok(item?.bytes)))
    }

    async fn upload(
        &self,
        items: impl Stream<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<u64> {
        let request = Request::new(items.map(|bytes| Item { bytes }));
        let path = PathAndQuery::from_static(COUNT);
        let response: Response<Number> =
            self.ready().await?.client_streaming(request, path, ProstCodec::default()).await?;
        Ok(response.into_inner().value)
    }

    async fn both_ways(
        &self,
        items: impl Stream<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>>> {
        let request = Request::new(items.map(|bytes| Item { bytes }));
        let path = PathAndQuery::from_static(ECHO);
        let response: Response<tonic::Streaming<Item>> =
            self.ready().await?.streaming(request, path, ProstCodec::default()).await?;
        Ok(response.into_inner().map(|item| Ok(item?.bytes)))
    }
}

#[derive(Debug, Clone)]
struct ItemsServer;

impl NamedService for ItemsServer {
    const NAME: &'static str = "benchmark.Items";
}

impl Service<http::Request<Body>> for ItemsServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                SEND => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.server_streaming(ItemsServer, request).await
                }
                COUNT => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.client_streaming(ItemsServer, request).await
                }
                ECHO => {
                    let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                    grpc.streaming(ItemsServer, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

type Items = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;

impl ServerStreamingService<Number> for ItemsServer {
    type Response = Item;
    type ResponseStream = Items;
    type Future = BoxFuture<Response<Items>, Status>;

    fn call(&mut self, request: Request<Number>) -> Self::Future {
        Box::pin(async move {
            let size = usize::try_from(request.into_inner().value)
                .context("the size is beyond this machine's")
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            let item = Item { bytes: load::payload(size).into() };
            let items: Items = Box::pin(stream::repeat_with(move || Ok(item.clone())));
            Ok(Response::new(items))
        })
    }
}

impl ClientStreamingService<Item> for ItemsServer {
    type Response = Number;
    type Future = BoxFuture<Response<Number>, Status>;

    fn call(&mut self, request: Request<tonic::Streaming<Item>>) -> Self::Future {
        Box::pin(async move {
            let mut items = request.into_inner();
            let mut value = 0;
            while items.message().await?.is_some() {
                value += 1;
            }
            Ok(Response::new(Number { value }))
        })
    }
}

impl StreamingService<Item> for ItemsServer {
    type Response = Item;
    type ResponseStream = Items;
    type Future = BoxFuture<Response<Items>, Status>;

    fn call(&mut self, request: Request<tonic::Streaming<Item>>) -> Self::Future {
        let items: Items = Box::pin(request.into_inner());
        Box::pin(async move { Ok(Response::new(items)) })
    }
}
