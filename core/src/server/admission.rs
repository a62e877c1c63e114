//! How many calls run and how many wait: pure decisions for one service.

mod pace;
mod turns;

use std::time::{Duration, Instant};

use pace::Pace;
use turns::Turns;

use crate::transport::PeerId;

/// Admits calls to one server, fairly between its peers.
///
/// - `concurrency` calls run and `backlog` wait. A call that finds both full is refused, or one of a
///   peer that has more waiting is: the *newest of the greediest*, if that peer has two more waiting
///   than the newcomer's. So a peer is refused only when none has two more than itself, and each such
///   step brings them closer together. What runs is left alone.
/// - Places go round the peers that wait, see [`Turns`].
/// - Calls made by handlers, *nested* ones, have a lane and a few places of their own: an eighth of
///   `concurrency`, one at least, to run in and as many to wait in. Servers that are full of handlers
///   which wait for calls to each other still get those through. They use these places first, and
///   what is beyond counts as plain. A place that both lanes may have they get in turn. Nested calls
///   that wait for nested calls in their turn can fill the reserve; then their deadlines end it.
///
/// ```text
///             a place is free
///   arrives ───────────────────> running ──────────> ended
///      │ room in the backlog,       ^ its turn
///      │ or a greedier peer's call  │
///      │ makes room                 │
///      ├───────────────────────> waiting ──────────> refused (displaced), removed
///      │ neither
///      └──────────────────────────────────────────> refused
/// ```
///
/// A call that finds a place costs a comparison and a few additions.
#[derive(Debug)]
pub(crate) struct Admission<T> {
    running: Places,
    backlog: usize,
    plain: Turns<T>,
    nested: Turns<T>,
    /// The lane that had the last place which both might have had.
    last: Lane,
    /// The number of the last call that began to wait.
    number: u64,
    pace: Pace,
}

/// Which way a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A call of a program.
    Plain,
    /// A call made by a handler.
    Nested,
}

impl Lane {
    pub(crate) fn new(nested: bool) -> Self {
        if nested { Lane::Nested } else { Lane::Plain }
    }
}

/// What is to be done with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted<T> {
    /// It runs now.
    Run,
    /// It is to [`wait`](Admission::wait) for its turn, if need be instead of this call, which is
    /// refused as if it had come now.
    Wait { instead_of: Option<T> },
    /// Too much runs and waits already.
    Busy,
}

/// Where a waiting call is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    lane: Lane,
    peer: PeerId,
    number: u64,
}

/// Calls of both lanes, and how many there may be.
#[derive(Clone, Copy, Debug)]
struct Places {
    limit: usize,
    /// How many nested ones do not count.
    reserve: usize,
    plain: usize,
    nested: usize,
}

impl Places {
    fn has_room(&self, lane: Lane) -> bool {
        self.plain + self.nested.saturating_sub(self.reserve) < self.limit
            || (lane == Lane::Nested && self.nested < self.reserve)
    }

    fn of(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Plain => &mut self.plain,
            Lane::Nested => &mut self.nested,
        }
    }
}

impl<T> Admission<T> {
    pub(crate) fn new(concurrency: usize, backlog: usize) -> Self {
        let reserve = (concurrency / 8).max(1);
        Admission {
            running: Places { limit: concurrency, reserve, plain: 0, nested: 0 },
            backlog,
            plain: Turns::new(),
            nested: Turns::new(),
            last: Lane::Nested,
            number: 0,
            pace: Pace::default(),
        }
    }

    /// A call has come. One that may run is counted as running from here on.
    pub(crate) fn admit(&mut self, peer: PeerId, lane: Lane, now: Instant) -> Admitted<T> {
        // No call waits for a place that its lane may have, so none is overtaken.
        if self.running.has_room(lane) {
            *self.running.of(lane) += 1;
            return Admitted::Run;
        }
        self.pace.full(now);
        if self.places_to_wait().has_room(lane) {
            return Admitted::Wait { instead_of: None };
        }
        match self.displace(peer, lane) {
            Some(call) => Admitted::Wait { instead_of: Some(call) },
            None => Admitted::Busy,
        }
    }

