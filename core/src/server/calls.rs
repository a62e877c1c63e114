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
use crate::transport::PeerId;
use crate::wire::CallFrame;

/// Every call that is here, who sent it, and what it waits for.
///
/// ```text
///            admitted                     handler done, cancel,
///   arrived ──────────> running ────────> deadline, peer gone ──> ended
///      │  │                ▲
///      │  └──> waiting ────┘ its turn
///      │          └── cancel, deadline, peer gone ──────────────> ended
///      └── busy ────────────────────────────────────────────────> refused
/// ```
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) sessions: Sessions,
    /// One for each service, in the order of their places.
    desks: Vec<Admission<Waiting>>,
    deadlines: Deadlines<CallKey>,
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
    /// It is refused.
    Busy(Waiting),
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

    /// How its caller is told that it has ended.
    pub(super) fn reply_to(&mut self) -> ReplyTo {
        let one_way = self.call.is_one_way();
        ReplyTo { one_way, streams: self.method.streams, watch: self.watch.take() }
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

impl Calls {
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
            Admitted::Busy => Arrival::Busy(call),
            Admitted::Wait { instead_of } => {
                // One whose client is gone hears of nothing.
                let instead_of = instead_of.filter(|it| self.sessions.take(it.key()).is_some());
                self.watch(key, call.deadline);
                let ticket = self.desks[service].wait(key.0, lane, call.compact());
                self.sessions.put(key, Stage::Waiting { service, ticket });
                Arrival::Waits { instead_of }
            }
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
    pub(super) fn next(&mut self, service: usize, mut lane: Lane) -> Option<Waiting> {
        loop {
            let next = self.desks[service].finished(lane)?;
            lane = next.lane();
            // One whose client is gone has no turn.
            if self.sessions.take(next.key()).is_some() {
                return Some(next);
            }
        }
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
                self.desks[service].remove(ticket).map(Taken::Waiting)
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

    /// Takes every call out.
    pub(super) fn take_all(&mut self) -> Vec<(CallKey, Taken)> {
        let waiting: Vec<Waiting> = self.desks.iter_mut().flat_map(Admission::clear).collect();
        let mut taken = Vec::new();
        for waiting in waiting {
            taken.push((waiting.key(), Taken::Waiting(waiting)));
        }
        for (key, stage) in self.sessions.drain_calls() {
            // Those that waited were taken above.
            if let Stage::Running(running) = stage {
                self.desks[running.service].finished(running.lane);
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
