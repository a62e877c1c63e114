mod queued;

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::ReplyTo;
use super::super::routes::tests::announcement;
use super::*;
use crate::wire::{ServerState, StreamId};

const SECOND: Duration = Duration::from_secs(1);

/// A table, a clock that stands still until it is moved, and what the test waits for.
struct Table {
    pending: Pending,
    now: Instant,
    next: u64,
}

type Outcome = oneshot::Receiver<Reply>;

impl Table {
    fn new() -> Self {
        Table::on(false)
    }

    fn on(shared_queue: bool) -> Self {
        let bounds = Bounds { calls: 8, bytes: 1000, shared_queue };
        Table { pending: Pending::new(bounds, false), now: Instant::now(), next: 0 }
    }

    fn with_servers(peers: &[u64]) -> Self {
        let mut table = Table::new();
        for peer in peers {
            table.up(*peer);
        }
        table
    }

    fn up(&mut self, peer: u64) {
        self.pending.routes.service(&"calc".into());
        self.pending.peer_up(PeerId(peer), NodeId(uuid::Uuid::from_u128(peer.into())), 500);
        let server = announcement("calc", &format!("s{peer}"), ServerState::Ready);
        self.pending.announced(PeerId(peer), server, self.now);
    }

    fn call(&mut self, change: impl FnOnce(&mut NewCall)) -> (CallId, Outcome) {
        let (reply, outcome) = oneshot::channel();
        let mut new = NewCall {
            task: None,
            target: Target::Service,
            service: "calc".into(),
            method: "add".into(),
            params: bytes::Bytes::from_static(&[0x80]),
            headers: Vec::new(),
            one_way: false,
            idempotent: false,
            timeout: Some(10 * SECOND),
            inherited: None,
            wait_for_server: SECOND,
            expects: None,
            streams: Streams::default(),
            reply: ReplyTo::Once(reply),
        };
        change(&mut new);
        self.next += 1;
        let id = CallId(self.next);
        self.pending.submit(id, Box::new(new), self.now);
        (id, outcome)
    }

    fn plain(&mut self) -> (CallId, Outcome) {
        self.call(|_| {})
    }

    /// The frames that go out, and to whom.
    fn sent(&mut self) -> Vec<(u64, Frame)> {
        let out = self.pending.out.drain(..);
        out.filter_map(|outbound| match outbound {
            Outbound::Frame { to: Address::Peer(peer), frame, .. } => Some((peer.0, frame)),
            _ => None,
        })
        .collect()
    }

    fn sent_to(&mut self) -> Vec<u64> {
        self.sent().into_iter().map(|(peer, _)| peer).collect()
    }

