//! Looks after calls that were handed over some time ago: somebody may have deleted their entry, or the group that
//! knew who had it. And after what is left to do when nothing else happens.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::branch::Branch;
use crate::entry_id::EntryId;
use crate::reply;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);
/// Younger ones are left alone: nearly all calls are over before.
const AGE: Duration = Duration::from_secs(2);
/// The most entries that are looked at at a time.
const MOST: usize = 256;

/// Looks once a second, for as long as the link is there.
pub(crate) async fn run(branch: Rc<Branch>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        branch.tidy();
        let old = branch.state.borrow().entries.older_than(AGE, Instant::now(), MOST);
        if branch.live.borrow().is_none() {
            continue;
        }
        if !old.is_empty() {
            look(&branch, &old).await;
        }
        forget(&branch).await;
    }
}

/// Tells the broker of entries that are done with, some of whose calls were put back.
async fn forget(branch: &Rc<Branch>) {
    loop {
        let mut arguments = branch.arguments();
        let settled = branch.state.borrow_mut().deliveries.forget(MOST);
        if settled.is_empty() {
            return;
        }
        for (id, queue) in settled {
            arguments.add(queue.number()).add(id);
        }
        branch.ask(&branch.hub.scripts.forget, &arguments).await;
    }
}

async fn look(branch: &Rc<Branch>, old: &[(EntryId, crate::keys::Queue)]) {
    let mut arguments = branch.arguments();
    for (id, queue) in old {
        arguments.add(queue.number()).add(id);
    }
    let reply = branch.ask(&branch.hub.scripts.audit, &arguments).await;
    let Some(items) = reply.and_then(reply::into_array) else { return };
    let last = items.first().and_then(reply::text).and_then(|it| it.parse().ok());
    let last: EntryId = last.unwrap_or(EntryId::ZERO);
    // What they had to say may lie in the inbox: until it is read nothing is missed.
    let is_read = branch.state.borrow().read >= last;
    for (entry, state) in old.iter().zip(items.iter().skip(1)) {
        let gone = is_read && reply::text(state) == Some("gone");
        let is_lost = branch.state.borrow_mut().entries.audited(*entry, gone, Instant::now());
        if is_lost {
            branch.entry_lost(entry.0, entry.1, "the broker has lost the call");
        }
    }
}
