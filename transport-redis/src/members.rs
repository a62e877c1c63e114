//! Who has a part in a service, as far as this node knows: pure bookkeeping.

use bytes::Bytes;
use farcall_core::transport::PeerId;
use farcall_core::wire::{Announcement, Hello, ServerState};
use foldhash::{HashMap, HashMapExt};

use crate::keys::Member;
use crate::message::read_record;

/// The members that matter to this node: servers if it watches the service, clients if it serves it. All ready servers
/// are counted in any case.
#[derive(Debug)]
pub(crate) struct Members {
    own: Hello,
    /// This node calls servers.
    pub(crate) watches: bool,
    /// This node is one.
    pub(crate) serves: bool,
    peers: HashMap<Member, Peer>,
    by_id: HashMap<PeerId, Member>,
    servers: HashMap<Member, Announcement>,
}

#[derive(Debug)]
struct Peer {
    id: PeerId,
    announced: Option<Announcement>,
    /// The number of the last message that came from it.
    last: u64,
}

/// A member as the broker lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) member: Member,
    /// Its epoch and record, if it is a server.
    pub(crate) server: Bytes,
    /// Its record, if it is a client.
    pub(crate) client: Bytes,
    /// Its lease is over, and nobody has ended its part yet: whoever knows it waits for that, since it may
    /// have been the broker that was away.
    pub(crate) is_over: bool,
}

/// What core is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Up(PeerId, Box<Hello>),
    Announced(PeerId, Box<Announcement>),
    Down {
        peer: PeerId,
        reason: &'static str,
        clean: bool,
    },
    /// A member with whom there can be no session.
    Unfit {
        server: Option<Box<Announcement>>,
        reason: String,
    },
    /// There was one ready server, or none, and now there are more; or the other way round.
    Alone(bool),
}

/// Why members go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Left,
    Lost,
}

impl Gone {
    fn change(self, peer: PeerId) -> Change {
        match self {
            Gone::Left => Change::Down { peer, reason: "it has left", clean: true },
            Gone::Lost => Change::Down { peer, reason: "its lease has ended", clean: false },
        }
    }
}

/// How a message fits into the order of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Next,
    /// Some between are missing.
    Gap,
    /// It came before.
    Again,
}

impl Members {
    pub(crate) fn new(own: Hello) -> Self {
        Members {
            own,
            watches: false,
            serves: false,
            peers: HashMap::new(),
            by_id: HashMap::new(),
            servers: HashMap::new(),
        }
    }

    pub(crate) fn peer(&self, member: &Member) -> Option<PeerId> {
        self.peers.get(member).map(|peer| peer.id)
    }

    pub(crate) fn member(&self, peer: PeerId) -> Option<&Member> {
        self.by_id.get(&peer)
    }

    /// How many servers take calls, and how many at once the smallest of them runs.
    pub(crate) fn ready(&self) -> (usize, usize) {
        let ready = self.servers.values().filter(|it| it.state == ServerState::Ready);
        let (count, least) =
            ready.fold((0, u64::MAX), |(count, least), it| (count + 1, least.min(it.concurrency)));
        (count, usize::try_from(least).unwrap_or(usize::MAX))
    }

    /// How many calls the servers that take some run, and have wait.
    pub(crate) fn room(&self) -> u64 {
        let ready = self.servers.values().filter(|it| it.state == ServerState::Ready);
        ready.fold(0, |room, it| room.saturating_add(it.concurrency.saturating_add(it.backlog)))
    }

    /// A message has come from a peer.
    pub(crate) fn message(&mut self, member: &Member, number: u64) -> Order {
        let Some(peer) = self.peers.get_mut(member) else { return Order::Next };
        match number {
            0 => Order::Next,
            _ if number <= peer.last => Order::Again,
            _ => {
                let next = number == peer.last + 1;
                peer.last = number;
                if next { Order::Next } else { Order::Gap }
            }
        }
    }

    /// All members that are known.
    pub(crate) fn known(&self) -> Vec<Member> {
        let others = self.servers.keys().filter(|it| !self.peers.contains_key(*it));
        self.peers.keys().chain(others).cloned().collect()
    }

