//! Takes calls out of a service's queues, as many as there is room for.

use std::rc::Rc;
use std::time::{Duration, Instant};

use farcall_core::transport::{Backoff, Receipt};
use farcall_core::wire::Frame;

use crate::branch::{Branch, Serving, State};
use crate::connect::{ConnectError, Connection, Purpose};
use crate::deliveries::MAX_CALLS;
use crate::fault::{Fault, classify};
use crate::keeper::backoff;
use crate::keys::{GROUP, Member, Queue};
use crate::message;
use crate::reply::{self, Entry};

/// How long one read waits at the broker, in ms.
const BLOCK: u64 = 1000;
/// How long its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(6);
/// The most entries of one read.
const MOST: usize = 128;
/// More entries than a consumer ever has.
const HISTORY: usize = 1_000_000;

/// What lies in the queue for so long was not taken at once by whoever had room. The broker tells times in ms.
const WAITED: Duration = Duration::from_millis(3);

/// How many entries a read asks for, where other servers read as well: one at first, so that what comes in a
/// burst is divided; more while reads come back full of what has waited, since then there is enough for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Appetite(usize);

impl Appetite {
    const FIRST: Appetite = Appetite(1);

    fn after(self, read: usize, waited: Duration) -> Self {
        let is_enough = read >= self.0 && waited >= WAITED;
        if is_enough { Appetite((2 * self.0).min(MOST / 4)) } else { Appetite::FIRST }
    }
}

/// Connects for a server that is about to be known: calls come at once then, and are divided between those
/// that wait for them.
pub(crate) async fn prepare(branch: &Rc<Branch>) -> Result<(), ConnectError> {
    let begins =
        |state: &State| state.serving.as_ref().is_some_and(|serving| serving.consumer.is_none());
    if !begins(&branch.state.borrow()) {
        return Ok(());
    }
    for queue in Queue::BOTH {
        let connection =
            branch.hub.connector.connect(&branch.keys.prefix, Purpose::Blocking).await?;
        if let Some(serving) = &mut branch.state.borrow_mut().serving {
            serving.ready[queue.index()] = Some(connection);
        }
    }
    Ok(())
}

/// Begins to take calls.
pub(crate) fn begin(branch: &Rc<Branch>) {
    for queue in Queue::BOTH {
        let task = branch.hub.spawn(take(Rc::clone(branch), queue));
        branch.state.borrow_mut().tasks.push(task);
    }
}

/// How many calls of a queue there is room for.
fn room(state: &State, queue: Queue) -> Option<usize> {
    let serving = state.serving.as_ref().filter(|serving| serving.takes_calls())?;
    let concurrency = usize::try_from(serving.announcement.concurrency).unwrap_or(usize::MAX);
    let backlog = usize::try_from(serving.announcement.backlog).unwrap_or(usize::MAX);
    let [plain, nested] = Queue::BOTH.map(|queue| state.deliveries.unsettled(queue));
    if is_alone(state) {
        // Core has the backlog of a server that is alone: it knows whose turn it is, and refuses what is too much.
        let most = 2 * (concurrency.saturating_add(backlog)) + MAX_CALLS;
        return Some(most.saturating_sub(plain + nested));
    }
    let free = concurrency.saturating_sub(plain);
    Some(match queue {
        Queue::Plain => free,
        Queue::Nested => (free + (concurrency / 8).max(1)).saturating_sub(nested),
    })
}

fn is_alone(state: &State) -> bool {
    state.members.ready().0 <= 1
}

async fn take(branch: Rc<Branch>, queue: Queue) {
    let mut backoff = backoff();
    let ready =
        branch.state.borrow_mut().serving.as_mut().and_then(|it| it.ready[queue.index()].take());
    // A new consumer has nothing from before.
    if let Some(connection) = ready
        && read(&branch, queue, connection, &mut backoff, ">").await
    {
        return;
    }
    loop {
        tokio::time::sleep(backoff.next(Backoff::random())).await;
        branch.connected().await;
        let connection = branch.hub.connector.connect(&branch.keys.prefix, Purpose::Blocking).await;
        let Ok(connection) = connection else { continue };
        // Entries that were given out when a connection broke: nobody else gets them.
        if read(&branch, queue, connection, &mut backoff, "0").await {
            return;
        }
    }
}

