//! What becomes of an exchange whose reply is lost, at a real broker.

use std::time::Instant;

use farcall_core::transport::PeerId;
use farcall_core::wire::{CallFrame, CallId, NodeId};
use farcall_integration_tests::RedisServer;
use redis::aio::MultiplexedConnection;

use super::*;
use crate::config::RedisConfig;
use crate::connect::{Connector, Purpose};
use crate::deliveries::Settled;
use crate::outbox::{Outbox, Share};
use crate::scripts::{Arguments, Scripts};

/// A member of a service that is alone with it, as client and server.
struct Alone {
    _server: RedisServer,
    io: MultiplexedConnection,
    keys: Keys,
    member: Member,
}

impl Alone {
    async fn join() -> Self {
        let server = RedisServer::start();
        let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
        let keys = Keys::new("default", "s", 0);
        let connector = Connector::new(&config).unwrap();
        let mut connection = connector.connect(&keys.prefix, Purpose::Commands).await.unwrap();
        let member = Member::new(NodeId::generate(), 1);
        let mut arguments = Arguments::new(&keys, member.as_str());
        arguments.add(&connection.run_id).add(60_000).add(60_000).add("client");
        arguments.add("a").add("server").add(8).add(8).add(1);
        let io = &mut connection.io;
        Scripts::shared().join.run(io, &arguments).await.unwrap();
        Alone { _server: server, io: connection.io, keys, member }
    }

    fn exchange<'a>(&'a self, number: u64, batch: &'a Batch) -> Exchange<'a> {
        Exchange { keys: &self.keys, member: &self.member, number, batch, load: None }
    }

    async fn by_transaction(&self, number: u64, batch: &Batch) -> Reply {
        let mut io = self.io.clone();
        match transaction::run(&mut io, &self.exchange(number, batch)).await.unwrap() {
            Answer::Done(reply) => reply,
            _ => panic!("it is done"),
        }
    }

    async fn by_script(&self, number: u64, batch: &Batch) -> Reply {
        let script = &Scripts::shared().exchange;
        let command = command(script, &self.exchange(number, batch), 1 << 20, false);
        let reply = script.send(&mut self.io.clone(), &command).await.unwrap();
        match read(&reply, batch) {
            Answer::Done(reply) => reply,
            _ => panic!("it is done: {reply:?}"),
        }
    }

    async fn ask(&self, words: &[&str]) -> Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        reply::to(&mut self.io.clone(), &command).await.unwrap()
    }

    /// How many entries a queue has.
    async fn length(&self) -> Value {
        self.ask(&["XLEN", &self.keys.queue(Queue::Plain)]).await
    }
}

/// Two packs of one call, and a message to the member itself.
fn batch(alone: &Alone) -> Batch {
    let mut outbox = Outbox::new();
    let now = Instant::now();
    for id in 1..=2 {
        let call = CallFrame {
            id: CallId(id),
            low: CallId(1),
            time_left: Duration::from_secs(1),
            service: "s".into(),
            method: "m".into(),
            options: None,
            params: vec![0x80].into(),
        };
        outbox.call(Box::new(call), 1 << 20, now).unwrap();
    }
    let frame = Frame::Cancel { id: CallId(7) };
    outbox.send((PeerId(1), &alone.member), &frame, false, 1 << 20).unwrap();
    outbox.take(Some(Share { servers: 2, smallest: 256 }), vec![], now)
}

fn entries(reply: &Reply) -> Vec<EntryId> {
    let entry = |fate: &PackFate| match fate {
        PackFate::Added(id) => *id,
        other => panic!("it is in the queue: {other:?}"),
    };
    reply.packs.iter().map(entry).collect()
}

#[tokio::test]
async fn a_transaction_is_the_same_to_the_broker_as_the_script() {
    let alone = Alone::join().await;
    let batch = batch(&alone);
    let by_script = alone.by_script(1, &batch).await;
    let by_transaction = alone.by_transaction(2, &batch).await;
    assert_eq!(by_script.messages, by_transaction.messages);
    assert_eq!(by_script.under_way, [Some(2), Some(0)]);
    assert_eq!(by_transaction.under_way, [Some(4), None]);
    let unread = |reply: &Reply| reply.unread[0].unwrap();
    assert_eq!(unread(&by_transaction), 2 * unread(&by_script));
    assert!(entries(&by_transaction) > entries(&by_script));
}

#[tokio::test]
async fn a_transaction_that_is_sent_again_is_found_and_not_done_again() {
    let alone = Alone::join().await;
    let batch = batch(&alone);
    let first = alone.by_transaction(1, &batch).await;
    let again = alone.by_script(1, &batch).await;
    assert_eq!((&again.packs, &again.messages), (&first.packs, &first.messages));
    assert_eq!(alone.length().await, Value::Int(2));
}

#[tokio::test]
async fn an_exchange_by_script_that_is_sent_again_has_the_reply_of_then() {
    let alone = Alone::join().await;
    let batch = batch(&alone);
    assert_eq!(alone.by_script(1, &batch).await, alone.by_script(1, &batch).await);
    assert_eq!(alone.length().await, Value::Int(2));
}

#[tokio::test]
async fn a_pack_that_was_settled_since_is_gone() {
    let alone = Alone::join().await;
    let batch = batch(&alone);
    let entries = entries(&alone.by_transaction(1, &batch).await);
    alone.ask(&["XDEL", &alone.keys.queue(Queue::Plain), &entries[0].to_string()]).await;
    let again = alone.by_script(1, &batch).await;
    assert_eq!(again.packs, [PackFate::Gone, PackFate::Added(entries[1])]);
}

#[tokio::test]
async fn what_is_settled_is_deleted_and_not_counted_any_longer() {
    let alone = Alone::join().await;
    let entries = entries(&alone.by_transaction(1, &batch(&alone)).await);
    let mut outbox = Outbox::new();
    for id in entries {
        outbox.settle(Settled { id, queue: Queue::Plain, calls: 1 });
    }
    let settled = outbox.take(None, vec![], Instant::now());
    let reply = alone.by_transaction(2, &settled).await;
    assert_eq!((reply.under_way, reply.deleted), ([Some(0), None], [true, false]));
    assert_eq!(alone.length().await, Value::Int(0));
}

#[tokio::test]
async fn nothing_is_made_by_who_is_no_member() {
    let alone = Alone::join().await;
    alone.ask(&["FLUSHALL"]).await;
    let batch = batch(&alone);
    let done = transaction::run(&mut alone.io.clone(), &alone.exchange(1, &batch)).await;
    assert!(matches!(done, Ok(Answer::Unknown)));
    assert_eq!(alone.ask(&["DBSIZE"]).await, Value::Int(0));
}
