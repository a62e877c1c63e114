//! tarpc over its own Unix transport, in two encodings.

use std::io;

use futures::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::server::{BaseChannel, Channel};
use tarpc::{ClientMessage, Response, client, context, serde_transport, server};
use tokio_serde::formats::{Bincode, Cbor};
use tokio_serde::{Deserializer, Serializer};

use super::{MOST_IN_FLIGHT, Multiplexed};
use crate::closed_loop::Client;
use crate::lifeline::Ready;

/// Payloads are byte strings: as sequences of integers they would cost tarpc what is not its fault.
#[tarpc::service]
pub(crate) trait Echo {
    /// Answers with the payload.
    async fn echo(payload: ByteBuf) -> ByteBuf;
}

type ToServer = ClientMessage<EchoRequest>;
type ToClient = Response<EchoResponse>;

/// tarpc as its examples have it.
#[derive(Debug)]
pub(crate) struct TarpcBincode;

impl Multiplexed for TarpcBincode {
    type Client = EchoClient;

    const NAME: &'static str = "tarpc-bincode";

    const ABOUT: &'static str = "\
        tarpc over its Unix transport, encoded by bincode, a spawned task per request, payloads as \
        byte strings, limits raised so that all calls in flight fit.";

    async fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        serve(socket, ready, Bincode::<ToServer, ToClient>::default).await
    }

    async fn connect(&self, socket: &str) -> anyhow::Result<EchoClient> {
        connect(socket, Bincode::<ToClient, ToServer>::default).await
    }
}

/// tarpc with an encoding that describes itself, as farcall's does.
#[derive(Debug)]
pub(crate) struct TarpcCbor;

impl Multiplexed for TarpcCbor {
    type Client = EchoClient;

    const NAME: &'static str = "tarpc-cbor";

    const ABOUT: &'static str = "The same, encoded by CBOR (`serde_cbor`).";

    async fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        serve(socket, ready, Cbor::<ToServer, ToClient>::default).await
    }

    async fn connect(&self, socket: &str) -> anyhow::Result<EchoClient> {
        connect(socket, Cbor::<ToClient, ToServer>::default).await
    }
}

impl Client for EchoClient {
    type Reply = ByteBuf;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<ByteBuf> {
        Ok(self.echo(context::current(), ByteBuf::from(payload)).await?)
    }
}

#[derive(Debug, Clone)]
struct Server;

impl Echo for Server {
    async fn echo(self, _: context::Context, payload: ByteBuf) -> ByteBuf {
        payload
    }
}

async fn serve<C>(socket: &str, ready: Ready, codec: fn() -> C) -> anyhow::Result<()>
where
    C: Serializer<ToClient, Error = io::Error>
        + Deserializer<ToServer, Error = io::Error>
        + Send
        + Unpin
        + 'static,
{
    let mut incoming = serde_transport::unix::listen(socket, codec).await?;
    incoming.config_mut().max_frame_length(u32::MAX as usize);
    ready.announce()?;
    while let Some(transport) = incoming.next().await {
        let config = server::Config { pending_response_buffer: MOST_IN_FLIGHT };
        let requests = BaseChannel::new(config, transport?).execute(Server.serve());
        tokio::spawn(requests.for_each(async |answer| {
            tokio::spawn(answer);
        }));
    }
    Ok(())
}

async fn connect<C>(socket: &str, codec: fn() -> C) -> anyhow::Result<EchoClient>
where
    C: Serializer<ToServer, Error = io::Error>
        + Deserializer<ToClient, Error = io::Error>
        + Send
        + Unpin
        + 'static,
{
    let mut connecting = serde_transport::unix::connect(socket, codec);
    connecting.config_mut().max_frame_length(u32::MAX as usize);
    let mut config = client::Config::default();
    config.max_in_flight_requests = MOST_IN_FLIGHT;
    config.pending_request_buffer = MOST_IN_FLIGHT;
    Ok(EchoClient::new(config, connecting.await?).spawn())
}
