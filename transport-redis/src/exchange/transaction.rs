//! An exchange of plain commands, as most are: all that they need from the broker is that they are done together.
//!
//! It costs the broker half of what the script costs, and far less for large values, which Lua would copy. What it cannot do is
//! decide: so it is for batches of which it is known that nothing will be refused, by what the last replies told. It is
//! done once, as the script is: its first command notes the number of the exchange, and whoever does not know whether it was
//! done asks the script, which finds that number and looks where the packs are.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, RedisWrite, ToRedisArgs, Value};

use super::{Answer, Exchange, Fate, PackFate, Reply};
use crate::branch::State;
use crate::keys::{GROUP, Member, Queue};
use crate::message;
use crate::outbox::{Batch, Message};
use crate::reply;

/// What was told of a queue counts for so long: clients that come in a crowd do not overlook each other for longer.
const FRESH: Duration = Duration::from_secs(1);

/// With so few entries settled at a time, each is deleted: the broker walks past those that are left whenever something is read.
const FEW: usize = 4;

/// Whether nothing of a batch will be refused: only half of any room is used by such batches, since others add to it meanwhile.
pub(super) fn fits(state: &State, batch: &Batch, member: &Member, limit: usize) -> bool {
    if batch.needs_script() || state.wants_room_elsewhere() {
        return false;
    }
    let now = Instant::now();
    let room = state.members.room() / 2;
    let has_room = Queue::BOTH.iter().all(|queue| {
        let calls = batch.calls(*queue) as u64;
        let known = state.outbox.under_way[queue.index()];
        let known = known.filter(|(_, at)| now.saturating_duration_since(*at) < FRESH);
        calls == 0 || known.is_some_and(|(under_way, _)| under_way + calls <= room)
    });
    let is_read = |message: &Message| {
        let unread = state.outbox.unread(message.peer);
        unread.is_some_and(|unread| unread + message.size(member) as u64 <= limit as u64 / 2)
    };
    has_room && batch.messages.iter().all(is_read)
}

/// Whether the settled entries of a queue are deleted.
fn deletes(batch: &Batch, queue: Queue) -> bool {
    (1..=FEW).contains(&batch.settled[queue.index()].len())
}

/// Does it. An error is of the whole: then nothing was done, or the connection was lost.
pub(super) async fn run(
    io: &mut MultiplexedConnection,
    exchange: &Exchange<'_>,
) -> RedisResult<Answer> {
    let pipeline = commands(exchange);
    let mut replies = io.send_packed_commands(&pipeline, 0, pipeline.len()).await?;
    // A command that the server does not take says so itself; EXEC then says no more than that something was wrong.
    if let Some(at) = replies.iter().position(|reply| matches!(reply, Value::ServerError(_))) {
        return Err(reply::error(replies.swap_remove(at)));
    }
    let Some(Value::Array(done)) = replies.pop() else { return Ok(Answer::Unreadable) };
    Ok(read(done, exchange.batch))
}

/// A transaction in the making.
struct Commands(Pipeline);

impl Commands {
    fn add(&mut self, name: &str, size: usize, arguments: impl FnOnce(&mut Cmd)) {
        let mut command = Cmd::with_capacity(12, size + 160);
        command.arg(name);
        arguments(&mut command);
        self.0.add_command(command);
    }

    /// Adds to a count that is there.
    fn count(&mut self, counts: &str, more: i64, name: impl ToRedisArgs) {
        self.add("ZADD", 0, |it| {
            it.arg(counts).arg("XX").arg("INCR").arg(more).arg(name);
        });
    }
}

/// Two parts of one argument.
struct Joined<'a>(&'a [u8], &'a [u8]);

impl ToRedisArgs for Joined<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        use std::io::Write;
        let mut argument = out.writer_for_next_arg();
        let written = argument.write_all(self.0).and_then(|()| argument.write_all(self.1));
        written.expect("a command takes all that is written to it");
    }
}

