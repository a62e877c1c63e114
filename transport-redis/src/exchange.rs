//! Sends what waits, one exchange at a time: whatever gathers meanwhile goes with the next.

mod transaction;

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use farcall_core::wire::Frame;
use redis::Value;

use crate::branch::Branch;
use crate::entry_id::EntryId;
use crate::fault::{Fault, classify, words};
use crate::keys::{Keys, Member, Queue};
use crate::message;
use crate::outbox::Batch;
use crate::reply;
use crate::scripts::Script;

/// Between two tries of what the broker refuses.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Calls that other servers could run at once.
    pub(crate) room_elsewhere: u64,
    /// Below which entry each queue was trimmed, if it was.
    pub(crate) trimmed: [Option<EntryId>; 2],
    pub(crate) take_backs: Vec<TakeBackFate>,
    pub(crate) messages: Vec<Fate>,
    pub(crate) packs: Vec<PackFate>,
    /// How many calls of each queue are under way now, where that was told.
    pub(crate) under_way: [Option<u64>; 2],
    /// How many bytes lie unread at each who was sent a message, where that was told.
    pub(crate) unread: Vec<Option<u64>>,
    /// Whether the settled entries of each queue are not there any longer.
    pub(crate) deleted: [bool; 2],
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
    Busy {
        waiting: u64,
        limit: u64,
        age: Duration,
    },
    /// It was there, and is settled: whatever became of its calls lies in the inbox by now.
    Gone,
}

/// What the broker says.
enum Answer {
    Done(Reply),
    /// This node is no member.
    Unknown,
    /// Something of it went wrong.
    Failed(redis::RedisError),
    /// It said something else.
    Unreadable,
}

/// One exchange, however it is done.
struct Exchange<'a> {
    keys: &'a Keys,
    member: &'a Member,
    number: u64,
    batch: &'a Batch,
    /// The calls that this server has taken and not settled, if it is one and that has changed.
    load: Option<usize>,
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
    let limit = branch.hub.limits.max_peer_bytes;
    let mut plain = transaction::fits(&branch.state.borrow(), &batch, &member, limit);
    let load = branch.state.borrow_mut().news_of_load();
    // Whether it may have been done all the same.
    let mut in_doubt = false;
    let mut taken: Option<Instant> = None;
    loop {
        let live = branch.connected().await;
        if live.member != member {
            branch.lost(&batch, in_doubt);
            break;
        }
        // Sent again, calls have the time less that has passed.
        let now = Instant::now();
        if let Some(before) = taken.replace(now) {
            batch.age(now - before);
        }
        let mut io = live.io.clone();
        let (number, wants_room) = {
            let state = branch.state.borrow();
            (state.exchange, state.wants_room_elsewhere())
        };
        let keys = &branch.keys;
        let exchange = Exchange { keys, member: &member, number, batch: &batch, load };
        let answer = if plain {
            transaction::run(&mut io, &exchange).await
        } else {
            let scripts = branch.hub.scripts;
            let script = if strict { &scripts.exchange_with_memory } else { &scripts.exchange };
            let command = command(script, &exchange, limit, wants_room);
            script.send(&mut io, &command).await.map(|reply| read(&reply, &batch))
        };
        // What was refused, or may have been done, is the script's to decide.
        let was_plain = std::mem::take(&mut plain);
        match answer {
            Ok(answer) => {
                match answer {
                    // What it says of a membership that has ended is for nobody.
                    Answer::Done(_) if branch.state.borrow().member != member => {
                        branch.lost(&batch, true);
                    }
                    Answer::Done(reply) => branch.exchanged(batch, reply),
                    Answer::Unknown => {
                        // Somebody else may have found out first.
                        if branch.state.borrow().member == member {
                            branch.begin_anew("its lease ended, or the broker forgot it");
                        }
                        branch.lost(&batch, in_doubt);
                    }
                    Answer::Failed(error) => refused(branch, &batch, &member, &error).await,
                    Answer::Unreadable => {
                        tracing::error!(service = %branch.service, "a reply of the broker is not understood");
                        branch.lost(&batch, true);
                    }
                }
                break;
            }
            Err(error) if was_plain && error.code().is_some() => {}
            Err(error) => match classify(&error) {
                Fault::Reconnect | Fault::Reload => {
                    // What a server says by a code of its own it says before it begins.
                    in_doubt |= error.code().is_none();
                    branch.broken(&live);
                }
                Fault::Unwritable(trouble) => {
                    // It was refused whole; calls whose time is over meanwhile end by that.
                    branch.tell_trouble(&trouble);
                    tokio::time::sleep(PAUSE).await;
                }
                // It may have been done: then the reply of then is wanted, and needs no memory.
                Fault::OutOfMemory if strict && in_doubt => strict = false,
                Fault::OutOfMemory if strict => {
                    // What frees memory goes, calls do not.
                    strict = false;
                    for pack in batch.packs.iter() {
                        let message = "the broker has no memory left (maxmemory)";
                        branch.refuse(&pack.calls, message, Duration::from_secs(1));
                    }
                    branch.drop_packs(&mut batch);
                }
                _ => {
                    refused(branch, &batch, &member, &error).await;
                    break;
                }
            },
        }
    }
    branch.exchanging.set(false);
}

