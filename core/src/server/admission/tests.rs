use proptest::prelude::*;

use super::*;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const C: PeerId = PeerId(3);

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Runs,
    Waits,
    /// It waits, and this call is refused.
    Displaces(u32),
    Busy,
}

/// An admission, with calls that are numbers.
struct Server(Admission<u32>);

impl Server {
    fn new(concurrency: usize, backlog: usize) -> Self {
        Server(Admission::new(concurrency, backlog))
    }

    fn call(&mut self, peer: PeerId, lane: Lane, call: u32) -> Came {
        match self.0.admit(peer, lane, Instant::now()) {
            Admitted::Run => Came::Runs,
            Admitted::Wait { instead_of } => {
                self.0.wait(peer, lane, call);
                instead_of.map_or(Came::Waits, Came::Displaces)
            }
            Admitted::Busy => Came::Busy,
        }
    }

    fn plain(&mut self, peer: PeerId, call: u32) -> Came {
        self.call(peer, Lane::Plain, call)
    }

    fn nested(&mut self, peer: PeerId, call: u32) -> Came {
        self.call(peer, Lane::Nested, call)
    }

    /// Plain calls end until none waits: which came then.
    fn rest(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.0.finished(Lane::Plain)).collect()
    }
}

#[test]
fn calls_run_then_wait_then_are_refused() {
    let mut server = Server::new(1, 1);
    assert_eq!(server.plain(A, 1), Came::Runs);
    assert_eq!(server.plain(A, 2), Came::Waits);
    assert_eq!(server.plain(A, 3), Came::Busy);
    assert_eq!((server.0.running(), server.0.waiting()), (1, 1));
}

#[test]
fn a_waiting_call_takes_the_place_of_one_that_ended() {
    let mut server = Server::new(1, 2);
    server.plain(A, 1);
    let ticket = server.0.wait(A, Lane::Plain, 2);
    server.plain(A, 3);
    assert_eq!(server.0.remove(ticket), Some(2));
    assert_eq!(server.0.remove(ticket), None);
    assert_eq!(server.rest(), [3]);
    assert_eq!(server.0.running(), 0);
    assert_eq!(server.plain(A, 4), Came::Runs);
}

#[test]
fn a_greedy_peer_makes_room_for_others_until_all_have_their_share() {
    let mut server = Server::new(1, 4);
    assert_eq!(server.plain(A, 0), Came::Runs);
    for call in 1..=4 {
        assert_eq!(server.plain(A, call), Came::Waits);
    }
    assert_eq!(server.plain(A, 5), Came::Busy, "its own calls are no worse than this one");
    assert_eq!(server.plain(B, 11), Came::Displaces(4));
    assert_eq!(server.plain(B, 12), Came::Displaces(3));
    assert_eq!(server.plain(B, 13), Came::Busy, "both have half");
    assert_eq!(server.plain(C, 21), Came::Displaces(12));
    assert_eq!(server.plain(A, 6), Came::Busy);
    assert_eq!(server.rest(), [1, 11, 21, 2]);
}

#[test]
fn nested_calls_have_places_left_when_the_server_is_full() {
    let mut server = Server::new(8, 1);
    for call in 0..8 {
        assert_eq!(server.plain(A, call), Came::Runs);
    }
    assert_eq!(server.plain(A, 8), Came::Waits);
    assert_eq!(server.plain(A, 9), Came::Busy);
    assert_eq!(server.nested(B, 10), Came::Runs);
    assert_eq!(server.nested(B, 11), Came::Waits);
    assert_eq!(server.nested(B, 12), Came::Busy);
    // The place of a nested call is not a plain one's.
    assert_eq!(server.0.finished(Lane::Nested), Some(11));
    assert_eq!(server.0.finished(Lane::Nested), None);
    assert_eq!((server.0.running(), server.0.waiting()), (8, 1));
    assert_eq!(server.0.finished(Lane::Plain), Some(8));
}

#[test]
fn both_lanes_get_the_places_that_both_may_have_in_turn() {
    let mut server = Server::new(2, 9);
    for call in 0..2 {
        assert_eq!(server.plain(A, call), Came::Runs);
    }
    assert_eq!(server.nested(B, 10), Came::Runs);
    for call in 2..6 {
        server.plain(A, call);
    }
    for call in 11..14 {
        server.nested(B, call);
    }
    let (plain, nested) = (Lane::Plain, Lane::Nested);
    // A place that a nested call holds beyond the reserve is for both, too.
    let came = [plain, plain, nested, plain, nested].map(|lane| server.0.finished(lane));
    assert_eq!(came, [Some(2), Some(11), Some(3), Some(12), Some(4)]);
    // The reserve is not.
    assert_eq!([nested, nested].map(|lane| server.0.finished(lane)), [Some(13), None]);
    assert_eq!(server.0.waiting(), 1, "a plain call, whose places are all taken");
}

#[test]
fn nested_calls_that_fill_the_backlog_make_room_for_plain_ones() {
    let mut server = Server::new(1, 2);
    server.plain(A, 0);
    server.nested(B, 10);
    for call in 11..14 {
        assert_eq!(server.nested(B, call), Came::Waits);
    }
    assert_eq!(server.nested(B, 14), Came::Busy);
    assert_eq!(server.plain(A, 1), Came::Displaces(13));
    assert_eq!(server.plain(C, 2), Came::Displaces(12));
    assert_eq!(server.plain(PeerId(4), 3), Came::Busy, "the reserve is not for plain calls");
}

/// A call in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    peer: PeerId,
    lane: Lane,
    number: u32,
}

