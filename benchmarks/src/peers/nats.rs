//! NATS by its own client: request and reply, with the servers in a queue group.

use anyhow::{Context, bail};
use async_nats::ConnectOptions;
use bytes::Bytes;
use futures::StreamExt;

use super::{MOST_IN_FLIGHT, Multiplexed};
use crate::broker::Via;
use crate::closed_loop::Client;
use crate::lifeline::{Ready, served};

/// Where servers listen.
const SUBJECT: &str = "echo";

/// A broker made for requests and replies, which keeps none of them.
#[derive(Debug)]
pub(crate) struct Nats;

impl Multiplexed for Nats {
    type Client = Connection;

    const NAME: &'static str = "nats";

    const ABOUT: &'static str = "\
        NATS, request and reply, by `async-nats`, servers in a queue group; over TCP on the loopback \
        interface, since `nats-server` listens at no Unix socket. Defaults, with limits raised so \
        that all calls in flight fit.";

    const VIA: Option<Via> = Some(Via::NatsTcp);

    async fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        let client = connect(at).await?;
        let mut requests = client.queue_subscribe(SUBJECT, "servers".to_owned()).await?;
        // The broker has taken the subscription when it has answered what was sent after it.
        client.flush().await?;
        ready.announce()?;
        while let Some(request) = requests.next().await {
            let reply = request.reply.context("a request wants no reply")?;
            client.publish(reply, request.payload).await?;
            served(1);
        }
        bail!("the broker closed the connection")
    }

    async fn connect(&self, at: &str) -> anyhow::Result<Connection> {
        Ok(Connection(connect(at).await?))
    }
}

async fn connect(at: &str) -> anyhow::Result<async_nats::Client> {
    let options = ConnectOptions::new()
        .client_capacity(MOST_IN_FLIGHT)
        .subscription_capacity(MOST_IN_FLIGHT.max(64 * 1024));
    options.connect(at).await.with_context(|| format!("cannot connect to {at}"))
}

/// The client's side.
#[derive(Debug, Clone)]
pub(crate) struct Connection(async_nats::Client);

impl Client for Connection {
    type Reply = Bytes;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Bytes> {
        let reply = self.0.request(SUBJECT, Bytes::copy_from_slice(payload)).await?;
        Ok(reply.payload)
    }
}
