//! Who serves what, and which server gets the next call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use compact_str::CompactString;

use crate::event::{Event, ServerInfo};
use crate::schema::ServiceSchema;
use crate::table::Table;
use crate::transport::PeerId;
use crate::wire::{Announcement, CallId, ServerState};

/// The services this node calls, and their servers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    index: Table<CompactString, ServiceIndex>,
    services: Vec<ServiceRoutes>,
    /// Announcements of services nobody called here are taken too.
    pub(crate) everything: bool,
}

/// A service's place in the table, which it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServiceIndex(usize);

/// The most services that announcements alone may add to the table.
const MAX_ANNOUNCED: usize = 10_000;

#[derive(Debug)]
struct ServiceRoutes {
    servers: Vec<Route>,
    /// Where the search for the least loaded server begins, so that equals take turns.
    turn: usize,
    /// Calls that wait for a server, oldest first; some may have ended meanwhile.
    waiting: VecDeque<CallId>,
    /// A typed client's schema that all ready servers have, of which there is one.
    agreed: Option<&'static ServiceSchema>,
    /// Why its servers cannot be looked for.
    failure: Option<String>,
    /// How full its shared queue was when that was told last.
    depth: Option<Depth>,
}

/// How full the shared queue of a service is.
#[derive(Debug)]
struct Depth {
    told: Instant,
    /// Calls that no server has taken yet.
    waiting: u64,
    /// Calls that servers have taken and not settled, by the server's id.
    pending: Vec<(CompactString, u64)>,
}

/// What lists tell of a shared queue is not older than this.
const FRESH: Duration = Duration::from_secs(1);

/// A server of a service.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) peer: PeerId,
    pub(crate) announcement: Announcement,
    in_flight: usize,
    /// A typed client's schema whose hash is the announced one.
    agrees: Option<&'static ServiceSchema>,
}

impl Route {
    /// Whether the server has the same types as this client. Once it was found to, that is one
    /// comparison of addresses.
    pub(crate) fn agrees(&mut self, schema: &'static ServiceSchema) -> bool {
        if self.agrees.is_some_and(|agrees| std::ptr::eq(agrees, schema)) {
            return true;
        }
        let equal = self.announcement.schema == schema.hash();
        if equal {
            self.agrees = Some(schema);
        }
        equal
    }
}

impl ServiceRoutes {
    fn list(&self) -> impl Iterator<Item = ServerInfo> {
        self.servers.iter().map(|route| {
            let mut info = ServerInfo::new(route.peer, &route.announcement, route.in_flight);
            if let Some(depth) = &self.depth {
                let mut pending = depth.pending.iter();
                let own = pending.find(|(server, _)| *server == info.server);
                info.pending = Some(own.map_or(0, |(_, pending)| *pending));
                info.lag = Some(depth.waiting);
            }
            info
        })
    }
}

impl Routes {
    /// The service of this name; `true` if it is new, and to be watched.
    #[inline]
    pub(crate) fn service(&mut self, name: &CompactString) -> (ServiceIndex, bool) {
        if let Some(index) = self.index.get(name) {
            return (*index, false);
        }
        (self.insert(name.clone()), true)
    }

    fn insert(&mut self, name: CompactString) -> ServiceIndex {
        let index = ServiceIndex(self.services.len());
        self.services.push(ServiceRoutes {
            servers: Vec::new(),
            turn: 0,
            waiting: VecDeque::new(),
            agreed: None,
            failure: None,
            depth: None,
        });
        self.index.insert(name, index);
        index
    }

    /// The ready server with the fewest calls in flight, and one call more for it. Equals take
    /// turns. `avoid` is taken only if there is no other.
    pub(crate) fn pick(&mut self, index: ServiceIndex, avoid: Option<PeerId>) -> Option<PeerId> {
        self.pick_where(index, avoid, |_| true)
    }