/// A waiting call in the model.
#[derive(Clone, Copy, Debug)]
struct Waits {
    call: Known,
    ticket: Ticket,
    /// How many of its lane may be taken before it.
    patience: usize,
}

const PEERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Call(u64, bool),
    End(prop::sample::Index),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..PEERS as u64, any::<bool>()).prop_map(|(peer, nested)| Step::Call(peer, nested)),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

/// What must be so whatever comes, told by a list of all calls.
struct Model {
    admission: Admission<Known>,
    concurrency: usize,
    backlog: usize,
    running: Vec<Known>,
    waiting: Vec<Waits>,
    number: u32,
}

impl Model {
    fn new(concurrency: usize, backlog: usize) -> Self {
        let admission = Admission::new(concurrency, backlog);
        let (running, waiting, number) = (Vec::new(), Vec::new(), 0);
        Model { admission, concurrency, backlog, running, waiting, number }
    }

    fn reserve(&self) -> usize {
        (self.concurrency / 8).max(1)
    }

    fn held(&self, peer: PeerId, lane: Lane) -> usize {
        self.waiting.iter().filter(|it| it.call.peer == peer && it.call.lane == lane).count()
    }

    /// The most that one peer has waiting.
    fn most(&self, lane: Lane) -> usize {
        (0..PEERS as u64).map(|peer| self.held(PeerId(peer), lane)).max().unwrap_or(0)
    }

    fn call(&mut self, peer: PeerId, lane: Lane) {
        self.number += 1;
        let call = Known { peer, lane, number: self.number };
        let own = self.held(peer, lane);
        match self.admission.admit(peer, lane, Instant::now()) {
            Admitted::Run => {
                assert!(self.waiting.iter().all(|it| it.call.lane != lane), "it overtook one");
                self.running.push(call);
                return;
            }
            Admitted::Busy => {
                let (plain, nested) = self.lanes();
                let over = nested.saturating_sub(self.reserve());
                assert_eq!(plain + over, self.backlog, "there was room");
                assert!(lane == Lane::Plain || nested >= self.reserve(), "there was room");
                assert!(self.most(Lane::Plain) < own + 2, "a greedier peer was spared");
                let spared = lane == Lane::Plain && over == 0;
                assert!(spared || self.most(Lane::Nested) < own + 2, "a greedier peer was spared");
                return;
            }
            Admitted::Wait { instead_of: None } => {}
            Admitted::Wait { instead_of: Some(displaced) } => {
                let held = self.held(displaced.peer, displaced.lane);
                assert!(held >= own + 2, "it was not greedier");
                let newest =
                    self.waiting.iter().rev().find(|it| {
                        it.call.peer == displaced.peer && it.call.lane == displaced.lane
                    });
                assert_eq!(newest.unwrap().call, displaced);
                self.waiting.retain(|it| it.call != displaced);
            }
        }
        let ticket = self.admission.wait(peer, lane, call);
        // Each other peer has a turn before each of its own peer's.
        let patience = (own + 1) * PEERS - 1;
        self.waiting.push(Waits { call, ticket, patience });
    }

    /// Ends a running call; whether another took its place.
    fn end(&mut self, at: usize) -> bool {
        let ended = self.running.swap_remove(at);
        let Some(next) = self.admission.finished(ended.lane) else { return false };
        let first = self
            .waiting
            .iter()
            .position(|it| it.call.peer == next.peer && it.call.lane == next.lane)
            .expect("it waited");
        assert_eq!(self.waiting.remove(first).call, next, "not in the order of its peer");
        for other in self.waiting.iter_mut().filter(|it| it.call.lane == next.lane) {
            other.patience = other.patience.checked_sub(1).expect("others had its turn");
        }
        self.running.push(next);
        true
    }

    /// Plain and nested calls that wait.
    fn lanes(&self) -> (usize, usize) {
        let plain = self.waiting.iter().filter(|it| it.call.lane == Lane::Plain).count();
        (plain, self.waiting.len() - plain)
    }

    fn check(&self) {
        let reserve = self.reserve();
        let plain = self.running.iter().filter(|it| it.lane == Lane::Plain).count();
        let nested = self.running.len() - plain;
        assert_eq!(self.admission.running(), plain + nested);
        assert!(plain <= self.concurrency && plain + nested <= self.concurrency + reserve);
        let full = plain + nested.saturating_sub(reserve) == self.concurrency;
        let (waiting, nested_waiting) = self.lanes();
        assert_eq!(self.admission.waiting(), waiting + nested_waiting);
        assert!(waiting <= self.backlog && waiting + nested_waiting <= self.backlog + reserve);
        assert!(waiting == 0 || full, "a plain call waits for nothing");
        assert!(nested_waiting == 0 || (full && nested >= reserve), "a nested one does");
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_bounds_hold_and_nobody_is_forgotten(
        concurrency in 1..10_usize,
        backlog in 0..10_usize,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut model = Model::new(concurrency, backlog);
        for step in steps {
            match step {
                Step::Call(peer, nested) => model.call(PeerId(peer), Lane::new(nested)),
                Step::End(_) if model.running.is_empty() => {}
                Step::End(at) => {
                    model.end(at.index(model.running.len()));
                }
                Step::Remove(_) if model.waiting.is_empty() => {}
                Step::Remove(at) => {
                    let gone = model.waiting.remove(at.index(model.waiting.len()));
                    assert_eq!(model.admission.remove(gone.ticket), Some(gone.call));
                }
            }
            model.check();
        }
        while !model.running.is_empty() {
            model.end(0);
            model.check();
        }
        prop_assert!(model.waiting.is_empty());
    }
}