/// The broker does not do it, or not all of it.
async fn refused(branch: &Branch, batch: &Batch, member: &Member, error: &redis::RedisError) {
    let fault = classify(error);
    tracing::error!(
        service = %branch.service, error = words(error), ?fault, "the broker refuses what is sent"
    );
    branch.tell_trouble(&words(error));
    branch.lost(batch, true);
    if branch.state.borrow().member == *member {
        // Of all that is in it this alone may be done twice, and has to be done.
        branch.state.borrow_mut().outbox.settle_later(&batch.settled);
    }
    // Not again at once: nothing here makes it better.
    tokio::time::sleep(PAUSE).await;
}

/// The command for a batch, as `exchange.lua` and `rare.lua` say.
fn command(script: &Script, exchange: &Exchange, limit: usize, wants_room: bool) -> redis::Cmd {
    let Exchange { keys, member, number, batch, load } = *exchange;
    let [plain, nested] = &batch.settled;
    let bytes = batch.messages.iter().map(|it| 2 * it.frames.len()).sum::<usize>()
        + batch.packs.iter().map(|it| it.bytes.len()).sum::<usize>();
    let count = 16 + 3 * (batch.messages.len() + batch.packs.len()) + plain.len() + nested.len();
    let mut command = script.command(count, bytes + 40 * count);
    command.arg(6 + batch.messages.len()).arg(&*keys.prefix).arg(keys.state());
    command.arg(keys.queue(Queue::Plain)).arg(keys.queue(Queue::Nested));
    command.arg(keys.counts()).arg(keys.sent(member));
    for message in &batch.messages {
        command.arg(keys.inbox(&message.member));
    }
    command.arg(&*keys.channels).arg(member.as_str()).arg(number);
    match load {
        Some(load) => command.arg(load),
        None => command.arg(""),
    };
    command.arg(limit);
    for settled in [plain, nested] {
        command.arg(settled.iter().map(|it| it.calls).sum::<usize>()).arg(settled.len());
    }
    command.arg(batch.messages.len()).arg(batch.packs.len());
    let before_rare =
        12 + plain.len() + nested.len() + 2 * batch.messages.len() + 3 * batch.packs.len();
    command.arg(before_rare);
    for it in plain.iter().chain(nested) {
        command.arg(it.id.to_string());
    }
    let mut bytes = BytesMut::new();
    for it in &batch.messages {
        bytes.clear();
        message::head(member, it.number, &mut bytes);
        bytes.put_slice(&it.frames);
        command.arg(it.member.as_str()).arg(&bytes[..]);
    }
    for it in &batch.packs {
        command.arg(it.queue.number()).arg(it.calls.len()).arg(&it.bytes[..]);
    }
    if wants_room || batch.needs_script() || batch.read.is_some() {
        add_rare(&mut command, batch, member, wants_room);
    }
    command
}