    /// As [`pick`](Routes::pick), of those servers that `may` have the call.
    pub(crate) fn pick_where(
        &mut self,
        index: ServiceIndex,
        avoid: Option<PeerId>,
        mut may: impl FnMut(&mut Route) -> bool,
    ) -> Option<PeerId> {
        let service = &mut self.services[index.0];
        let count = service.servers.len();
        let mut best: Option<(usize, (bool, usize))> = None;
        for step in 0..count {
            let at = (service.turn + step) % count;
            let route = &mut service.servers[at];
            let load = (avoid == Some(route.peer), route.in_flight);
            if route.announcement.state == ServerState::Ready
                && best.is_none_or(|(_, least)| load < least)
                && may(route)
            {
                best = Some((at, load));
            }
        }
        let (at, _) = best?;
        service.turn = at + 1;
        service.servers[at].in_flight += 1;
        Some(service.servers[at].peer)
    }

    /// Whether a server of this service takes calls.
    pub(crate) fn has_ready(&self, index: ServiceIndex) -> bool {
        let mut servers = self.services[index.0].servers.iter();
        servers.any(|it| it.announcement.state == ServerState::Ready)
    }

    /// Whether there are ready servers, and all of them have the schema that is expected, if one is.
    #[inline]
    pub(crate) fn agree(
        &mut self,
        index: ServiceIndex,
        expects: Option<&'static ServiceSchema>,
    ) -> bool {
        let Some(expects) = expects else { return self.has_ready(index) };
        if self.services[index.0].agreed.is_some_and(|agreed| std::ptr::eq(agreed, expects)) {
            return true;
        }
        let agree = self.all_ready(index, |route| route.agrees(expects));
        if agree {
            self.services[index.0].agreed = Some(expects);
        }
        agree
    }

    /// Whether there are ready servers, and all of them `may` have a call.
    pub(crate) fn all_ready(
        &mut self,
        index: ServiceIndex,
        mut may: impl FnMut(&mut Route) -> bool,
    ) -> bool {
        let mut some = false;
        for route in &mut self.services[index.0].servers {
            if route.announcement.state == ServerState::Ready {
                some = true;
                if !may(route) {
                    return false;
                }
            }
        }
        some
    }

    /// A server has taken a call that was given to none.
    pub(crate) fn took(&mut self, index: ServiceIndex, peer: PeerId) {
        let servers = &mut self.services[index.0].servers;
        if let Some(route) = servers.iter_mut().find(|route| route.peer == peer) {
            route.in_flight += 1;
        }
    }

    /// Whether a server of this service other than this one takes calls.
    pub(crate) fn has_ready_besides(&self, index: ServiceIndex, than: PeerId) -> bool {
        let mut servers = self.services[index.0].servers.iter();
        servers.any(|it| it.peer != than && it.announcement.state == ServerState::Ready)
    }

    /// One call fewer at this server.
    pub(crate) fn release(&mut self, index: ServiceIndex, peer: PeerId) {
        let servers = &mut self.services[index.0].servers;
        if let Some(route) = servers.iter_mut().find(|route| route.peer == peer) {
            route.in_flight = route.in_flight.saturating_sub(1);
        }
    }

    /// Whether calls wait for a server of this service.
    pub(crate) fn has_waiting(&self, index: ServiceIndex) -> bool {
        !self.services[index.0].waiting.is_empty()
    }

    /// A call waits for a server. Of those that have ended meanwhile only some are kept: `live` is how
    /// many calls there are at all, and `is_live` whether this is one of them.
    pub(crate) fn wait(
        &mut self,
        index: ServiceIndex,
        id: CallId,
        live: usize,
        is_live: impl Fn(CallId) -> bool,
    ) {
        let waiting = &mut self.services[index.0].waiting;
        if waiting.len() > 2 * live + 256 {
            waiting.retain(|id| is_live(*id));
        }
        waiting.push_back(id);
    }

    /// All calls that wait for a server of this service, oldest first.
    pub(crate) fn take_waiting(&mut self, index: ServiceIndex) -> VecDeque<CallId> {
        std::mem::take(&mut self.services[index.0].waiting)
    }

