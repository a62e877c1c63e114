//! The calls that a server has taken and not answered: pure bookkeeping.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::admission::{Admission, Admitted, Lane, Ticket};
use super::replies::ReplyTo;
use super::services::Method;
use super::sessions::{Running, Sessions, Stage};
use super::watch::Watch;
use crate::deadlines::Deadlines;
use crate::peer::PeerInfo;
use crate::stream::{Allowance, CallKey};
use crate::transport::{PeerId, Receipt};
use crate::wire::CallFrame;

/// Every call that is here, who sent it, and what it waits for.
///
/// ```text
///            admitted                     handler done, cancel,
///   arrived ──────────> running ────────> deadline, peer gone ──> ended
///      │  │                ▲
///      │  └──> waiting ────┘ its turn
///      │          ├── cancel, deadline, peer gone ──────────────> ended
///      │          └── others have room, drain ──────────────────> put back
///      └── busy ────────────────────────────────────────────────> refused
/// ```
///
/// What came from a queue that keeps it has a receipt, which goes with the call: to run, to wait, and
/// out of here.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) sessions: Sessions,
    /// One for each service, in the order of their places.
    desks: Vec<Admission<Waiting>>,
    deadlines: Deadlines<CallKey>,
    /// How many bytes of parameters may wait, and how many do.
    room: usize,
    bytes: usize,
}

/// A call that waits for its turn, or has it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) caller: Rc<PeerInfo>,
    pub(super) method: Method,
    pub(super) call: Box<CallFrame>,
    pub(super) deadline: Instant,
    /// Whoever listens, to be told how the call ends.
    pub(super) watch: Option<Box<Watch>>,
    /// Of the queue that it came from, if that keeps it.
    pub(super) receipt: Option<Receipt>,
}

/// A call that was taken out before its handler was done.
#[derive(Debug)]
pub(super) enum Taken {
    Waiting(Waiting),
    Running(Running),
}

/// What became of a call that came.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It is to run now.
    Run(Waiting),
    /// It waits, if need be instead of another, which is refused now.
    Waits { instead_of: Option<Waiting> },
    /// It is refused, and so is one that was to make room for it.
    Busy(Waiting, Option<Waiting>),
}

/// Parameters below this are copied when their call has to wait.
const COMPACT_BELOW: usize = 4096;

impl Waiting {
    pub(super) fn key(&self) -> CallKey {
        (self.caller.peer, self.call.id)
    }

    pub(super) fn lane(&self) -> Lane {
        Lane::new(self.call.is_nested())
    }

    /// How its caller is told that it has ended, which is done once: this takes what is owed.
    pub(super) fn reply_to(&mut self) -> ReplyTo {
        let one_way = self.call.is_one_way();
        let (watch, receipt) = (self.watch.take(), self.receipt.take());
        ReplyTo { one_way, streams: self.method.streams, watch, receipt }
    }

    /// Readies a call for waiting: a small one is not to keep the large buffer alive in which it
    /// came.
    fn compact(mut self) -> Self {
        let call = &mut self.call;
        if call.params.len() < COMPACT_BELOW {
            call.params = Bytes::copy_from_slice(&call.params);
        }
        self
    }
}

impl Taken {
    /// How its caller is told that it has ended.
    pub(super) fn reply_to(&mut self) -> ReplyTo {
        match self {
            Taken::Waiting(waiting) => waiting.reply_to(),
            Taken::Running(running) => running.reply_to(),
        }
    }

    /// What is still owed to the queue it came from.
    pub(super) fn take_receipt(&mut self) -> Option<Receipt> {
        match self {
            Taken::Waiting(waiting) => waiting.receipt.take(),
            Taken::Running(running) => running.receipt.take(),
        }
    }
}

impl Calls {
    /// With room for so many bytes of parameters to wait.
    pub(super) fn new(room: usize) -> Self {
        Calls { room, ..Calls::default() }
    }

    /// One more service is served.
    pub(super) fn serve(&mut self, concurrency: usize, backlog: usize) {
        self.desks.push(Admission::new(concurrency, backlog));
    }