fn commands(exchange: &Exchange) -> Pipeline {
    let Exchange { keys, member, number, batch, load } = *exchange;
    let counts = keys.counts();
    let size = 6 + 2 * (batch.messages.len() + batch.packs.len());
    let mut commands = Commands(Pipeline::with_capacity(size));
    commands.add("MULTI", 0, |_| {});
    commands.add("SET", 0, |it| {
        it.arg(keys.sent(member)).arg(number).arg("XX").arg("KEEPTTL");
    });
    for message in &batch.messages {
        let mut head = bytes::BytesMut::new();
        message::head(member, message.number, &mut head);
        commands.add("XADD", message.frames.len(), |it| {
            it.arg(keys.inbox(&message.member)).arg("NOMKSTREAM").arg("*").arg("frames");
            it.arg(Joined(&head, &message.frames));
        });
        let unread = format!("unread:{}", message.member);
        commands.count(&counts, message.size(member) as i64, unread);
    }
    for (place, pack) in batch.packs.iter().enumerate() {
        commands.add("XADD", pack.bytes.len(), |it| {
            it.arg(keys.queue(pack.queue)).arg("NOMKSTREAM").arg("*").arg("a").arg(member.as_str());
            it.arg("n").arg(pack.calls.len()).arg("x").arg(format!("{number}:{place}"));
            it.arg("p").arg(&pack.bytes[..]);
        });
    }
    for queue in Queue::BOTH {
        let settled = &batch.settled[queue.index()];
        if !settled.is_empty() {
            let ids: Vec<String> = settled.iter().map(|it| it.id.to_string()).collect();
            commands.add("XACK", 24 * ids.len(), |it| {
                it.arg(keys.queue(queue)).arg(GROUP).arg(&ids);
            });
            if deletes(batch, queue) {
                commands.add("XDEL", 24 * ids.len(), |it| {
                    it.arg(keys.queue(queue)).arg(&ids);
                });
            }
        }
        if let Some(more) = more_under_way(batch, queue) {
            commands.count(&counts, more, queue.key());
        }
    }
    if let Some((id, bytes)) = batch.read {
        commands.add("XTRIM", 0, |it| {
            it.arg(keys.inbox(member)).arg("MINID").arg(id.next().to_string());
        });
        commands.count(&counts, -(bytes as i64), format!("unread:{member}"));
    }
    if let Some(load) = load {
        commands.add("ZADD", 0, |it| {
            it.arg(&counts).arg("XX").arg(load).arg(format!("load:{member}"));
        });
    }
    commands.add("EXEC", 0, |_| {});
    commands.0
}

/// How many calls more of a queue are under way, if that changes.
fn more_under_way(batch: &Batch, queue: Queue) -> Option<i64> {
    let settled = &batch.settled[queue.index()];
    let over: usize = settled.iter().map(|it| it.calls).sum();
    let more = batch.calls(queue) as i64 - over as i64;
    (batch.calls(queue) > 0 || more != 0).then_some(more)
}

/// Reads what the commands gave.
fn read(mut done: Vec<Value>, batch: &Batch) -> Answer {
    match done.iter().position(|reply| matches!(reply, Value::ServerError(_))) {
        Some(at) => Answer::Failed(reply::error(done.swap_remove(at))),
        None => read_in_order(&mut done.into_iter(), batch).unwrap_or(Answer::Unreadable),
    }
}

fn read_in_order(done: &mut impl Iterator<Item = Value>, batch: &Batch) -> Option<Answer> {
    if done.next()? == Value::Nil {
        return Some(Answer::Unknown);
    }
    let mut reply = Reply::default();
    for _ in &batch.messages {
        let added = done.next()?;
        reply.messages.push(if added == Value::Nil { Fate::Gone } else { Fate::Delivered });
        reply.unread.push(reply::count(&done.next()?));
    }
    for _ in &batch.packs {
        reply.packs.push(match done.next()? {
            Value::Nil => PackFate::NoServer,
            id => PackFate::Added(reply::text(&id)?.parse().ok()?),
        });
    }
    for queue in Queue::BOTH {
        if !batch.settled[queue.index()].is_empty() {
            done.next()?;
            if deletes(batch, queue) {
                done.next()?;
                reply.deleted[queue.index()] = true;
            }
        }
        if more_under_way(batch, queue).is_some() {
            reply.under_way[queue.index()] = reply::count(&done.next()?);
        }
    }
    Some(Answer::Done(reply))
}
