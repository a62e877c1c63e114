//! Sends what waits, one exchange at a time: whatever gathers meanwhile goes with the next.

use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use farcall_core::wire::Frame;
use redis::Value;

use crate::branch::Branch;
use crate::entry_id::EntryId;
use crate::fault::{Fault, classify, words};
use crate::keys::{Member, Queue};
use crate::lease::keep;
use crate::message;
use crate::outbox::Batch;
use crate::reply;
use crate::scripts::Arguments;

/// Between two tries of what the broker refuses.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) clock: u64,
    /// Calls that other servers could run at once.
    pub(crate) room_elsewhere: u64,
    /// Below which entry each queue was trimmed, if it was.
    pub(crate) trimmed: [Option<EntryId>; 2],
    pub(crate) take_backs: Vec<TakeBackFate>,
    pub(crate) messages: Vec<Fate>,
    pub(crate) packs: Vec<PackFate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeBackFate {
    /// Nobody had taken it, and nobody will.
    Removed,
    /// A server has it, or had.
    Taken,
    /// Nobody has taken it, and others of its calls are still wanted.
    Waits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    /// There is no such member.
    Gone,
    /// Its inbox is full.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackFate {
    Added(EntryId),
    NoServer,
    Busy { waiting: u64, limit: u64, age: Duration },
}

/// What a script says.
enum Answer {
    Done(Reply),
    /// This node is no member.
    Unknown,
    /// It said something else.
    Unreadable,
}

/// Exchanges whatever there is, for as long as the link is there.
pub(crate) async fn run(branch: Rc<Branch>) {
    loop {
        branch.work.notified().await;
        loop {
            // Not before there is a connection: until then, calls that are given up are just not sent.
            let live = branch.connected().await;
            let Some(batch) = branch.take() else { break };
            exchange(&branch, batch, live.member.clone()).await;
        }
    }
}