    /// The broker lists some members; of those that it was `asked` for the others are gone. Whoever asks for all asks
    /// for those that are [`known`](Members::known) at that moment: a list says nothing of one that has come since, and
    /// was found in another way before the list was read.
    pub(crate) fn listed(
        &mut self,
        list: Vec<Listed>,
        asked: &[Member],
        gone: Gone,
        next_peer: impl FnMut() -> PeerId,
    ) -> Vec<Change> {
        let alone = self.ready().0 <= 1;
        let mut changes = Vec::new();
        for member in asked {
            if !list.iter().any(|it| it.member == *member) {
                changes.extend(self.forget(member, gone));
            }
        }
        self.add(list, next_peer, &mut changes);
        let now = self.ready().0 <= 1;
        if now != alone {
            changes.push(Change::Alone(now));
        }
        changes
    }

    fn add(
        &mut self,
        list: Vec<Listed>,
        mut next_peer: impl FnMut() -> PeerId,
        changes: &mut Vec<Change>,
    ) {
        for Listed { member, server, client, is_over } in list {
            if is_over && !self.peers.contains_key(&member) && !self.servers.contains_key(&member) {
                continue;
            }
            let (mut hello, mut announced) = (None, None);
            match read_server(&server) {
                Ok(None) => {}
                Ok(Some((of, announcement))) => {
                    self.servers.insert(member.clone(), announcement.clone());
                    if self.watches {
                        (hello, announced) = (Some(of), Some(announcement));
                    }
                }
                Err(reason) => changes.push(Change::Unfit { server: None, reason }),
            }
            if self.serves && !client.is_empty() {
                match read_record(client) {
                    Ok((of, _)) => hello = Some(of),
                    Err(error) => {
                        let reason =
                            format!("{member} says of itself what cannot be read: {error}");
                        changes.push(Change::Unfit { server: None, reason });
                    }
                }
            }
            let Some(hello) = hello else {
                // It is no longer what it was to this node.
                if let Some(peer) = self.peers.remove(&member) {
                    self.by_id.remove(&peer.id);
                    changes.push(Gone::Left.change(peer.id));
                }
                continue;
            };
            if let Err(reason) = self.own.agrees_with(&hello) {
                let server = announced.map(Box::new);
                changes.push(Change::Unfit { server, reason });
                continue;
            }
            let peer = self.peers.entry(member.clone()).or_insert_with(|| {
                let id = next_peer();
                self.by_id.insert(id, member);
                changes.push(Change::Up(id, Box::new(hello)));
                Peer { id, announced: None, last: 0 }
            });
            if let Some(announcement) = announced
                && peer.announced.as_ref() != Some(&announcement)
            {
                peer.announced = Some(announcement.clone());
                changes.push(Change::Announced(peer.id, Box::new(announcement)));
            }
        }
    }

    /// A member is gone.
    pub(crate) fn forget(&mut self, member: &Member, gone: Gone) -> Option<Change> {
        self.servers.remove(member);
        let peer = self.peers.remove(member)?;
        self.by_id.remove(&peer.id);
        Some(gone.change(peer.id))
    }

    /// Everybody is gone, as far as can be known.
    pub(crate) fn clear(&mut self, reason: &'static str) -> Vec<Change> {
        self.servers.clear();
        self.by_id.clear();
        let peers = self.peers.drain();
        peers.map(|(_, peer)| Change::Down { peer: peer.id, reason, clean: false }).collect()
    }
}

/// A server's record follows its epoch, which the broker gave it.
fn read_server(record: &Bytes) -> Result<Option<(Hello, Announcement)>, String> {
    if record.is_empty() {
        return Ok(None);
    }
    let unreadable = |why: &str| format!("a server says of itself what cannot be read: {why}");
    let space = record.iter().position(|byte| *byte == b' ');
    let at = space.ok_or_else(|| unreadable("it has no epoch"))?;
    let epoch = std::str::from_utf8(&record[..at]).ok().and_then(|it| it.parse().ok());
    let epoch = epoch.ok_or_else(|| unreadable("its epoch is no number"))?;
    let (hello, announcement) =
        read_record(record.slice(at + 1..)).map_err(|error| unreadable(&error.to_string()))?;
    let announcement = announcement.ok_or_else(|| unreadable("it announces nothing"))?;
    Ok(Some((hello, Announcement { epoch, ..announcement })))
}

#[cfg(test)]
mod tests {
    use farcall_core::wire::NodeId;

    use super::*;
    use crate::message::record;

    fn hello(namespace: &str) -> Hello {
        Hello::new(namespace, "x")
    }

    fn server(name: &str, state: ServerState) -> Listed {
        let announcement = Announcement {
            service: "calc".into(),
            server: name.into(),
            epoch: 0,
            node: NodeId(uuid::Uuid::nil()),
            state,
            schema: "".into(),
            concurrency: 8,
            backlog: 8,
        };
        let mut own = hello("default");
        own.node = announcement.node;
        let record = record(&own, Some(&announcement));
        let server = [b"7 ", &record[..]].concat().into();
        Listed { member: Member::named(name), server, client: Bytes::new(), is_over: false }
    }