    /// Takes a place without waiting for one.
    pub(crate) fn reserve(&mut self, lane: Lane) -> bool {
        let has_room = self.running.has_room(lane);
        *self.running.of(lane) += usize::from(has_room);
        has_room
    }

    /// A call that was admitted to wait.
    pub(crate) fn wait(&mut self, peer: PeerId, lane: Lane, call: T) -> Ticket {
        self.number += 1;
        let number = self.number;
        self.lane(lane).push(peer, number, call);
        Ticket { lane, peer, number }
    }

    /// When a refused caller had better try again.
    pub(crate) fn retry_after(&self, now: Instant) -> Duration {
        self.pace.retry_after(self.waiting(), now)
    }

    /// A call of this lane has ended: the next may run in its place.
    pub(crate) fn finished(&mut self, lane: Lane) -> Option<T> {
        *self.running.of(lane) -= 1;
        let rested = self.waiting() == 0;
        self.pace.ended(rested);
        if rested { None } else { self.next() }
    }

    /// Takes a waiting call out: its caller has lost interest.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.lane(ticket.lane).remove(ticket.peer, ticket.number)
    }

    /// A call that waits.
    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.lane(ticket.lane).get_mut(ticket.peer, ticket.number)
    }

    /// Takes out the waiting calls that are `wanted`, oldest first.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = self.plain.take_if(&wanted);
        taken.extend(self.nested.take_if(wanted));
        taken.sort_unstable_by_key(|(number, _)| *number);
        taken.into_iter().map(|(_, call)| call).collect()
    }

    /// Takes all waiting calls out.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.plain.clear().chain(self.nested.clear())
    }

    pub(crate) fn running(&self) -> usize {
        self.running.plain + self.running.nested
    }

    pub(crate) fn waiting(&self) -> usize {
        self.plain.len() + self.nested.len()
    }

    fn lane(&mut self, lane: Lane) -> &mut Turns<T> {
        match lane {
            Lane::Plain => &mut self.plain,
            Lane::Nested => &mut self.nested,
        }
    }

    fn places_to_wait(&self) -> Places {
        let (plain, nested) = (self.plain.len(), self.nested.len());
        Places { limit: self.backlog, plain, nested, ..self.running }
    }

    fn next(&mut self) -> Option<T> {
        let may = |lane, waiting| waiting > 0 && self.running.has_room(lane);
        let plain = may(Lane::Plain, self.plain.len());
        let nested = may(Lane::Nested, self.nested.len());
        let lane = match (plain, nested, self.last) {
            (false, false, _) => return None,
            (true, false, _) => Lane::Plain,
            (false, true, _) => Lane::Nested,
            (true, true, Lane::Nested) => Lane::Plain,
            (true, true, Lane::Plain) => Lane::Nested,
        };
        if plain && nested {
            self.last = lane;
        }
        let call = self.lane(lane).next();
        *self.running.of(lane) += usize::from(call.is_some());
        call
    }

    /// Takes a call out of the backlog whose peer has two more waiting than this one has.
    fn displace(&mut self, peer: PeerId, lane: Lane) -> Option<T> {
        let enough = self.lane(lane).held(peer) + 2;
        // A plain call gets no place of the reserve.
        let beyond = self.nested.len() > self.running.reserve;
        let nested = if lane == Lane::Nested || beyond { self.nested.most() } else { 0 };
        let plain = self.plain.most();
        if plain.max(nested) < enough {
            return None;
        }
        let from = if nested > plain { Lane::Nested } else { Lane::Plain };
        self.lane(from).take_newest_of_greediest()
    }
}

#[cfg(test)]
mod tests;