/// Waits until nothing is left to exchange.
pub(crate) async fn drained(branch: &Rc<Branch>) {
    loop {
        let is_empty = {
            let state = branch.state.borrow();
            state.outbox.is_empty()
                && state.outbox.bytes() == 0
                && !state.deliveries.has_returning()
        };
        let is_idle = !branch.exchanging.get();
        if is_empty && is_idle {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn exchange(branch: &Rc<Branch>, mut batch: Batch, member: Member) {
    branch.exchanging.set(true);
    let mut strict = !batch.packs.is_empty();
    loop {
        let live = branch.connected().await;
        if live.member != member {
            branch.lost(&batch);
            break;
        }
        let scripts = branch.hub.scripts;
        let script = if strict { &scripts.exchange_with_memory } else { &scripts.exchange };
        let mut io = live.io.clone();
        let arguments = arguments(branch, &batch, &member);
        match script.run(&mut io, &arguments).await {
            Ok(reply) => {
                match read(reply, &batch) {
                    Answer::Done(reply) => {
                        branch.hub.clock.set(reply.clock);
                        branch.exchanged(batch, reply);
                    }
                    Answer::Unknown => {
                        // Somebody else may have found out first.
                        if branch.state.borrow().member == member {
                            branch.begin_anew("its lease ended, or the broker forgot it");
                        }
                        branch.lost(&batch);
                    }
                    Answer::Unreadable => {
                        tracing::error!(service = %branch.service, "a reply of the broker is not understood");
                        branch.lost(&batch);
                    }
                }
                break;
            }
            Err(error) => match classify(&error) {
                Fault::Reconnect | Fault::Reload => branch.broken(&live),
                Fault::Unwritable(trouble) => {
                    // It was refused whole; calls whose time is over meanwhile end by that.
                    branch.tell_trouble(&trouble);
                    tokio::time::sleep(PAUSE).await;
                }
                Fault::OutOfMemory if strict => {
                    // What frees memory goes, calls do not.
                    strict = false;
                    for pack in batch.packs.iter() {
                        let message = "the broker has no memory left (maxmemory)";
                        branch.refuse(&pack.calls, message, Duration::from_secs(1));
                    }
                    branch.drop_packs(&mut batch);
                }
                fault => {
                    tracing::error!(
                        service = %branch.service, error = words(&error), ?fault,
                        "the broker refuses what is sent"
                    );
                    branch.tell_trouble(&words(&error));
                    branch.lost(&batch);
                    // Not again at once: nothing here makes it better.
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
            },
        }
    }
    branch.exchanging.set(false);
}

fn arguments(branch: &Branch, batch: &Batch, member: &Member) -> Arguments {
    let state = branch.state.borrow();
    let mut arguments = Arguments::new(&branch.keys, member.as_str());
    let add = &mut arguments;
    add.add(state.exchange).add(keep(branch.hub.lease).as_millis());
    match &state.serving {
        Some(_) => {
            let load: usize = Queue::BOTH.iter().map(|it| state.deliveries.unsettled(*it)).sum();
            add.add(load)
        }
        None => add.add(""),
    };
    match batch.read {
        Some((id, bytes)) => add.add(id).add(bytes),
        None => add.add("").add(0),
    };
    add.add(branch.hub.limits.max_peer_bytes);
    for queue in Queue::BOTH {
        let settled = &batch.settled[queue.index()];
        add.add(settled.iter().map(|it| it.calls).sum::<usize>()).add(settled.len());
        for it in settled {
            add.add(it.id);
        }
        let deletes = &batch.deletes[queue.index()];
        add.add(deletes.len());
        for id in deletes {
            add.add(id);
        }
        add.add(u8::from(batch.trims[queue.index()]));
    }
    add.add(batch.put_backs.len());
    for it in &batch.put_backs {
        let places: Vec<String> = it.places.iter().map(usize::to_string).collect();
        add.add(it.queue.number()).add(it.id).add(&it.client).add(it.since_ms);
        add.add(it.places.len()).add(places.join(",")).bytes(it.pack.clone());
    }
    add.add(batch.take_backs.len());
    for it in &batch.take_backs {
        add.add(it.queue.number()).add(it.id).add(u8::from(it.whole));
        let mut cancel = BytesMut::new();
        if let Some(id) = it.cancel {
            message::head(member, 0, &mut cancel);
            message::add(&Frame::Cancel { id }, &mut cancel);
        }
        add.bytes(cancel.freeze());
    }
    add.add(batch.messages.len());
    for it in &batch.messages {
        let mut bytes = BytesMut::with_capacity(it.frames.len() + 64);
        message::head(member, it.number, &mut bytes);
        bytes.put_slice(&it.frames);
        add.add(&it.member).bytes(bytes.freeze());
    }
    add.add(batch.packs.len());
    for it in &batch.packs {
        add.add(it.queue.number()).add(it.calls.len()).bytes(it.bytes.clone());
    }
    arguments
}

fn read(reply: Value, batch: &Batch) -> Answer {
    let Some(items) = reply::array(&reply) else { return Answer::Unreadable };
    match items.first().and_then(reply::text) {
        Some("ok") => {}
        Some("unknown") => return Answer::Unknown,
        _ => return Answer::Unreadable,
    }
    match read_done(items) {
        Some(reply)
            if reply.messages.len() == batch.messages.len()
                && reply.packs.len() == batch.packs.len()
                && reply.take_backs.len() == batch.take_backs.len() =>
        {
            Answer::Done(reply)
        }
        _ => Answer::Unreadable,
    }
}

fn read_done(items: &[Value]) -> Option<Reply> {
    let list = |at: usize| items.get(at).and_then(reply::array);
    let trimmed = list(3)?;
    let below = |at: usize| trimmed.get(at).and_then(reply::text).and_then(|it| it.parse().ok());
    let take_back = |value: &Value| match reply::text(value)? {
        "removed" => Some(TakeBackFate::Removed),
        "waits" => Some(TakeBackFate::Waits),
        // What is gone was taken: nobody else removes it.
        _ => Some(TakeBackFate::Taken),
    };
    let message = |value: &Value| match reply::number(value)? {
        0 => Some(Fate::Gone),
        2 => Some(Fate::Full),
        _ => Some(Fate::Delivered),
    };
    Some(Reply {
        clock: reply::number(items.get(1)?)?,
        room_elsewhere: reply::number(items.get(2)?)?,
        trimmed: [below(0), below(1)],
        take_backs: list(4)?.iter().map(take_back).collect::<Option<_>>()?,
        messages: list(5)?.iter().map(message).collect::<Option<_>>()?,
        packs: list(6)?.iter().map(pack).collect::<Option<_>>()?,
    })
}

fn pack(value: &Value) -> Option<PackFate> {
    let text = reply::text(value)?;
    if text == "none" {
        return Some(PackFate::NoServer);
    }
    if let Some(busy) = text.strip_prefix("busy ") {
        let mut numbers = busy.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (waiting, limit, age) = (next()?, next()?, next()?);
        return Some(PackFate::Busy { waiting, limit, age: Duration::from_millis(age) });
    }
    text.parse().ok().map(PackFate::Added)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_reply_is_read() {
        let reply = Value::Array(vec![
            bulk("ok"),
            Value::Int(170),
            Value::Int(3),
            Value::Array(vec![bulk("5-1"), bulk("")]),
            Value::Array(vec![bulk("removed"), bulk("taken"), bulk("gone"), bulk("waits")]),
            Value::Array(vec![Value::Int(1), Value::Int(0), Value::Int(2)]),
            Value::Array(vec![bulk("6-0"), bulk("none"), bulk("busy 9 8 70")]),
        ]);
        let items = reply::array(&reply).unwrap();
        let age = Duration::from_millis(70);
        let expected = Reply {
            clock: 170,
            room_elsewhere: 3,
            trimmed: [Some(EntryId { ms: 5, number: 1 }), None],
            take_backs: vec![
                TakeBackFate::Removed,
                TakeBackFate::Taken,
                TakeBackFate::Taken,
                TakeBackFate::Waits,
            ],
            messages: vec![Fate::Delivered, Fate::Gone, Fate::Full],
            packs: vec![
                PackFate::Added(EntryId { ms: 6, number: 0 }),
                PackFate::NoServer,
                PackFate::Busy { waiting: 9, limit: 8, age },
            ],
        };
        assert_eq!(read_done(items), Some(expected));
        assert_eq!(pack(&bulk("garbage")), None);
    }
}