    fn client(name: &str, namespace: &str) -> Listed {
        let client = record(&hello(namespace), None);
        Listed { member: Member::named(name), server: Bytes::new(), client, is_over: false }
    }

    struct Node {
        members: Members,
        peers: u64,
    }

    impl Node {
        fn new(watches: bool, serves: bool) -> Self {
            let members = Members { watches, serves, ..Members::new(hello("default")) };
            Node { members, peers: 0 }
        }

        fn listed(&mut self, list: Vec<Listed>, asked: Option<&str>) -> Vec<Change> {
            let asked = asked.map(|it| vec![Member::named(it)]);
            let asked = asked.unwrap_or_else(|| self.members.known());
            let peers = &mut self.peers;
            self.members.listed(list, &asked, Gone::Lost, || {
                *peers += 1;
                PeerId(*peers)
            })
        }
    }

    #[test]
    fn a_watcher_sees_servers_and_what_they_announce() {
        let mut node = Node::new(true, false);
        let up = node.listed(vec![server("a", ServerState::Ready), client("c", "default")], None);
        let [Change::Up(one, _), Change::Announced(two, announced)] = &up[..] else {
            panic!("{up:?}")
        };
        assert_eq!((one, two, announced.epoch), (&PeerId(1), &PeerId(1), 7));
        assert!(node.listed(vec![server("a", ServerState::Ready)], Some("a")).is_empty());
        let drains = node.listed(vec![server("a", ServerState::Draining)], Some("a"));
        assert!(matches!(&drains[..], [Change::Announced(PeerId(1), _)]), "{drains:?}");
        assert_eq!(node.members.ready().0, 0);
        let down = node.listed(vec![], None);
        assert!(matches!(&down[..], [Change::Down { clean: false, .. }]), "{down:?}");
        assert_eq!(node.members.member(PeerId(1)), None);
    }

    #[test]
    fn a_server_sees_clients_and_counts_servers() {
        let mut node = Node::new(false, true);
        let up = node.listed(vec![server("a", ServerState::Ready), client("c", "default")], None);
        assert!(matches!(&up[..], [Change::Up(..)]), "{up:?}");
        let more = node.listed(vec![server("b", ServerState::Ready)], Some("b"));
        assert_eq!(more, [Change::Alone(false)]);
        assert_eq!(node.members.ready(), (2, 8));
        assert_eq!(node.listed(vec![], Some("a")), [Change::Alone(true)]);
    }

    #[test]
    fn who_was_found_since_the_look_began_stays() {
        let mut node = Node::new(true, true);
        node.listed(vec![server("a", ServerState::Ready), client("c", "default")], None);
        let asked = node.members.known();
        // While the answer waits for the inbox to be read, what lies there leads to others.
        node.listed(vec![server("b", ServerState::Ready)], Some("b"));
        node.listed(vec![client("d", "default")], Some("d"));
        let list = vec![server("a", ServerState::Ready)];
        let changes = node.members.listed(list, &asked, Gone::Lost, || PeerId(9));
        assert_eq!(changes, [Gone::Lost.change(PeerId(2))], "the client that is gone");
        assert_eq!(node.members.ready().0, 2);
        assert!(node.members.peer(&Member::named("d")).is_some());
    }

    #[test]
    fn who_does_not_agree_is_no_peer() {
        let mut node = Node::new(false, true);
        let unfit = node.listed(vec![client("c", "other")], None);
        assert!(matches!(&unfit[..], [Change::Unfit { .. }]), "{unfit:?}");
        let garbage = Listed {
            member: Member::named("g"),
            server: Bytes::from_static(b"garbage"),
            client: Bytes::from_static(b"garbage"),
            is_over: false,
        };
        assert_eq!(node.listed(vec![garbage], None).len(), 2);
        assert_eq!(node.members.peer(&Member::named("g")), None);
    }

    #[test]
    fn a_gap_in_the_messages_of_a_peer_is_seen() {
        let mut node = Node::new(false, true);
        node.listed(vec![client("c", "default")], None);
        let member = Member::named("c");
        let mut message = |number| node.members.message(&member, number);
        assert_eq!([message(1), message(2), message(0)], [Order::Next; 3]);
        assert_eq!((message(2), message(4), message(5)), (Order::Again, Order::Gap, Order::Next));
    }
}