    /// How many calls run and how many wait at a service.
    pub(super) fn load(&self, service: usize) -> (usize, usize) {
        (self.desks[service].running(), self.desks[service].waiting())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.desks.iter().all(|desk| desk.running() == 0 && desk.waiting() == 0)
    }

    /// When a call that is refused is worth trying again.
    pub(super) fn retry_after(&self, service: usize, now: Instant) -> Duration {
        self.desks[service].retry_after(now)
    }

    /// A call has come for the service in this place.
    pub(super) fn arrive(&mut self, service: usize, call: Waiting, now: Instant) -> Arrival {
        let (key, lane) = (call.key(), call.lane());
        match self.desks[service].admit(key.0, lane, now) {
            Admitted::Run => Arrival::Run(call),
            Admitted::Busy => Arrival::Busy(call, None),
            Admitted::Wait { instead_of } => {
                if let Some(other) = &instead_of {
                    self.sessions.take(other.key());
                    self.leaves(other);
                }
                if !self.waits(&call) {
                    return Arrival::Busy(call, instead_of);
                }
                self.watch(key, call.deadline);
                let ticket = self.desks[service].wait(key.0, lane, call.compact());
                self.sessions.put(key, Stage::Waiting { service, ticket });
                Arrival::Waits { instead_of }
            }
        }
    }

    /// Takes a place to run in, if there is one for this lane. It is given back by [`next`](Calls::next).
    pub(super) fn reserve(&mut self, service: usize, lane: Lane) -> bool {
        self.desks[service].reserve(lane)
    }

    /// Counts the bytes of a call that is to wait, if there is room for them: a peer may have as many
    /// as nobody has. So one that fills its share leaves half to the others, and each of them finds
    /// some left, however many there are. (The scheme is that of dynamic thresholds for shared
    /// buffers, Choudhury and Hahne 1998.)
    fn waits(&mut self, call: &Waiting) -> bool {
        let size = call.call.params.len();
        let Some(session) = self.sessions.get_mut(call.caller.peer) else { return false };
        let free = self.room.saturating_sub(self.bytes);
        // Small ones are bounded by their number.
        if size >= COMPACT_BELOW && session.waiting_bytes + size > free {
            return false;
        }
        session.waiting_bytes += size;
        self.bytes += size;
        true
    }

    /// A call waits no longer.
    fn leaves(&mut self, call: &Waiting) {
        let size = call.call.params.len();
        self.bytes -= size;
        if let Some(session) = self.sessions.get_mut(call.caller.peer) {
            session.waiting_bytes -= size;
        }
    }

    /// A handler that was let run has become a task.
    pub(super) fn started(&mut self, key: CallKey, running: Running, deadline: Instant) {
        self.watch(key, deadline);
        self.sessions.put(key, Stage::Running(running));
    }

    fn watch(&mut self, key: CallKey, deadline: Instant) {
        let sessions = &self.sessions;
        let live = self.desks.iter().map(|it| it.running() + it.waiting());
        self.deadlines.add(deadline, key, live.sum(), |_, key| sessions.has(*key));
    }

    /// A handler that was let run is done, or has been ended: the call whose turn it is now. It may
    /// have come too late, which the caller of this looks at.
    pub(super) fn next(&mut self, service: usize, lane: Lane) -> Option<Waiting> {
        let next = self.desks[service].finished(lane)?;
        // It has a session: with that it would have left the backlog.
        self.sessions.take(next.key());
        self.leaves(&next);
        Some(next)
    }

    /// Takes out what waits at a service and can be put back into the queue it came from, oldest first.
    pub(super) fn give_back(&mut self, service: usize) -> Vec<Waiting> {
        let given = self.desks[service].take_if(|waiting| waiting.receipt.is_some());
        for waiting in &given {
            self.sessions.take(waiting.key());
            self.leaves(waiting);
        }
        given
    }

