//! Reads this node's inbox. What is read stays there until the broker is told, so that a lost connection loses nothing.

use std::rc::Rc;
use std::time::{Duration, Instant};

use farcall_core::transport::Backoff;
use redis::Value;

use crate::branch::Branch;
use crate::connect::Purpose;
use crate::entry_id::EntryId;
use crate::fault::{Fault, classify};
use crate::keeper::backoff;
use crate::keys::{Member, Queue};
use crate::message;
use crate::presence;
use crate::reply::{self, Entry};

/// How long one read waits at the broker, in ms.
const BLOCK: u64 = 1000;
/// How long its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(6);
/// Entries of one read.
const COUNT: usize = 128;

/// Reads until the membership ends, which aborts it.
pub(crate) async fn read(branch: Rc<Branch>) {
    let mut backoff = backoff();
    loop {
        tokio::time::sleep(backoff.next(Backoff::random())).await;
        // Its own connection comes and goes with that for commands, which knows what is wrong.
        branch.connected().await;
        let connection = branch.hub.connector.connect(&branch.keys.prefix, Purpose::Blocking).await;
        let Ok(mut connection) = connection else { continue };
        loop {
            let after = branch.state.borrow().read;
            let (key, member) = {
                let member = branch.state.borrow().member.clone();
                (branch.keys.inbox(&member), member)
            };
            let mut command = redis::cmd("XREAD");
            command.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK);
            command.arg("STREAMS").arg(key).arg(after.to_string());
            let read = reply::to(&mut connection.io, &command);
            let read = tokio::time::timeout(PATIENCE, read).await;
            let silent = || std::io::Error::from(std::io::ErrorKind::TimedOut);
            match read.unwrap_or_else(|_| Err(silent().into())) {
                Ok(value) => {
                    backoff.reset();
                    take(&branch, &member, value).await;
                }
                Err(error) => match classify(&error) {
                    Fault::Reconnect => break,
                    fault => {
                        tracing::error!(service = %branch.service, ?fault, "an inbox cannot be read");
                        break;
                    }
                },
            }
        }
    }
}

async fn take(branch: &Rc<Branch>, member: &Member, value: Value) {
    let Some(streams) = reply::streams(value) else { return };
    let mut read = (0, 0);
    for entry in streams.into_iter().flat_map(|(_, entries)| entries) {
        branch.hub.inbox.room().await;
        if branch.state.borrow().member != *member {
            return;
        }
        let id = entry.id;
        let bytes = one(branch, entry).await;
        read = (read.0 + bytes, read.1 + 1);
        branch.has_read(id, bytes, read.1);
    }
}

/// Takes one entry; how many bytes it had.
async fn one(branch: &Rc<Branch>, entry: Entry) -> usize {
    let id = entry.id;
    let Some((name, value)) = entry.fields.into_iter().next() else { return 0 };
    let Some(bytes) = reply::into_bytes(value) else { return 0 };
    let size = bytes.len();
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    match reply::text(&name) {
        Some("frames") => match message::open(bytes) {
            Ok((member, number, pack)) => {
                if branch.known(&member).await {
                    let now = branch.hub.clock.at(Instant::now());
                    let age = Duration::from_millis(now.saturating_sub(id.ms));
                    branch.message(&member, number, pack, age);
                }
            }
            Err(error) => branch.reject(&format!("a message is malformed: {error}")),
        },
        Some("lost") => match lost(text) {
            Some((queue, id)) => {
                branch.entry_lost(id, queue, "its lease has ended, or it was started anew")
            }
            None => branch.reject("what is said of a lost server is malformed"),
        },
        Some("moved") => match moved(text) {
            Some((queue, from, to, places)) => branch.entry_moved(queue, from, to, &places),
            None => branch.reject("what is said of a call that was put back is malformed"),
        },
        _ => branch.reject("something unknown lies in the inbox"),
    }
    size
}

/// A queue, an entry of it, and who had it.
fn lost(text: &str) -> Option<(Queue, EntryId)> {
    let mut words = text.split(' ');
    let (queue, id, _member) = (words.next()?, words.next()?, words.next()?);
    Some((Queue::numbered(queue)?, id.parse().ok()?))
}

/// A queue, an entry of it, the one that takes its place, and the places of the calls in the first.
fn moved(text: &str) -> Option<(Queue, EntryId, EntryId, Vec<usize>)> {
    let mut words = text.split(' ');
    let queue = Queue::numbered(words.next()?)?;
    let (from, to, places) = (words.next()?, words.next()?, words.next()?);
    let places = places.split(',').map(|place| place.parse().ok()).collect::<Option<_>>()?;
    Some((queue, from.parse().ok()?, to.parse().ok()?, places))
}

impl Branch {
    /// Whether there is a session with a member: one that is new is looked for.
    pub(crate) async fn known(self: &Rc<Self>, member: &Member) -> bool {
        if self.state.borrow().members.peer(member).is_some() {
            return true;
        }
        presence::look_at(self, member).await;
        self.state.borrow().members.peer(member).is_some()
    }

    pub(crate) fn reject(&self, reason: &str) {
        let reason = reason.to_owned();
        self.hub.inbox.push(farcall_core::transport::Inbound::Rejected { reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read() {
        let id = |ms| EntryId { ms, number: 1 };
        assert_eq!(lost("2 5-1 m-1"), Some((Queue::Nested, id(5))));
        assert_eq!(moved("1 5-1 7-1 0,3"), Some((Queue::Plain, id(5), id(7), vec![0, 3])));
        assert_eq!((lost("1 5-1"), moved("1 5-1 7-1 x"), lost("3 5-1 m-1")), (None, None, None));
    }
}
