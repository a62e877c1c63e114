//! Every name that is used in Redis, and who uses it.
//!
//! All keys of one service begin with `farcall:{<namespace>/<service>}:`. What stands in braces is the hash tag, so that
//! in a cluster they lie on one node and a script may use them together. A *member* is one node's part in one
//! service, `<node id, 32 hexadecimal digits>-<number>`: each time it has to begin anew it has another number.
//!
//! | key | kind | holds |
//! |---|---|---|
//! | `q`, `n` | stream, with the group `farcall` | packs of calls that any server may take: of programs, and of handlers that wait for them. A server's consumer is `<server id>:<epoch>` |
//! | `in:<member>` | stream | everything addressed to one member: frames, and what became of packs |
//! | `back:<member>` | hash | by queue and entry, of those that a server has taken: how many of its calls were put back, and lie in others |
//! | `leases` | sorted set | members, by the time in ms when their lease is over |
//! | `servers`, `clients` | hash | what a member says of itself |
//! | `ids` | hash | by server id: its epoch and member |
//! | `rooms` | hash | by member: whether a server takes calls, how many at once, how many more may wait, its consumer |
//! | `state` | hash | the broker's run id, a version that grows with each change of members, what servers have room for |
//! | `counts` | sorted set | the calls under way, `q` and `n`; by member `unread:…`, the bytes that it has not read of its inbox, and `load:…`, the calls that it has taken and not settled. A set, since its members can be counted up only where they are |
//! | `sent:<member>` | string | the number of a member's last exchange and, if it was done by a script, the reply |
//!
//! The ledger of a service lies in `farcall:{<namespace>/<service>}:ledger:…`. A *holder* is one start of one server, named by
//! its epoch. A task's number is padded in sorted sets, so that those with equal scores go by it. Times are in µs.
//!
//! | key | kind | holds |
//! |---|---|---|
//! | `meta` | hash | the form of all this, the ledger's name, the broker's run id, the next number, the last epoch, the bytes of all tasks, `lives` if nothing is unfinished and all has a time to live |
//! | `tasks`, `params` | hash | by number: the record, in MessagePack, and the parameters |
//! | `keys` | hash | by method and idempotency key: the number of its task |
//! | `all` | sorted set | tasks by number |
//! | `ready`, `suspects` | sorted set | those that wait, by when they are due: without and with a crash on record |
//! | `running` | sorted set | those that run, by their holder's epoch |
//! | `lane` | hash | by holder: the task with a crash on record that it runs |
//! | `expiring`, `over`, `dead` | sorted set | those whose time ends, by when; those that have ended, by when, the dead apart |
//! | `holders`, `ids` | hash | by epoch a holder's server and node; by server its epoch |
//! | `leases` | sorted set | holders by the time when their lease is over |
//! | `said:<epoch>` | string | the number of a holder's last batch, and the reply |
//!
//! Channels are not divided by database, so they begin with its number:
//! `farcall:{<namespace>/<service>}:<database>:changes` tells who came, changed, or went, and a member's process holds a
//! subscription of `…:alive:<member>` for as long as it lives. So it is with `…:ledger`, by the epoch of who changed something, and
//! `…:ledger:<node>:<server>` of holders. All are sharded channels.
//!
//! `farcall:<namespace>:services` is a sorted set of the services that have servers, by the time when the entry is over.

use std::fmt;
use std::rc::Rc;

use compact_str::{CompactString, format_compact};
use farcall_core::wire::NodeId;

/// The group of all servers of a service, in each of its queues.
pub(crate) const GROUP: &str = "farcall";

/// The names of one service.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// What its keys begin with.
    pub(crate) prefix: CompactString,
    /// What its channels begin with.
    pub(crate) channels: CompactString,
}

impl Keys {
    /// Names have no braces, so there is one tag.
    pub(crate) fn new(namespace: &str, service: &str, database: i64) -> Self {
        let prefix = format_compact!("farcall:{{{namespace}/{service}}}:");
        let channels = format_compact!("{prefix}{database}:");
        Keys { prefix, channels }
    }

    pub(crate) fn queue(&self, queue: Queue) -> String {
        format!("{}{}", self.prefix, queue.key())
    }

    pub(crate) fn state(&self) -> String {
        format!("{}state", self.prefix)
    }

    pub(crate) fn inbox(&self, member: &Member) -> String {
        format!("{}in:{member}", self.prefix)
    }

    pub(crate) fn counts(&self) -> String {
        format!("{}counts", self.prefix)
    }

    pub(crate) fn sent(&self, member: &Member) -> String {
        format!("{}sent:{member}", self.prefix)
    }

    pub(crate) fn changes(&self) -> String {
        format!("{}changes", self.channels)
    }

    pub(crate) fn alive(&self, member: &str) -> String {
        format!("{}alive:{member}", self.channels)
    }
}

/// The index of a namespace's services.
pub(crate) fn services(namespace: &str) -> String {
    format!("farcall:{namespace}:services")
}

/// One of the two queues of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    /// Calls of programs.
    Plain,
    /// Calls made by handlers, for which servers keep a few places.
    Nested,
}

impl Queue {
    pub(crate) const BOTH: [Queue; 2] = [Queue::Plain, Queue::Nested];

    pub(crate) fn of(nested: bool) -> Self {
        if nested { Queue::Nested } else { Queue::Plain }
    }

    /// Its key, and the name of its count.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Queue::Plain => "q",
            Queue::Nested => "n",
        }
    }

    /// Its place where there is one thing for each.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The one of this number.
    pub(crate) fn numbered(number: &str) -> Option<Self> {
        Queue::BOTH.into_iter().find(|queue| queue.number() == number)
    }

    /// As scripts count them.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Queue::Plain => "1",
            Queue::Nested => "2",
        }
    }
}

/// One node's part in one service.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Member(Rc<str>);

impl Member {
    pub(crate) fn new(node: NodeId, number: u64) -> Self {
        Member(format!("{}-{number}", node.0.simple()).into())
    }

    /// As others name it. Nothing is assumed of its form.
    pub(crate) fn named(name: &str) -> Self {
        Member(name.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_service_have_its_tag() {
        let keys = Keys::new("default", "calc", 3);
        let member = Member::named("m-1");
        assert_eq!(keys.queue(Queue::Plain), "farcall:{default/calc}:q");
        assert_eq!(keys.inbox(&member), "farcall:{default/calc}:in:m-1");
        assert_eq!(keys.changes(), "farcall:{default/calc}:3:changes");
        assert_eq!(keys.alive("m-1"), "farcall:{default/calc}:3:alive:m-1");
        assert_eq!(services("default"), "farcall:default:services");
    }

    #[test]
    fn a_member_begins_with_its_node() {
        let node = NodeId::generate();
        let member = Member::new(node, 7);
        assert_eq!(member.as_str(), format!("{}-7", node.0.simple()));
        assert_eq!(member.as_str().find('-'), Some(32));
    }
}
