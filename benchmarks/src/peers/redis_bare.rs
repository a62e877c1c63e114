//! The bare sequence of commands that calls over Redis consist of, and nothing else: XADD,
//! XREADGROUP, RPUSH, BLMPOP, XACK and XDEL.
//!
//! A request is an entry of one stream, with one field: the client's number in eight bytes, the call's
//! id in eight, and the payload. A reply is an element of the client's list: the id and the payload.
//! A list keeps what a client has not taken, as a stream does, and costs less than one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, Pipeline};
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use self::server::serve;
use super::{MOST_IN_FLIGHT, Multiplexed};
use crate::broker::Via;
use crate::closed_loop::Client;
use crate::lifeline::Ready;

mod server;

/// The stream of requests.
const REQUESTS: &str = "echo";

/// How much is gathered for a pipeline, unless nothing more is queued.
const PIPELINE: usize = 256 * 1024;

/// How many replies are taken at once.
const REPLIES: usize = 1024;

/// For how many seconds Redis waits for something to give, before it is asked again.
const BLOCK: usize = 1;

/// The floor for a library whose calls go through Redis, one entry each.
#[derive(Debug)]
pub(crate) struct RedisBare;

impl Multiplexed for RedisBare {
    type Client = Connection;

    const NAME: &'static str = "redis-bare";

    const ABOUT: &'static str = "\
        The least that calls over Redis must do, by the `redis` crate, over its Unix socket: a future \
        per call, a map from id to the waiting call. One entry per call (XADD) in one stream; servers \
        read up to 128 at once (XREADGROUP BLOCK); replies go to a list per client (RPUSH, BLMPOP), \
        after which entries are removed (XACK, XDEL). Whatever waits goes into one pipeline, on both \
        sides, and replies to one client into one command; what blocks has a connection of its own. \
        No encoding.";

    const VIA: Option<Via> = Some(Via::RedisUnix);

    async fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        serve(at, ready).await
    }

    async fn connect(&self, at: &str) -> anyhow::Result<Connection> {
        Connection::open(at).await
    }
}

/// The same over TCP, for those who have no other.
#[derive(Debug)]
pub(crate) struct RedisBareTcp;

impl Multiplexed for RedisBareTcp {
    type Client = Connection;

    const NAME: &'static str = "redis-bare-tcp";

    const ABOUT: &'static str =
        "The same over TCP on the loopback interface, without Nagle's algorithm.";

    const VIA: Option<Via> = Some(Via::RedisTcp);

    async fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        serve(at, ready).await
    }

    async fn connect(&self, at: &str) -> anyhow::Result<Connection> {
        Connection::open(at).await
    }
}

/// The client's side.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<Vec<u8>>,
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    client: u64,
    next: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Bytes>>>,
    failed: RefCell<Option<String>>,
}

impl Connection {
    async fn open(at: &str) -> anyhow::Result<Self> {
        let client = next_client();
        let (requests, replies) = (redis(at).await?, redis(at).await?);
        let (outgoing, queued) = mpsc::channel(MOST_IN_FLIGHT);
        let shared = Rc::new(Shared { client, ..Shared::default() });
        let theirs = Rc::clone(&shared);
        task::spawn_local(async move {
            let ended = tokio::select! {
                ended = write(requests, queued) => ended,
                ended = read(replies, &theirs) => ended,
            };
            *theirs.failed.borrow_mut() = ended.err().map(|error| format!("{error:#}"));
            theirs.waiting.borrow_mut().clear();
        });
        Ok(Connection { outgoing, shared })
    }

    fn failure(&self) -> anyhow::Error {
        let failed = self.shared.failed.borrow();
        anyhow::anyhow!("{}", failed.as_deref().unwrap_or("the connection was closed"))
    }
}

impl Client for Connection {
    type Reply = Bytes;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Bytes> {
        let id = self.shared.next.get();
        self.shared.next.set(id + 1);
        let (answer, answered) = oneshot::channel();
        self.shared.waiting.borrow_mut().insert(id, answer);
        let mut request = Vec::with_capacity(16 + payload.len());
        request.put_u64(self.shared.client);
        request.put_u64(id);
        request.put_slice(payload);
        self.outgoing.send(request).await.map_err(|_| self.failure())?;
        answered.await.map_err(|_| self.failure())
    }
}

async fn write(
    mut redis: MultiplexedConnection,
    mut queued: mpsc::Receiver<Vec<u8>>,
) -> anyhow::Result<()> {
    while let Some(request) = queued.recv().await {
        let mut pipeline = Pipeline::new();
        let mut bytes = add(&mut pipeline, &request);
        while bytes < PIPELINE
            && let Ok(request) = queued.try_recv()
        {
            bytes += add(&mut pipeline, &request);
        }
        pipeline.exec_async(&mut redis).await.context("cannot add requests")?;
    }
    Ok(())
}

fn add(pipeline: &mut Pipeline, request: &[u8]) -> usize {
    pipeline.cmd("XADD").arg(REQUESTS).arg("*").arg("r").arg(request).ignore();
    request.len()
}

async fn read(mut redis: MultiplexedConnection, shared: &Shared) -> anyhow::Result<()> {
    let mut take = redis::cmd("BLMPOP");
    take.arg(BLOCK).arg(1).arg(replies_of(shared.client)).arg("LEFT").arg("COUNT").arg(REPLIES);
    loop {
        let taken: Option<(String, Vec<Bytes>)> =
            take.query_async(&mut redis).await.context("cannot take replies")?;
        let mut waiting = shared.waiting.borrow_mut();
        for mut reply in taken.into_iter().flat_map(|(_, replies)| replies) {
            let id = reply.try_get_u64().context("a reply has no id")?;
            if let Some(answer) = waiting.remove(&id) {
                // A caller that no longer waits has no use for its answer.
                let _ = answer.send(reply);
            }
        }
    }
}

/// The key of a client's list.
fn replies_of(client: u64) -> String {
    format!("echo:{client:x}")
}

/// A number that no other client has.
fn next_client() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A connection that waits for answers as long as they take.
async fn redis(at: &str) -> anyhow::Result<MultiplexedConnection> {
    let at = at.into_connection_info()?;
    let tcp = at.tcp_settings().clone().set_nodelay(true);
    let client = redis::Client::open(at.set_tcp_settings(tcp))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}