    /// A caller grants a call that waits more credit for its results. `false` if it may not.
    pub(super) fn grant(&mut self, service: usize, ticket: Ticket, bytes: u64) -> bool {
        let waiting = self.desks[service].get_mut(ticket);
        let options = waiting.and_then(|waiting| waiting.call.options.as_mut());
        let Some(options) = options.filter(|options| options.credit > 0) else { return false };
        let mut credit = Allowance::new(options.credit);
        options.credit = options.credit.saturating_add(bytes);
        credit.grant(bytes)
    }

    /// Takes a call out, wherever it stands.
    pub(super) fn take(&mut self, key: CallKey) -> Option<Taken> {
        let stage = self.sessions.take(key)?;
        self.taken(stage)
    }

    /// A call that waits is in its session and in the backlog, until it is taken out of both.
    fn taken(&mut self, stage: Stage) -> Option<Taken> {
        match stage {
            Stage::Waiting { service, ticket } => {
                let waiting = self.desks[service].remove(ticket)?;
                self.leaves(&waiting);
                Some(Taken::Waiting(waiting))
            }
            Stage::Running(running) => Some(Taken::Running(running)),
        }
    }

    /// Takes out a call whose handler is a task.
    pub(super) fn take_running(&mut self, key: CallKey) -> Option<Running> {
        self.sessions.take_running(key)
    }