fn add_rare(command: &mut redis::Cmd, batch: &Batch, member: &Member, wants_room: bool) {
    match batch.read {
        Some((id, bytes)) => command.arg(id.to_string()).arg(bytes),
        None => command.arg("").arg(0),
    };
    command.arg(u8::from(wants_room));
    for queue in Queue::BOTH {
        let deletes = &batch.deletes[queue.index()];
        command.arg(deletes.len());
        for id in deletes {
            command.arg(id.to_string());
        }
        command.arg(u8::from(batch.trims[queue.index()]));
    }
    command.arg(batch.put_backs.len());
    for it in &batch.put_backs {
        let places: Vec<String> = it.places.iter().map(usize::to_string).collect();
        command.arg(it.queue.number()).arg(it.id.to_string()).arg(it.client.as_str());
        command.arg(it.since_ms).arg(it.places.len()).arg(places.join(",")).arg(&it.pack[..]);
    }
    command.arg(batch.take_backs.len());
    for it in &batch.take_backs {
        command.arg(it.queue.number()).arg(it.id.to_string()).arg(u8::from(it.whole));
        let mut cancel = BytesMut::new();
        if let Some(id) = it.cancel {
            message::head(member, 0, &mut cancel);
            message::add(&Frame::Cancel { id }, &mut cancel);
        }
        command.arg(&cancel[..]);
    }
}

fn read(reply: &Value, batch: &Batch) -> Answer {
    let Some(text) = reply::text(reply) else { return Answer::Unreadable };
    if text == "unknown" {
        return Answer::Unknown;
    }
    match read_done(text) {
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

fn read_done(text: &str) -> Option<Reply> {
    let mut parts = text.strip_prefix("ok;")?.split(';');
    let room_elsewhere = parts.next()?.parse().ok()?;
    let trimmed = [parts.next()?.parse().ok(), parts.next()?.parse().ok()];
    let take_back = |word: &str| match word {
        "removed" => TakeBackFate::Removed,
        "waits" => TakeBackFate::Waits,
        // What is gone was taken: nobody else removes it.
        _ => TakeBackFate::Taken,
    };
    let message = |byte: u8| match byte {
        b'0' => Some(Fate::Gone),
        b'1' => Some(Fate::Delivered),
        b'2' => Some(Fate::Full),
        _ => None,
    };
    Some(Reply {
        room_elsewhere,
        trimmed,
        take_backs: words_of(parts.next()?).map(take_back).collect(),
        messages: parts.next()?.bytes().map(message).collect::<Option<_>>()?,
        packs: words_of(parts.next()?).map(pack).collect::<Option<_>>()?,
        under_way: {
            let mut counts = words_of(parts.next()?).map(|it| it.parse().ok());
            [counts.next().flatten(), counts.next().flatten()]
        },
        unread: words_of(parts.next()?).map(|it| it.parse().ok()).collect(),
        deleted: [false; 2],
    })
}

/// What stands between commas; nothing, if there is nothing.
fn words_of(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|word| !word.is_empty())
}

fn pack(text: &str) -> Option<PackFate> {
    match text {
        "none" => return Some(PackFate::NoServer),
        "gone" => return Some(PackFate::Gone),
        _ => {}
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
    mod done_once;

    use super::*;

    #[test]
    fn a_reply_is_read() {
        let age = Duration::from_millis(70);
        let expected = Reply {
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
                PackFate::Gone,
            ],
            under_way: [Some(9), Some(2)],
            unread: vec![Some(30), Some(0), Some(70)],
            deleted: [false; 2],
        };
        let reply = "ok;3;5-1;;removed,taken,gone,waits;102;6-0,none,busy 9 8 70,gone;9,2;30,0,70";
        assert_eq!(read_done(reply), Some(expected));
        let nothing = read_done("ok;0;;;;;;;").unwrap();
        assert!(nothing.packs.is_empty() && nothing.messages.is_empty());
        assert_eq!(nothing.under_way, [None; 2]);
        assert_eq!(read_done("ok;0;;;;3;;;"), None);
        assert_eq!(pack("garbage"), None);
    }
}
