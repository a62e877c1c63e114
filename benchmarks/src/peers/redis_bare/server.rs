//! The server's side: entries are read in batches, answered and removed.

use std::collections::HashMap;
use std::process;

use anyhow::{Context, bail};
use bytes::{Buf, Bytes};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::sync::mpsc;

use super::{BLOCK, PIPELINE, REQUESTS, redis, replies_of};
use crate::lifeline::{Ready, served};

/// The group of servers.
const GROUP: &str = "servers";

/// How many entries are read at once.
const COUNT: usize = 128;

/// How many batches of entries may wait until they are answered.
const BATCHES: usize = 8;

/// A request, and the entry it came in.
#[derive(Debug, PartialEq)]
struct Request {
    entry: Bytes,
    client: u64,
    /// The call's id and the payload, which is what a reply consists of.
    reply: Bytes,
}

/// Serves until the connection fails.
pub(super) async fn serve(at: &str, ready: Ready) -> anyhow::Result<()> {
    let (mut requests, mut answers) = (redis(at).await?, redis(at).await?);
    join_group(&mut answers).await?;
    ready.announce()?;
    let (batches, queued) = mpsc::channel(BATCHES);
    tokio::select! {
        ended = read(&mut requests, batches) => ended,
        ended = answer(&mut answers, queued) => ended,
    }
}

async fn join_group(redis: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let mut join = redis::cmd("XGROUP");
    join.arg("CREATE").arg(REQUESTS).arg(GROUP).arg("0").arg("MKSTREAM");
    match join.exec_async(redis).await {
        // Another server was first.
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        joined => joined.context("cannot make the group of servers"),
    }
}

async fn read(
    redis: &mut MultiplexedConnection,
    batches: mpsc::Sender<Vec<Request>>,
) -> anyhow::Result<()> {
    let mut take = redis::cmd("XREADGROUP");
    take.arg("GROUP").arg(GROUP).arg(process::id()).arg("COUNT").arg(COUNT);
    take.arg("BLOCK").arg(1000 * BLOCK).arg("STREAMS").arg(REQUESTS).arg(">");
    loop {
        let taken: Value = take.query_async(redis).await.context("cannot read requests")?;
        let requests = requests_in(taken)?;
        if !requests.is_empty() {
            batches.send(requests).await?;
        }
    }
}

async fn answer(
    redis: &mut MultiplexedConnection,
    mut queued: mpsc::Receiver<Vec<Request>>,
) -> anyhow::Result<()> {
    while let Some(mut requests) = queued.recv().await {
        while bytes_of(&requests) < PIPELINE
            && let Ok(more) = queued.try_recv()
        {
            requests.extend(more);
        }
        served(requests.len() as u64);
        replies_to(&requests).exec_async(redis).await.context("cannot reply")?;
    }
    Ok(())
}

fn bytes_of(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.reply.len()).sum()
}

/// Replies first, for which somebody waits.
fn replies_to(requests: &[Request]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(4);
    let mut replies: HashMap<u64, Cmd> = HashMap::new();
    let (mut acknowledge, mut delete) = (redis::cmd("XACK"), redis::cmd("XDEL"));
    acknowledge.arg(REQUESTS).arg(GROUP);
    delete.arg(REQUESTS);
    for Request { entry, client, reply } in requests {
        let push = replies.entry(*client).or_insert_with(|| {
            let mut push = redis::cmd("RPUSH");
            push.arg(replies_of(*client));
            push
        });
        push.arg(&reply[..]);
        acknowledge.arg(&entry[..]);
        delete.arg(&entry[..]);
    }
    for command in replies.into_values().chain([acknowledge, delete]) {
        pipeline.add_command(command).ignore();
    }
    pipeline
}

/// What XREADGROUP has brought: nothing, or entries of the one stream.
fn requests_in(taken: Value) -> anyhow::Result<Vec<Request>> {
    type Entries = Vec<(Bytes, (Bytes, Bytes))>;
    let streams: Option<Vec<(Bytes, Entries)>> = FromRedisValue::from_redis_value(taken)?;
    let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
    entries
        .map(|(entry, (_, mut request))| {
            if request.len() < 16 {
                bail!("a request of {} bytes has no client and id", request.len());
            }
            let client = request.get_u64();
            Ok(Request { entry, client, reply: request })
        })
        .collect()
}
