//! Follows who comes, changes and goes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use farcall_core::transport::Inbound;
use redis::Value;
use tokio::sync::{Notify, watch};

use crate::branch::Branch;
use crate::entry_id::EntryId;
use crate::keys::Member;
use crate::members::{Gone, Listed};
use crate::reply;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Presence {
    wanted: RefCell<Wanted>,
    news: Notify,
    /// How often a look at all of it was asked for; which of these times somebody waits to be told of; and which the
    /// last look that is over came after. One that is under way has seen what was before.
    asked: Cell<u64>,
    awaited: Cell<u64>,
    seen: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    members: Vec<(Member, Gone)>,
    /// How many changes the last look at all knew of, and have been told since.
    version: Option<u64>,
    /// The last renewal knew of more.
    behind: bool,
}

/// With so many changes at a time, everything is looked at.
const MANY: usize = 64;

/// Between two looks that come to nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Default for Presence {
    fn default() -> Self {
        let asked = Cell::new(1);
        let (awaited, seen) = (Cell::default(), watch::Sender::new(0));
        Presence { wanted: RefCell::default(), news: Notify::new(), asked, awaited, seen }
    }
}

impl Presence {
    /// A member has changed.
    pub(crate) fn changed(&self, member: Member, gone: Gone) {
        let mut wanted = self.wanted.borrow_mut();
        wanted.version = wanted.version.map(|version| version + 1);
        wanted.members.retain(|(other, _)| *other != member);
        wanted.members.push((member, gone));
        wanted.all |= wanted.members.len() > MANY;
        self.news.notify_one();
    }

    /// There were so many changes. News of some may be on their way, so it counts when they are missing twice.
    pub(crate) fn version(&self, version: u64) {
        let mut wanted = self.wanted.borrow_mut();
        let behind = wanted.version.is_some_and(|known| known < version);
        if std::mem::replace(&mut wanted.behind, behind) && behind {
            wanted.all = true;
            self.news.notify_one();
        }
    }

    /// Some changes may have been missed.
    pub(crate) fn look_again(&self) {
        self.forget_look();
        self.wanted.borrow_mut().all = true;
        self.news.notify_one();
    }

    /// Somebody waits to be told who is there now.
    pub(crate) fn look_and_tell(&self) {
        self.look_again();
        self.awaited.set(self.asked.get());
    }

    /// What was seen means nothing any more.
    pub(crate) fn forget_look(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    pub(crate) fn is_seen(&self) -> bool {
        *self.seen.borrow() >= self.asked.get()
    }

    pub(crate) async fn has_looked(&self) {
        let (mut seen, asked) = (self.seen.subscribe(), self.asked.get());
        // The sender is a field of this.
        let _ = seen.wait_for(|seen| *seen >= asked).await;
    }
}

/// Looks whenever there is news, for as long as the link is there.
pub(crate) async fn follow(branch: Rc<Branch>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        branch.presence.news.notified().await;
        branch.connected().await;
        let asked = branch.presence.asked.get();
        let wanted = std::mem::take(&mut *branch.presence.wanted.borrow_mut());
        branch.presence.wanted.borrow_mut().version = wanted.version;
        if !has_seen(&branch, &wanted).await {
            // News that were not followed would not come again: everything is to be looked at.
            branch.presence.wanted.borrow_mut().all = true;
            branch.presence.news.notify_one();
            // There is a new membership to come, or the broker refuses: not at once again.
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            continue;
        }
        pause = SHORTEST_PAUSE;
        if wanted.all {
            tell_depth(&branch).await;
            if asked >= branch.presence.awaited.get() {
                branch.tell_watching();
            }
            branch.presence.seen.send_replace(asked);
        }
    }
}

/// Looks at what is wanted. `false` if some of it could not be seen.
async fn has_seen(branch: &Rc<Branch>, wanted: &Wanted) -> bool {
    if wanted.all {
        return look_and_read(branch, None, Gone::Lost).await;
    }
    for gone in [Gone::Left, Gone::Lost] {
        let members = wanted.members.iter().filter(|(_, how)| *how == gone);
        let members: Vec<Member> = members.map(|(member, _)| member.clone()).collect();
        if !members.is_empty() && !look_and_read(branch, Some(&members), gone).await {
            return false;
        }
    }
    true
}

/// Looks at a member that has just been heard of. One whose lease is over has its part until somebody ends that.
pub(crate) async fn look_at(branch: &Rc<Branch>, member: &Member) {
    let asked = [member.clone()];
    if let Some(mut seen) = see(branch, Some(&asked)).await {
        seen.list.iter_mut().for_each(|it| it.is_over = false);
        branch.listed(seen.list, &asked, Gone::Lost);
    }
}

/// Looks at some members, or at all, and says what was seen when the inbox is read as far as it was then: what somebody
/// said before they went comes before the news that they have gone. News and inbox come by different connections. `false`
/// if it was not possible to look.
async fn look_and_read(branch: &Rc<Branch>, asked: Option<&[Member]>, gone: Gone) -> bool {
    let (member, known) = {
        let state = branch.state.borrow();
        let known = asked.map_or_else(|| state.members.known(), <[Member]>::to_vec);
        (state.member.clone(), known)
    };
    let Some(seen) = see(branch, asked).await else { return false };
    loop {
        let (is_same, is_read) = {
            let state = branch.state.borrow();
            (state.member == member, state.read >= seen.inbox)
        };
        if !is_same {
            return false;
        }
        if is_read {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    branch.listed(seen.list, &known, gone);
    true
}

/// Who is there.
struct Seen {
    list: Vec<Listed>,
    /// The last entry of the own inbox at that moment.
    inbox: EntryId,
}

async fn see(branch: &Rc<Branch>, asked: Option<&[Member]>) -> Option<Seen> {
    let mut arguments = branch.arguments();
    for member in asked.unwrap_or_default() {
        arguments.add(member);
    }
    let reply = branch.ask(&branch.hub.scripts.who, &arguments).await?;
    let items = reply::into_array(reply)?;
    if asked.is_none() {
        let version = items.get(1).and_then(reply::number);
        branch.presence.wanted.borrow_mut().version = version;
    }
    let inbox = items.get(2).and_then(reply::text).and_then(|it| it.parse().ok());
    let list = items.into_iter().skip(3).filter_map(listed).collect();
    Some(Seen { list, inbox: inbox.unwrap_or(EntryId::ZERO) })
}

fn listed(value: Value) -> Option<Listed> {
    let mut items = reply::into_array(value)?.into_iter();
    let member = Member::named(reply::text(&items.next()?)?);
    let server = reply::into_bytes(items.next()?)?;
    let client = reply::into_bytes(items.next()?)?;
    let is_over = items.next().as_ref().and_then(reply::number) == Some(1);
    Some(Listed { member, server, client, is_over })
}

/// Tells core how full the queue is.
pub(crate) async fn tell_depth(branch: &Rc<Branch>) {
    let reply = branch.ask(&branch.hub.scripts.depth, &branch.arguments()).await;
    let Some(items) = reply.and_then(reply::into_array) else { return };
    let waiting = items.first().and_then(reply::number).unwrap_or(0);
    let server = |value: &Value| {
        let items = reply::array(value)?;
        Some((reply::text(items.first()?)?.into(), reply::number(items.get(1)?)?))
    };
    let pending = items.iter().skip(1).filter_map(server).collect();
    let service = branch.service.clone();
    branch.hub.inbox.push(Inbound::Queue { service, waiting, pending });
}