    /// A server says what it is. Gives the service, if it has a server more, and what to tell.
    pub(crate) fn announced(
        &mut self,
        peer: PeerId,
        announcement: Announcement,
    ) -> (Option<ServiceIndex>, Option<Event>) {
        let index = match self.index.get(&announcement.service) {
            Some(index) => *index,
            None if self.everything && self.services.len() < MAX_ANNOUNCED => {
                self.insert(announcement.service.clone())
            }
            None => return (None, None),
        };
        let service = &mut self.services[index.0];
        service.agreed = None;
        // Whoever says what it is has been found.
        service.failure = None;
        let servers = &mut service.servers;
        let known = servers.iter().position(|route| route.peer == peer);
        match (known, announcement.state) {
            (Some(at), ServerState::Gone) => {
                let route = servers.swap_remove(at);
                let server = ServerInfo::new(peer, &route.announcement, route.in_flight);
                let reason = "it stopped serving".to_owned();
                (None, Some(Event::ServerDown { server, reason }))
            }
            (None, ServerState::Gone) => (None, None),
            (Some(at), state) => {
                servers[at].agrees = None;
                let before = std::mem::replace(&mut servers[at].announcement, announcement).state;
                let route = &servers[at];
                let server = ServerInfo::new(peer, &route.announcement, route.in_flight);
                match (before, state) {
                    (ServerState::Ready, ServerState::Draining) => {
                        (None, Some(Event::ServerDraining(server)))
                    }
                    (ServerState::Draining, ServerState::Ready) => {
                        (Some(index), Some(Event::ServerUp(server)))
                    }
                    _ => (None, None),
                }
            }
            (None, state) => {
                let server = ServerInfo::new(peer, &announcement, 0);
                servers.push(Route { peer, announcement, in_flight: 0, agrees: None });
                let ready = (state == ServerState::Ready).then_some(index);
                (ready, Some(Event::ServerUp(server)))
            }
        }
    }

    /// A server has refused a call because it is about to stop: no more for it.
    pub(crate) fn draining(&mut self, index: ServiceIndex, peer: PeerId) {
        let servers = &mut self.services[index.0].servers;
        if let Some(route) = servers.iter_mut().find(|route| route.peer == peer) {
            route.announcement.state = ServerState::Draining;
            self.services[index.0].agreed = None;
        }
    }

    /// A peer is gone, and with it all servers that were reached through it.
    pub(crate) fn peer_down(&mut self, peer: PeerId, reason: &str, events: &mut Vec<Event>) {
        for service in &mut self.services {
            while let Some(at) = service.servers.iter().position(|route| route.peer == peer) {
                let route = service.servers.swap_remove(at);
                service.agreed = None;
                let server = ServerInfo::new(peer, &route.announcement, route.in_flight);
                events.push(Event::ServerDown { server, reason: reason.to_owned() });
            }
        }
    }

    /// The id of the server of this service that is reached through `peer`.
    pub(crate) fn server_at(&self, index: ServiceIndex, peer: PeerId) -> Option<&CompactString> {
        let servers = &self.services[index.0].servers;
        servers.iter().find(|route| route.peer == peer).map(|route| &route.announcement.server)
    }

    /// Servers of a service can be looked for, or not.
    pub(crate) fn watched(&mut self, service: &CompactString, failure: Option<String>) {
        if let Some(index) = self.index.get(service) {
            self.services[index.0].failure = failure;
        }
    }

    /// Why the servers of this service cannot be looked for, if so.
    pub(crate) fn failure(&self, index: ServiceIndex) -> Option<&str> {
        self.services[index.0].failure.as_deref()
    }

    /// The transport tells how full a shared queue is.
    pub(crate) fn depth(
        &mut self,
        service: CompactString,
        waiting: u64,
        pending: Vec<(CompactString, u64)>,
        told: Instant,
    ) {
        let index = match self.index.get(&service) {
            Some(index) => *index,
            None if self.everything && self.services.len() < MAX_ANNOUNCED => self.insert(service),
            None => return,
        };
        self.services[index.0].depth = Some(Depth { told, waiting, pending });
    }