    /// Takes out a call whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(CallKey, Taken)> {
        while let Some(key) = self.deadlines.pop_due(now) {
            if let Some(taken) = self.take(key) {
                return Some((key, taken));
            }
        }
        None
    }

    /// The session is over: takes its calls out.
    pub(super) fn peer_down(&mut self, peer: PeerId) -> Vec<Taken> {
        let calls = self.sessions.peer_down(peer);
        calls.into_iter().filter_map(|(_, stage)| self.taken(stage)).collect()
    }

    /// The same at every service.
    pub(super) fn give_back_all(&mut self) -> Vec<Waiting> {
        (0..self.desks.len()).flat_map(|service| self.give_back(service)).collect()
    }

    /// Takes every call out.
    pub(super) fn take_all(&mut self) -> Vec<(CallKey, Taken)> {
        (0..self.desks.len()).flat_map(|service| self.take_service(service)).collect()
    }

    /// Takes every call of a service out.
    pub(super) fn take_service(&mut self, service: usize) -> Vec<(CallKey, Taken)> {
        let waiting: Vec<Waiting> = self.desks[service].clear().collect();
        let mut taken = Vec::new();
        for waiting in waiting {
            self.leaves(&waiting);
            taken.push((waiting.key(), Taken::Waiting(waiting)));
        }
        let of_it = |stage: &Stage| match stage {
            Stage::Waiting { service: at, .. } => *at == service,
            Stage::Running(running) => running.service == service,
        };
        for (key, stage) in self.sessions.extract(of_it) {
            // Those that waited were taken above.
            if let Stage::Running(running) = stage {
                self.desks[service].finished(running.lane);
                taken.push((key, Taken::Running(running)));
            }
        }
        taken
    }

    /// When `take_due` is to be called next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::services::methods;
    use crate::service::{Descriptor, MethodDescriptor};
    use crate::wire::{CallId, NodeId};

    const MIB: usize = 1024 * 1024;

    /// One service whose only place is taken, and room for 16 MiB to wait.
    struct Server {
        calls: Calls,
        now: Instant,
        next: u64,
        /// Of the next call.
        receipt: Option<Receipt>,
    }

    impl Server {
        fn new(peers: u64) -> Self {
            let mut calls = Calls::new(16 * MIB);
            calls.serve(1, 100);
            let mut server = Server { calls, now: Instant::now(), next: 0, receipt: None };
            for peer in 0..peers {
                let (identity, node) = (format!("p{peer}").into(), NodeId::generate());
                let (peer, credentials) = (PeerId(peer), crate::transport::Credentials::default());
                let info = crate::peer::PeerInfo { identity, node, peer, credentials };
                server.calls.sessions.peer_up(info, usize::MAX);
            }
            assert!(matches!(server.arrive(0, 1), Arrival::Run(_)));
            server
        }

        fn arrive(&mut self, peer: u64, size: usize) -> Arrival {
            self.next += 1;
            let method = MethodDescriptor { name: "m".into(), ..MethodDescriptor::default() };
            let descriptor = Descriptor { methods: vec![method], ..Descriptor::default() };
            let session = self.calls.sessions.get(PeerId(peer)).expect("it is up");
            let call = Waiting {
                caller: Rc::clone(&session.caller),
                method: methods(&descriptor)["m"],
                call: Box::new(CallFrame {
                    id: CallId(self.next),
                    low: CallId(self.next),
                    time_left: Duration::from_secs(1),
                    service: "s".into(),
                    method: "m".into(),
                    options: None,
                    params: vec![0; size].into(),
                }),
                deadline: self.now + Duration::from_secs(1),
                watch: None,
                receipt: self.receipt,
            };
            self.calls.arrive(0, call, self.now)
        }

        /// How many calls of this size a peer gets to wait.
        fn fill(&mut self, peer: u64, size: usize) -> usize {
            (0..50).take_while(|_| matches!(self.arrive(peer, size), Arrival::Waits { .. })).count()
        }
    }

    #[test]
    fn who_fills_his_share_of_bytes_leaves_some_to_others() {
        let mut server = Server::new(3);
        assert_eq!(server.fill(0, MIB), 8, "as many as are free");
        assert_eq!(server.fill(1, MIB), 4);
        assert_eq!(server.fill(2, MIB), 2);
        assert!(matches!(server.arrive(0, 100), Arrival::Waits { .. }), "small ones are counted");
    }

    #[test]
    fn what_waits_no_longer_takes_no_room() {
        let leave: [fn(&mut Calls); 4] = [
            |calls| drop(calls.take_all()),
            |calls| while calls.next(0, Lane::Plain).is_some() {},
            |calls| drop(calls.peer_down(PeerId(0))),
            |calls| drop(calls.give_back(0)),
        ];
        for (way, leave) in leave.into_iter().enumerate() {
            let mut server = Server::new(1);
            server.receipt = Some(Receipt(1));
            assert_eq!(server.fill(0, MIB), 8);
            leave(&mut server.calls);
            assert_eq!(server.calls.bytes, 0, "way {way}");
        }
    }

    #[test]
    fn what_can_be_put_back_is_given_oldest_first_and_the_rest_stays() {
        let mut server = Server::new(2);
        for (peer, receipt) in [(0, Some(1)), (1, Some(2)), (0, None), (1, None), (0, Some(3))] {
            server.receipt = receipt.map(Receipt);
            assert!(matches!(server.arrive(peer, 1), Arrival::Waits { .. }));
        }
        let given = server.calls.give_back(0);
        let receipts: Vec<_> = given.iter().map(|call| call.receipt.unwrap().0).collect();
        assert_eq!(receipts, [1, 2, 3]);
        assert!(given.iter().all(|call| !server.calls.sessions.has(call.key())));
        assert_eq!(server.calls.load(0), (1, 2));
        let left: Vec<u64> = std::iter::from_fn(|| server.calls.next(0, Lane::Plain))
            .map(|call| call.caller.peer.0)
            .collect();
        assert_eq!(left, [0, 1]);
        assert!(server.calls.give_back_all().is_empty());
    }

    #[test]
    fn a_receipt_leaves_with_its_call() {
        let mut server = Server::new(1);
        server.receipt = Some(Receipt(7));
        assert!(matches!(server.arrive(0, 1), Arrival::Waits { .. }));
        let mut taken = server.calls.take((PeerId(0), CallId(server.next))).unwrap();
        assert_eq!(taken.reply_to().receipt, Some(Receipt(7)));
        assert_eq!(taken.take_receipt(), None, "it is owed once");
        assert!(matches!(server.arrive(0, 1), Arrival::Waits { .. }));
        let all = server.calls.take_service(0);
        assert_eq!(all.into_iter().filter_map(|(_, mut it)| it.take_receipt()).count(), 1);
        assert!(!server.calls.sessions.has((PeerId(0), CallId(server.next))));
    }
}