    fn answer(&mut self, peer: u64, id: CallId) {
        self.pending.answered(PeerId(peer), id, bytes::Bytes::from_static(&[3]), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.pending.expire(self.now);
    }

    fn down(&mut self, peer: u64, clean: bool) {
        self.pending.peer_down(PeerId(peer), "it died", clean, self.now);
    }
}

fn to(peer: u64) -> Address {
    Address::Peer(PeerId(peer))
}

fn reason(outcome: &mut Outcome) -> Option<Reason> {
    outcome.try_recv().ok().map(|reply| reply.expect_err("it failed").reason)
}

#[test]
fn an_answer_ends_its_call_and_leaves_nothing() {
    let mut table = Table::with_servers(&[1]);
    let (id, mut outcome) = table.plain();
    assert_eq!(table.sent_to(), [1]);
    table.answer(1, id);
    assert!(outcome.try_recv().unwrap().is_ok());
    assert!(table.pending.is_empty());
    table.answer(1, id);
    assert_eq!(table.pending.counters.late_answers, 1);
}

#[test]
fn an_answer_of_another_peer_is_not_taken() {
    let mut table = Table::with_servers(&[1, 2]);
    let (id, mut outcome) = table.plain();
    table.answer(2, id);
    assert!(outcome.try_recv().is_err());
    assert_eq!(table.pending.counters.stray_frames, 1);
    table.answer(1, id);
    assert!(outcome.try_recv().unwrap().is_ok());
}

#[test]
fn a_call_waits_for_a_server_and_goes_when_one_comes() {
    let mut table = Table::new();
    let (_, mut outcome) = table.plain();
    assert!(matches!(&table.pending.out[..], [Outbound::Watch(Watch::Service(_))]));
    assert!(table.sent().is_empty());
    table.up(1);
    assert_eq!(table.sent_to(), [1]);
    table.pass(2 * SECOND);
    assert_eq!(reason(&mut outcome), None, "the wait was for the server only");
    table.pass(10 * SECOND);
    assert_eq!(reason(&mut outcome), Some(Reason::DeadlineExceeded));
}

#[test]
fn waiting_ends_by_its_own_time_or_the_deadline() {
    let mut table = Table::new();
    let (_, mut patient) = table.plain();
    let (_, mut hurried) = table.call(|new| new.timeout = Some(SECOND / 2));
    table.pass(SECOND / 2);
    assert_eq!(reason(&mut hurried), Some(Reason::DeadlineBeforeSending));
    table.pass(SECOND / 2);
    assert_eq!(reason(&mut patient), Some(Reason::NoServer));
    table.up(1);
    assert!(table.sent().is_empty(), "nothing of them is left to run");
    assert!(table.pending.is_empty());
}

#[test]
fn cancelling_tells_the_server_that_has_the_call() {
    let mut table = Table::with_servers(&[1]);
    let (id, _outcome) = table.plain();
    table.sent();
    table.pending.cancel(id, table.now);
    assert_eq!(table.sent(), [(1, Frame::Cancel { id })]);
    table.pending.cancel(id, table.now);
    assert!(table.sent().is_empty());
    assert!(table.pending.is_empty());
}

#[test]
fn a_lost_server_ends_plain_calls_and_moves_idempotent_ones() {
    let mut table = Table::with_servers(&[1]);
    let (_, mut plain) = table.plain();
    let (id, mut again) = table.call(|new| new.idempotent = true);
    table.sent();
    table.down(1, false);
    assert_eq!(reason(&mut plain), Some(Reason::ServerLost));
    table.up(2);
    let sent = table.sent();
    let (2, Frame::Call(call)) = &sent[0] else { panic!("{sent:?}") };
    assert_eq!((call.id, call.options.as_ref().unwrap().attempt), (id, 1));
    table.answer(2, id);
    assert!(again.try_recv().unwrap().is_ok());
}

#[test]
fn an_idempotent_call_that_no_other_server_takes_may_have_run() {
    let mut table = Table::with_servers(&[1]);
    let (_, mut outcome) = table.call(|new| new.idempotent = true);
    table.down(1, false);
    assert_eq!(reason(&mut outcome), None);
    table.now += 2 * SECOND;
    table.pending.expire(table.now);
    assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
    assert!(table.pending.is_empty());

    table.up(2);
    let (_, mut outcome) = table.call(|new| new.idempotent = true);
    table.down(2, false);
    // The server comes before anybody has looked at the clock.
    table.now += 20 * SECOND;
    table.up(3);
    assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
}

#[test]
fn an_idempotent_call_is_started_three_times_at_most() {
    let mut table = Table::with_servers(&[1, 2, 3, 4]);
    let (_, mut outcome) = table.call(|new| new.idempotent = true);
    for _ in 0..3 {
        assert_eq!(reason(&mut outcome), None);
        let to = table.sent_to();
        table.down(to[0], false);
    }
    assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
    assert_eq!(table.pending.counters.retries, 2);
}

#[test]
fn what_a_leaving_server_has_not_started_goes_elsewhere() {
    let mut table = Table::with_servers(&[1]);
    let (id, mut outcome) = table.plain();
    table.sent();
    table.up(2);
    table.down(1, true);
    assert_eq!(table.sent_to(), [2]);
    table.answer(2, id);
    assert!(outcome.try_recv().unwrap().is_ok());
}

#[test]
fn a_draining_server_gets_no_more_and_its_refusals_go_elsewhere() {
    let mut table = Table::with_servers(&[1, 2]);
    let (id, _outcome) = table.plain();
    assert_eq!(table.sent_to(), [1]);
    let draining = Failure::new(Reason::Draining, "about to stop");
    table.pending.failed(PeerId(1), id, draining, table.now);
    let _more = [table.plain(), table.plain()];
    assert_eq!(table.sent_to(), [2, 2, 2]);
}

fn busy(table: &mut Table, peer: u64, id: CallId) {
    let mut busy = Failure::new(Reason::Busy, "as many as may");
    busy.retry_after = Some(SECOND);
    table.pending.failed(PeerId(peer), id, busy, table.now);
}

#[test]
fn what_a_full_server_refuses_is_tried_at_one_other() {
    let mut table = Table::with_servers(&[1, 2, 3]);
    let (id, mut outcome) = table.plain();
    assert_eq!(table.sent_to(), [1]);
    busy(&mut table, 1, id);
    let sent = table.sent();
    let [(2, Frame::Call(again))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((again.id, &again.options), (id, &None), "the first attempt has not begun");
    busy(&mut table, 2, id);
    let failure = outcome.try_recv().unwrap().unwrap_err();
    assert_eq!((failure.reason, failure.retry_after), (Reason::Busy, Some(SECOND)));
    assert!(table.sent().is_empty() && table.pending.is_empty());
}

#[test]
fn what_the_only_server_refuses_is_the_callers() {
    let mut table = Table::with_servers(&[1]);
    let (id, mut outcome) = table.plain();
    table.sent();
    busy(&mut table, 1, id);
    assert_eq!(reason(&mut outcome), Some(Reason::Busy));
    assert!(table.sent().is_empty());
}

#[test]
fn trying_again_stays_within_the_budget() {
    let mut table = Table::with_servers(&[1, 2]);
    let mut again = 0;
    for _ in 0..1000 {
        let (id, mut outcome) = table.call(|new| new.idempotent = true);
        let first = table.sent_to()[0];
        busy(&mut table, first, id);
        if let [other] = table.sent_to()[..] {
            again += 1;
            busy(&mut table, other, id);
        }
        assert_eq!(reason(&mut outcome), Some(Reason::Busy));
    }
    assert_eq!(again, 110, "a tenth of the calls, and ten that were there from the start");
    // The deaths of servers are paid from the same purse.
    let (_, mut lost) = table.call(|new| new.idempotent = true);
    let with = table.sent_to()[0];
    table.down(with, false);
    assert_eq!(reason(&mut lost), Some(Reason::ServerLost));
}

#[test]
fn what_was_not_written_is_sent_again_and_what_was_is_unknown() {
    let mut table = Table::with_servers(&[1, 2]);
    let (id, mut outcome) = table.plain();
    assert_eq!(table.sent_to(), [1]);
    table.pending.undelivered(id, &to(1), "the connection broke", false, table.now);
    assert_eq!(table.sent_to(), [2]);
    table.pending.undelivered(id, &to(2), "the connection broke", true, table.now);
    assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
}

#[test]
fn a_call_that_went_elsewhere_is_not_moved_by_its_old_bounce() {
    let mut table = Table::with_servers(&[1]);
    let (id, mut outcome) = table.plain();
    table.sent();
    table.up(2);
    table.down(1, true);
    assert_eq!(table.sent_to(), [2]);
    table.pending.undelivered(id, &to(1), "the session is over", false, table.now);
    assert!(table.sent().is_empty());
    table.answer(2, id);
    assert!(outcome.try_recv().unwrap().is_ok());
}

#[test]
fn a_call_that_two_servers_have_no_room_for_waits() {
    let mut table = Table::with_servers(&[1, 2]);
    let (first, _one) = table.plain();
    let (id, _two) = table.plain();
    assert_eq!(table.sent_to(), [1, 2]);
    table.pending.undelivered(id, &to(2), "its queue is full", false, table.now);
    assert_eq!(table.sent_to(), [1]);
    table.pending.undelivered(id, &to(1), "its queue is full", false, table.now);
    assert!(table.sent().is_empty());
    table.pending.cancel(first, table.now);
    assert!(table.sent().iter().any(|(_, frame)| matches!(frame, Frame::Call(_))));
}

#[test]
fn the_longest_timeouts_are_within_range() {
    let mut table = Table::new();
    let (_, mut outcome) = table.call(|new| {
        (new.timeout, new.wait_for_server) = (Some(Duration::MAX), Duration::MAX);
    });
    table.pass(3600 * SECOND);
    assert_eq!(reason(&mut outcome), None);
}

#[test]
fn a_full_queue_of_the_only_server_holds_calls_until_there_is_room() {
    let mut table = Table::with_servers(&[1]);
    let (first, _one) = table.plain();
    let (second, mut two) = table.plain();
    table.sent();
    table.pending.undelivered(second, &to(1), "its queue is full", false, table.now);
    assert!(table.sent().is_empty());
    table.answer(1, first);
    assert_eq!(table.sent_to(), [1]);
    table.answer(1, second);
    assert!(two.try_recv().unwrap().is_ok());
}

#[test]
fn calls_and_their_bytes_are_bounded() {
    let mut table = Table::with_servers(&[1]);
    let mut outcomes: Vec<_> = (0..9).map(|_| table.plain().1).collect();
    assert_eq!(reason(&mut outcomes[8]), Some(Reason::Overloaded));
    let mut table = Table::new();
    let large = |new: &mut NewCall| new.params = vec![0; 600].into();
    let (_, _first) = table.call(large);
    let (_, mut second) = table.call(large);
    assert_eq!(reason(&mut second), Some(Reason::Overloaded));
}

#[test]
fn arguments_over_the_servers_limit_are_not_sent() {
    let mut table = Table::with_servers(&[1]);
    let (_, mut outcome) = table.call(|new| new.params = vec![0; 600].into());
    assert_eq!(reason(&mut outcome), Some(Reason::RequestTooLarge));
    assert!(table.sent().is_empty() && table.pending.is_empty());
    let (_, _next) = table.plain();
    assert_eq!(table.sent_to(), [1], "the server's share was given back");
}

#[test]
fn frames_carry_the_lowest_open_id() {
    let mut table = Table::with_servers(&[1]);
    let (first, _one) = table.plain();
    let (second, _two) = table.plain();
    table.answer(1, first);
    let (_, _three) = table.plain();
    let lows: Vec<CallId> = table
        .sent()
        .into_iter()
        .map(|(_, frame)| match frame {
            Frame::Call(call) => call.low,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lows, [first, first, second]);
}

#[test]
fn a_one_way_call_is_done_when_it_is_handed_over() {
    let mut table = Table::with_servers(&[1]);
    let (id, mut outcome) = table.call(|new| new.one_way = true);
    assert!(matches!(table.pending.out.last(), Some(Outbound::Frame { confirm: true, .. })));
    table.pending.handed_over(id, table.now);
    assert!(outcome.try_recv().unwrap().is_ok());
    assert!(table.pending.is_empty());
}

#[test]
fn closing_ends_every_call_and_says_what_is_known() {
    let mut table = Table::with_servers(&[1]);
    let (_, mut sent) = table.plain();
    let (_, mut waiting) = table.call(|new| new.service = "other".into());
    table.pending.close();
    assert_eq!(reason(&mut sent), Some(Reason::ServerLost));
    assert_eq!(reason(&mut waiting), Some(Reason::Closed));
}

/// A call with an argument stream, and what has come to it so far.
fn upload(table: &mut Table, idempotent: bool) -> (CallId, crate::queue::Batches<Arrival>) {
    let (sender, arrivals) = crate::queue::queue();
    let (id, _) = table.call(|new| {
        new.idempotent = idempotent;
        new.streams = Streams { arguments: 1, credit: 100 };
        new.reply = ReplyTo::Flow(sender.into());
    });
    (id, arrivals)
}

fn arrived(arrivals: &crate::queue::Batches<Arrival>) -> Vec<Arrival> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match arrivals.poll_take(&mut cx) {
        std::task::Poll::Ready(Some(arrived)) => arrived,
        _ => Vec::new(),
    }
}

fn reason_of(arrived: &[Arrival]) -> Option<Reason> {
    match arrived.last() {
        Some(Arrival::End(Err(failure))) => Some(failure.reason),
        _ => None,
    }
}

fn thrown_out(table: &mut Table) -> bool {
    table.pending.out.drain(..).any(|it| matches!(it, Outbound::Disconnect { .. }))
}

#[test]
fn an_idempotent_call_is_not_repeated_once_its_arguments_flow() {
    for begun in [false, true] {
        let mut table = Table::with_servers(&[1, 2]);
        let (id, arrivals) = upload(&mut table, true);
        let first = PeerId(table.sent_to()[0]);
        if begun {
            table.pending.begun(first, id, 1000);
        }
        table.pending.peer_down(first, "killed", false, table.now);
        let arrived = arrived(&arrivals);
        assert_eq!(reason_of(&arrived), begun.then_some(Reason::ServerLost));
    }
}

#[test]
fn a_callee_gives_credit_once_and_within_bounds() {
    let wrong: [fn(&mut Pending, PeerId, CallId); 7] = [
        |it, from, id| it.begun(from, id, 1000),
        |it, from, id| it.granted(from, id, StreamId(1), 0),
        |it, from, id| it.granted(from, id, StreamId(1), u64::MAX),
        |it, from, id| it.granted(from, id, StreamId(2), 10),
        |it, from, id| it.granted(from, id, StreamId(0), 10),
        |it, from, id| it.stopped(from, id, StreamId(7)),
        |it, from, id| {
            it.stopped(from, id, StreamId(1));
            it.stopped(from, id, StreamId(1));
        },
    ];
    for wrong in wrong {
        let mut table = Table::with_servers(&[1]);
        let (id, _arrivals) = upload(&mut table, false);
        let from = PeerId(1);
        table.pending.begun(from, id, 1000);
        table.pending.granted(from, id, StreamId(1), 10);
        assert!(!thrown_out(&mut table));
        wrong(&mut table.pending, from, id);
        assert!(thrown_out(&mut table));
    }
}

#[test]
fn results_beyond_their_credit_end_the_session() {
    let mut table = Table::with_servers(&[1]);
    let (id, arrivals) = upload(&mut table, false);
    let from = PeerId(1);
    // Any size goes while there is credit at all.
    table.pending.item(from, id, Bytes::from(vec![0; 500]));
    assert!(!thrown_out(&mut table));
    table.pending.item(from, id, Bytes::from_static(&[0]));
    assert!(thrown_out(&mut table));
    assert_eq!(arrived(&arrivals).len(), 1);
}

#[test]
fn an_item_that_its_server_does_not_take_fails_its_call_alone() {
    let mut table = Table::with_servers(&[1]);
    let (id, arrivals) = upload(&mut table, false);
    let from = PeerId(1);
    table.pending.begun(from, id, 1000);
    // Servers of these tests take 500 bytes.
    table.pending.send_item(id, StreamId(1), Bytes::from(vec![0; 501]), table.now);
    assert!(!thrown_out(&mut table));
    assert_eq!(reason_of(&arrived(&arrivals)), Some(Reason::StreamBroken));
    assert!(table.pending.is_empty());
}

#[test]
fn answers_do_not_prolong_the_wait_of_others() {
    let mut table = Table::with_servers(&[1]);
    let (answered, _outcome) = table.plain();
    let draining = announcement("calc", "s1", ServerState::Draining);
    table.pending.announced(PeerId(1), draining, table.now);
    let (_, mut waits) = table.plain();
    table.pass(SECOND - Duration::from_millis(100));
    table.answer(1, answered);
    table.pass(Duration::from_millis(100));
    assert_eq!(reason(&mut waits), Some(Reason::NoServer));
}

#[test]
fn a_call_that_was_started_once_is_never_called_refused() {
    let mut table = Table::with_servers(&[1, 2]);
    let (id, mut outcome) = table.call(|new| new.idempotent = true);
    let first = table.sent_to()[0];
    table.down(first, false);
    let second = PeerId(table.sent_to()[0]);
    table.pending.failed(second, id, Failure::new(Reason::Unauthorized, "no"), table.now);
    assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
}