/// Reads until the connection is lost; `true` if no more is to be read at all.
async fn read(
    branch: &Rc<Branch>,
    queue: Queue,
    mut connection: Connection,
    backoff: &mut Backoff,
    mut from: &str,
) -> bool {
    let mut appetite = Appetite::FIRST;
    loop {
        let waiting = branch.room.notified();
        tokio::pin!(waiting);
        waiting.as_mut().enable();
        let wanted = {
            let state = branch.state.borrow();
            let Some(serving) = &state.serving else { return true };
            if !serving.takes_calls() {
                return true;
            }
            match room(&state, queue) {
                Some(room) if room > 0 && is_alone(&state) => Some(MOST),
                Some(room) if room > 0 => Some(appetite.0.min(room)),
                _ => None,
            }
        };
        let Some(wanted) = wanted else {
            waiting.await;
            continue;
        };
        let command = {
            let mut state = branch.state.borrow_mut();
            let Some(serving) = &mut state.serving else { return true };
            let Some(consumer) = &serving.consumer else { return true };
            let mut command = redis::cmd("XREADGROUP");
            // All of what was given out before, or as much as there is room for.
            let count = if from == ">" { wanted } else { HISTORY };
            command.arg("GROUP").arg(GROUP).arg(consumer).arg("COUNT").arg(count);
            command.arg("BLOCK").arg(BLOCK);
            command.arg("STREAMS").arg(branch.keys.queue(queue)).arg(from);
            serving.readers[queue.index()] = Some(connection.client_id);
            serving.reading += 1;
            if from != ">" {
                state.deliveries.begin_reread();
            }
            command
        };
        // A server that says nothing for longer hangs: what it may have given out is read again later.
        let read = reply::to(&mut connection.io, &command);
        let read = tokio::time::timeout(PATIENCE, read).await;
        let read =
            read.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        {
            let mut state = branch.state.borrow_mut();
            if let Some(serving) = &mut state.serving {
                serving.readers[queue.index()] = None;
            }
        }
        let value = match read {
            Ok(value) => value,
            Err(error) => {
                has_read(branch, from);
                match classify(&error) {
                    Fault::Reconnect => {}
                    Fault::NoGroup => {
                        branch.begin_anew("the group of the service's servers is gone")
                    }
                    fault => {
                        tracing::error!(service = %branch.service, ?fault, "no calls can be taken");
                        branch.tell_trouble(&crate::fault::words(&error));
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
                branch.room.notify_waiters();
                return false;
            }
        };
        backoff.reset();
        let streams = reply::streams(value).unwrap_or_default();
        let entries: Vec<Entry> = streams.into_iter().flat_map(|(_, entries)| entries).collect();
        if from == ">" {
            let now = branch.hub.clock.at(Instant::now());
            let oldest = entries.first().map_or(0, |entry| now.saturating_sub(entry.id.ms));
            appetite = appetite.after(entries.len(), Duration::from_millis(oldest));
        }
        for entry in entries {
            // What only goes back needs no room.
            if takes_calls(branch) {
                branch.hub.inbox.room().await;
            }
            deliver(branch, queue, entry).await;
        }
        has_read(branch, from);
        from = ">";
        branch.room.notify_waiters();
        branch.work.notify_one();
        if branch.state.borrow().wants_room_elsewhere() && !branch.asking.replace(true) {
            branch.hub.spawn(ask_for_room(Rc::clone(branch)));
        }
    }
}

/// A read is over, with all that it brought.
fn has_read(branch: &Branch, from: &str) {
    let mut state = branch.state.borrow_mut();
    if from != ">" {
        state.deliveries.end_reread();
    }
    if let Some(serving) = &mut state.serving {
        serving.reading = serving.reading.saturating_sub(1);
    }
}

fn takes_calls(branch: &Branch) -> bool {
    branch.state.borrow().serving.as_ref().is_some_and(Serving::takes_calls)
}

/// How long calls wait behind others here before somebody else may have them. The last pack that was read is mostly
/// larger than the room for it, and begun within this time.
const SURPLUS: Duration = Duration::from_millis(20);

/// Asks whether others have room, for as long as calls wait here.
async fn ask_for_room(branch: Rc<Branch>) {
    loop {
        tokio::time::sleep(SURPLUS).await;
        let mut state = branch.state.borrow_mut();
        if !state.wants_room_elsewhere() {
            branch.asking.set(false);
            return;
        }
        state.outbox.asks = true;
        branch.work.notify_one();
    }
}

/// A pack was taken: its calls go to core, or back.
async fn deliver(branch: &Rc<Branch>, queue: Queue, entry: Entry) {
    let id = entry.id;
    if branch.state.borrow().deliveries.has(id, queue) {
        return;
    }
    let (mut client, mut since, mut pack, mut count) = (None, None, None, 0);
    for (name, value) in entry.fields {
        match reply::text(&name) {
            Some("a") => client = reply::text(&value).map(Member::named),
            Some("t") => since = reply::number(&value),
            // What the sender has counted; of somebody else's garbage it is as good as nothing.
            Some("n") => {
                count = reply::number(&value).map_or(0, |n| n.min(MAX_CALLS as u64) as usize)
            }
            Some("p") => pack = reply::into_bytes(value),
            _ => {}
        }
    }
    let limit = branch.hub.limits.max_frame_bytes;
    let frames = pack.map(|pack| message::split(pack, limit));
    let (client, frames) = match (client, frames) {
        (Some(client), Some(Ok(frames))) if frames.len() <= MAX_CALLS => (client, frames),
        (_, frames) => {
            let why = match frames {
                Some(Err(error)) => error.to_string(),
                _ => "something is missing, or there is too much".to_owned(),
            };
            branch.reject(&format!("a pack of calls is malformed: {why}"));
            return branch.drop_entry(id, queue, count);
        }
    };
    if !branch.known(&client).await {
        // Its node is gone: nobody waits for these calls.
        return branch.drop_entry(id, queue, frames.len());
    }
    let since = since.unwrap_or(id.ms);
    let age = Duration::from_millis(branch.hub.clock.at(Instant::now()).saturating_sub(since));
    let (peer, first, takes_calls) = {
        let mut state = branch.state.borrow_mut();
        let Some(peer) = state.members.peer(&client) else { return };
        let first = state.deliveries.add((id, queue), client, since, frames.clone());
        let takes_calls = state.serving.as_ref().is_some_and(|it| it.takes_calls());
        (peer, first, takes_calls)
    };
    for (place, frame) in frames.into_iter().enumerate() {
        let receipt = Receipt(first.0 + place as u64);
        if !takes_calls {
            branch.put_back(receipt);
            continue;
        }
        match message::decode(frame) {
            Ok(Frame::Call(mut call)) => {
                call.time_left = call.time_left.saturating_sub(age);
                branch.hub.inbox.push_frame(peer, Frame::Call(call), Some(receipt));
            }
            other => {
                let why = other.err().map_or("it is no call".to_owned(), |error| error.to_string());
                let reason = format!("a pack of {peer} is malformed: {why}");
                branch.reject(&reason);
                branch.settle(receipt);
                branch.expel(peer, &reason);
            }
        }
    }
}

impl Branch {
    /// An entry of so many calls is nobody's: it is settled unread.
    fn drop_entry(&self, id: crate::entry_id::EntryId, queue: Queue, calls: usize) {
        let settled = crate::deliveries::Settled { id, queue, calls };
        self.state.borrow_mut().outbox.settle(settled);
        self.work.notify_one();
    }
}

/// Wakes connections that wait for calls.
pub(crate) async fn wake(branch: &Rc<Branch>, clients: &[u64]) {
    let live = branch.connected().await;
    for client in clients {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(client);
        let mut io = live.io.clone();
        // One that is not let comes back by itself within the time of a read.
        if let Err(error) = reply::to(&mut io, &command).await {
            tracing::debug!(%error, "a waiting connection was not woken");
        }
    }
}

/// Takes no more calls; what was read meanwhile is put back.
pub(crate) async fn stop(branch: &Rc<Branch>) {
    let clients: Vec<u64> = {
        let mut state = branch.state.borrow_mut();
        let Some(serving) = &mut state.serving else { return };
        if serving.takes_calls() {
            serving.announcement.state = farcall_core::wire::ServerState::Draining;
        }
        serving.readers.iter().flatten().copied().collect()
    };
    branch.room.notify_waiters();
    if !clients.is_empty() {
        wake(branch, &clients).await;
    }
    loop {
        let waiting = branch.room.notified();
        tokio::pin!(waiting);
        waiting.as_mut().enable();
        let reading = branch.state.borrow().serving.as_ref().map_or(0, |it| it.reading);
        if reading == 0 {
            return;
        }
        waiting.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_appetite_comes_with_eating() {
        let mut appetite = Appetite::FIRST;
        for expected in [2, 4, 8, 16, 32, 32] {
            appetite = appetite.after(appetite.0, WAITED);
            assert_eq!(appetite, Appetite(expected));
        }
        assert_eq!(appetite.after(31, WAITED), Appetite::FIRST);
        assert_eq!(appetite.after(32, Duration::ZERO), Appetite::FIRST);
    }
}