    /// Whether a list of this service's servers has something new to say of its queue.
    pub(crate) fn is_fresh(&self, service: &CompactString, now: Instant) -> bool {
        let depth = self.index.get(service).and_then(|index| self.services[index.0].depth.as_ref());
        depth.is_some_and(|depth| now.saturating_duration_since(depth.told) < FRESH)
    }

    /// The servers of one service, or of all.
    pub(crate) fn list(&self, service: Option<&CompactString>) -> Vec<ServerInfo> {
        let services: &[ServiceRoutes] = match service {
            None => &self.services,
            Some(name) => match self.index.get(name) {
                Some(index) => std::slice::from_ref(&self.services[index.0]),
                None => &[],
            },
        };
        let mut list: Vec<ServerInfo> = services.iter().flat_map(ServiceRoutes::list).collect();
        list.sort_by(|a, b| (&a.service, &a.server).cmp(&(&b.service, &b.server)));
        list
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::NodeId;

    pub(crate) fn announcement(service: &str, server: &str, state: ServerState) -> Announcement {
        Announcement {
            service: service.into(),
            server: server.into(),
            epoch: 1,
            node: NodeId::generate(),
            state,
            schema: CompactString::default(),
            concurrency: 8,
            backlog: 8,
        }
    }

    fn two_servers() -> (Routes, ServiceIndex) {
        let mut routes = Routes::default();
        let (index, new) = routes.service(&"calc".into());
        assert!(new);
        for (peer, server) in [(1, "a"), (2, "b")] {
            let (ready, _) =
                routes.announced(PeerId(peer), announcement("calc", server, ServerState::Ready));
            assert_eq!(ready, Some(index));
        }
        (routes, index)
    }

    #[test]
    fn idle_servers_take_turns() {
        let (mut routes, index) = two_servers();
        let mut picks = Vec::new();
        for _ in 0..4 {
            let peer = routes.pick(index, None).unwrap();
            routes.release(index, peer);
            picks.push(peer.0);
        }
        assert_eq!(picks, [1, 2, 1, 2]);
    }

    #[test]
    fn the_server_with_the_fewest_in_flight_is_next() {
        let (mut routes, index) = two_servers();
        for _ in 0..4 {
            routes.pick(index, None);
        }
        routes.release(index, PeerId(2));
        assert_eq!(routes.pick(index, None), Some(PeerId(2)));
    }

    #[test]
    fn draining_and_gone_servers_get_nothing() {
        let (mut routes, index) = two_servers();
        routes.announced(PeerId(1), announcement("calc", "a", ServerState::Draining));
        assert_eq!(routes.pick(index, None), Some(PeerId(2)));
        routes.announced(PeerId(2), announcement("calc", "b", ServerState::Gone));
        assert_eq!(routes.pick(index, None), None);
    }

    #[test]
    fn a_server_to_avoid_is_taken_when_it_is_the_only_one() {
        let (mut routes, index) = two_servers();
        assert_eq!(routes.pick(index, Some(PeerId(1))), Some(PeerId(2)));
        assert_eq!(routes.pick(index, Some(PeerId(1))), Some(PeerId(2)));
        routes.peer_down(PeerId(2), "", &mut Vec::new());
        assert_eq!(routes.pick(index, Some(PeerId(1))), Some(PeerId(1)));
    }

    #[test]
    fn announcements_of_services_nobody_called_are_not_kept() {
        let mut routes = Routes::default();
        routes.announced(PeerId(1), announcement("other", "a", ServerState::Ready));
        assert!(routes.list(None).is_empty());
        routes.everything = true;
        routes.announced(PeerId(1), announcement("other", "a", ServerState::Ready));
        assert_eq!(routes.list(None).len(), 1);
    }
}
