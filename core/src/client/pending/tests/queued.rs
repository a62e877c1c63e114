//! Calls in a shared queue.

use super::super::super::compatibility::Question;
use super::*;
use crate::schema::{Describer, ServiceSchema, describe};
use crate::service::Descriptor;

const ANY: u64 = 0;

/// What is asked of the transport about calls, in its order.
#[derive(Debug, PartialEq)]
enum Asked {
    /// `ANY`, or one peer.
    Call(u64),
    Cancel(u64),
    Withdraw,
}

fn queue(peers: &[u64]) -> Table {
    let mut table = Table::on(true);
    for peer in peers {
        table.up(*peer);
    }
    table
}

impl Table {
    fn asked(&mut self) -> Vec<Asked> {
        let whom = |to| match to {
            Address::Any(service) => {
                assert_eq!(service, "calc");
                ANY
            }
            Address::Peer(peer) => peer.0,
        };
        let out = self.pending.out.drain(..);
        out.filter_map(|outbound| match outbound {
            Outbound::Frame { to, frame: Frame::Call(_), .. } => Some(Asked::Call(whom(to))),
            Outbound::Frame { to, frame: Frame::Cancel { .. }, .. } => {
                Some(Asked::Cancel(whom(to)))
            }
            Outbound::Withdraw { .. } => Some(Asked::Withdraw),
            Outbound::Watch(_) => None,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn in_flight(&self, peer: u64) -> usize {
        let list = self.pending.routes.list(None);
        list.iter().find(|server| server.peer == PeerId(peer)).map_or(0, |it| it.in_flight)
    }

    fn started(&mut self, peer: u64, id: CallId) {
        self.pending.begun(PeerId(peer), id, 0);
    }

    fn given_back(&mut self, id: CallId, written: bool) {
        let to = Address::Any("calc".into());
        self.pending.undelivered(id, &to, "as the queue says", written, self.now);
    }
}

#[test]
fn a_call_goes_to_any_server_and_an_answer_of_each_ends_it() {
    let mut table = queue(&[1, 2]);
    let (id, mut outcome) = table.plain();
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    assert_eq!((table.in_flight(1), table.in_flight(2)), (0, 0));
    table.answer(9, id);
    assert!(outcome.try_recv().is_err(), "nobody knows this peer");
    table.answer(2, id);
    assert!(outcome.try_recv().unwrap().is_ok());
    assert_eq!((table.in_flight(1), table.in_flight(2)), (0, 0));
    assert!(table.pending.is_empty());
}

#[test]
fn the_taker_has_the_call_once_and_gives_it_back_once() {
    let mut table = queue(&[1, 2]);
    let [(one, _), (two, _), (three, _)] = [table.plain(), table.plain(), table.plain()];
    table.started(2, one);
    table.started(2, one);
    table.started(2, two);
    assert_eq!((table.in_flight(1), table.in_flight(2)), (0, 2));
    // Another server has no say in it any more, but in one that is still in the queue.
    table.answer(1, one);
    table.answer(1, three);
    assert_eq!((table.in_flight(1), table.in_flight(2)), (0, 2));
    table.answer(2, one);
    table.pending.cancel(two, table.now);
    assert_eq!((table.in_flight(1), table.in_flight(2)), (0, 0));
    assert!(table.pending.is_empty());
}

#[test]
fn cancelling_goes_to_the_queue_until_the_taker_is_known() {
    let mut table = queue(&[1]);
    let [(queued, _), (taken, _)] = [table.plain(), table.plain()];
    let (one_way, _) = table.call(|new| new.one_way = true);
    table.started(1, taken);
    table.asked();
    for id in [queued, taken, one_way] {
        table.pending.cancel(id, table.now);
    }
    assert_eq!(table.asked(), [Asked::Cancel(ANY), Asked::Cancel(1)]);
    assert!(table.pending.is_empty());
}

#[test]
fn a_call_that_nobody_has_taken_by_its_deadline_was_not_sent() {
    let mut table = queue(&[1]);
    let (id, mut outcome) = table.plain();
    table.asked();
    table.pass(10 * SECOND - Duration::from_millis(21));
    assert_eq!(table.asked(), []);
    assert_eq!(table.pending.next_due(), Some(table.now + Duration::from_millis(1)));
    table.pass(Duration::from_millis(1));
    assert_eq!(table.asked(), [Asked::Withdraw]);
    table.given_back(id, false);
    assert_eq!(reason(&mut outcome), Some(Reason::DeadlineBeforeSending));
    assert!(table.pending.is_empty());
    assert_eq!(table.asked(), []);
}

#[test]
fn a_short_call_is_asked_back_for_a_tenth_of_its_time() {
    let mut table = queue(&[1]);
    table.call(|new| new.timeout = Some(Duration::from_millis(50)));
    table.asked();
    table.pass(Duration::from_millis(44));
    assert_eq!(table.asked(), []);
    table.pass(Duration::from_millis(1));
    assert_eq!(table.asked(), [Asked::Withdraw]);
}

#[test]
fn a_call_that_was_taken_may_end_well_until_its_deadline() {
    for answered in [true, false] {
        let mut table = queue(&[1]);
        let (id, mut outcome) = table.plain();
        table.pass(10 * SECOND - Duration::from_millis(10));
        assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Withdraw]);
        table.pending.taken(id);
        table.pass(Duration::from_millis(9));
        assert_eq!(reason(&mut outcome), None);
        if answered {
            table.answer(1, id);
            assert!(outcome.try_recv().unwrap().is_ok());
        } else {
            table.pass(Duration::from_millis(1));
            assert_eq!(reason(&mut outcome), Some(Reason::DeadlineExceeded));
            assert_eq!(table.asked(), [Asked::Cancel(ANY)]);
        }
        assert!(table.pending.is_empty());
    }
}

#[test]
fn a_call_of_which_nothing_is_heard_ends_at_its_deadline() {
    let mut table = queue(&[1]);
    let (_, mut asked) = table.plain();
    table.pass(10 * SECOND - Duration::from_millis(10));
    table.pass(Duration::from_millis(10));
    assert_eq!(reason(&mut asked), Some(Reason::DeadlineExceeded));
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Withdraw, Asked::Cancel(ANY)]);
    // Nor is one asked back for which it is too late.
    let (_, mut late) = table.plain();
    table.pass(11 * SECOND);
    assert_eq!(reason(&mut late), Some(Reason::DeadlineExceeded));
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Cancel(ANY)]);
    assert!(table.pending.is_empty());
}

#[test]
fn a_call_whose_taker_is_known_is_not_asked_back() {
    let mut table = queue(&[1]);
    let (id, mut outcome) = table.plain();
    table.started(1, id);
    table.pass(10 * SECOND - Duration::from_millis(1));
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    assert_eq!(reason(&mut outcome), None);
    table.pass(Duration::from_millis(1));
    assert_eq!(reason(&mut outcome), Some(Reason::DeadlineExceeded));
    assert_eq!(table.asked(), [Asked::Cancel(1)]);
}

#[test]
fn a_call_that_no_server_is_left_for_waits_for_one() {
    let mut table = queue(&[1]);
    let (id, mut outcome) = table.plain();
    table.pass(5 * SECOND);
    table.down(1, true);
    table.given_back(id, false);
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    table.pass(SECOND / 2);
    table.up(2);
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    table.down(2, true);
    table.given_back(id, false);
    table.pass(SECOND);
    assert_eq!(reason(&mut outcome), Some(Reason::NoServer));
    assert!(table.pending.is_empty());
}

#[test]
fn a_call_for_which_there_is_no_room_waits_until_another_has_ended() {
    let mut table = queue(&[1]);
    let (other, _answered) = table.plain();
    let (id, mut outcome) = table.plain();
    table.given_back(id, false);
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(ANY), Asked::Call(ANY)]);
    table.given_back(id, false);
    assert_eq!(table.asked(), [], "it does not go in circles");
    table.pass(SECOND / 2);
    let (_last, _queued) = table.plain();
    table.answer(1, other);
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(ANY)]);
    table.given_back(id, false);
    table.pass(SECOND / 2);
    assert_eq!(reason(&mut outcome), Some(Reason::NoServer), "nor longer than it may");
}

#[test]
fn a_call_that_comes_back_again_and_again_as_servers_come_and_go_is_taken_by_the_last() {
    let mut table = queue(&[1]);
    let (id, mut outcome) = table.plain();
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    for peer in 2..6 {
        // That it was taken out of the queue is heard when the next server is there.
        table.down(peer - 1, true);
        table.up(peer);
        table.given_back(id, false);
        assert_eq!(table.asked(), [Asked::Call(ANY)], "nothing else would make it go on");
    }
    table.answer(5, id);
    assert!(outcome.try_recv().unwrap().is_ok());
}

#[test]
fn a_lost_taker_ends_plain_calls_and_idempotent_ones_go_on() {
    for started in [false, true] {
        let mut table = queue(&[1, 2]);
        let (plain, mut lost) = table.plain();
        let (idempotent, mut again) = table.call(|new| new.idempotent = true);
        assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(ANY)]);
        for id in [plain, idempotent] {
            if started {
                table.started(1, id);
            }
            table.given_back(id, true);
        }
        let failure = lost.try_recv().unwrap().unwrap_err();
        assert_eq!(failure.reason, Reason::ServerLost);
        assert_eq!(failure.message.contains("`s1`"), started, "{}", failure.message);
        assert_eq!(table.asked(), [Asked::Call(ANY)]);
        assert_eq!(table.in_flight(1), 0);
        table.answer(2, idempotent);
        assert!(again.try_recv().unwrap().is_ok());
    }
}

#[test]
fn a_taker_that_goes_loses_what_it_said_was_started_clean_or_not() {
    for clean in [false, true] {
        let mut table = queue(&[1, 2]);
        let (id, mut outcome) = table.plain();
        let (other, _queued) = table.plain();
        table.started(1, id);
        table.down(1, clean);
        assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
        // Whoever has the other says so.
        assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(ANY)]);
        table.answer(2, other);
        assert!(table.pending.is_empty());
    }
}

#[test]
fn what_the_queue_does_not_take_is_the_callers() {
    let mut table = queue(&[1, 2]);
    for one_way in [false, true] {
        let (id, mut outcome) = table.call(|new| new.one_way = one_way);
        let mut busy = Failure::new(Reason::Busy, "the queue is full");
        busy.retry_after = Some(SECOND);
        table.pending.refused(id, busy.clone(), table.now);
        assert_eq!(outcome.try_recv().unwrap(), Err(busy));
        assert_eq!(table.asked(), [Asked::Call(ANY)]);
    }
    let (id, mut outcome) = table.plain();
    // A server that took more than it can run: another may have room, and once it is tried.
    busy(&mut table, 1, id);
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(2)]);
    busy(&mut table, 2, id);
    assert_eq!(reason(&mut outcome), Some(Reason::Busy));
    assert!(table.pending.is_empty());
}

#[test]
fn a_one_way_call_ends_when_it_is_in_the_queue_or_taken_out_of_it() {
    let mut table = queue(&[1]);
    let (id, mut sent) = table.call(|new| new.one_way = true);
    table.pending.handed_over(id, table.now);
    assert!(sent.try_recv().unwrap().is_ok());
    let (id, mut stuck) = table.call(|new| new.one_way = true);
    table.pass(10 * SECOND - Duration::from_millis(1));
    assert_eq!(table.asked(), [Asked::Call(ANY), Asked::Call(ANY), Asked::Withdraw]);
    table.given_back(id, false);
    assert_eq!(reason(&mut stuck), Some(Reason::DeadlineBeforeSending));
    assert!(table.pending.is_empty());
}

#[test]
fn arguments_flow_once_the_taker_is_known() {
    let mut table = queue(&[1, 2]);
    let (id, arrivals) = upload(&mut table, true);
    table.pending.begun(PeerId(2), id, 1000);
    assert!(matches!(arrived(&arrivals)[..], [Arrival::Credit(StreamId(1), 1000)]));
    table.pending.send_item(id, StreamId(1), Bytes::from_static(&[0]), table.now);
    assert_eq!(table.sent_to(), [2]);
    table.down(2, true);
    assert_eq!(reason_of(&arrived(&arrivals)), Some(Reason::ServerLost), "what was sent is gone");
}

#[test]
fn arguments_that_not_every_server_takes_go_to_one_of_them() {
    let mut table = queue(&[1]);
    table.pending.peer_up(PeerId(2), NodeId(uuid::Uuid::from_u128(2)), 2000);
    table.pending.bounds.bytes = 10_000;
    let server = announcement("calc", "s2", ServerState::Ready);
    table.pending.announced(PeerId(2), server, table.now);
    let (_, mut outcome) = table.call(|new| new.params = vec![0; 1500].into());
    let (_, _other) = table.call(|new| new.params = vec![0; 1500].into());
    assert_eq!(table.asked(), [Asked::Call(2)]);
    assert_eq!(reason(&mut outcome), Some(Reason::RequestTooLarge), "as on other transports");
}

#[test]
fn a_closed_node_leaves_nothing_in_the_queue() {
    let mut table = queue(&[1]);
    let (_, mut queued) = table.plain();
    let (taken, _outcome) = table.plain();
    table.started(1, taken);
    table.asked();
    table.pending.close();
    assert_eq!(reason(&mut queued), Some(Reason::ServerLost));
    assert_eq!(table.asked(), [Asked::Cancel(ANY)]);
    assert!(table.pending.is_empty());
}

#[test]
fn a_watch_that_failed_is_the_reason_for_finding_nobody() {
    let message = |outcome: &mut Outcome| outcome.try_recv().unwrap().unwrap_err().message;
    let mut table = queue(&[]);
    let calc = "calc".into();
    let [(_, mut first), (_, mut second)] =
        [table.plain(), table.call(|new| new.timeout = Some(SECOND / 2))];
    table.pending.routes.watched(&calc, Some("the broker cannot be reached: refused".into()));
    table.pass(SECOND / 2);
    assert_eq!(
        message(&mut second),
        "the deadline came, and no server of `calc`: the broker cannot be reached: refused"
    );
    table.pass(SECOND / 2);
    assert_eq!(
        message(&mut first),
        "no server of `calc` within 1s: the broker cannot be reached: refused"
    );
    table.pending.routes.watched(&calc, None);
    let (_, mut third) = table.plain();
    table.pass(SECOND);
    assert!(message(&mut third).ends_with("raise client.wait_for_server"));
}

static CALC: ServiceSchema = ServiceSchema::new(|| {
    describe("calc".into(), "".into(), |methods| {
        let add = |it: &mut Describer| it.describe::<i64>();
        methods.method("add".into(), "".into(), "i64".into(), add).options(false, None);
    })
});

/// The same service of another version, whose method gives text.
fn with_text() -> Descriptor {
    let mut offers = CALC.offers().clone();
    offers.methods[0].result_schema = serde_json::json!({ "type": "string" }).into();
    offers
}

/// A server that says it has this schema.
fn up_with(table: &mut Table, peer: u64, hash: &str) {
    table.pending.routes.service(&"calc".into());
    table.pending.peer_up(PeerId(peer), NodeId(uuid::Uuid::from_u128(peer.into())), 500);
    let mut server = announcement("calc", &format!("s{peer}"), ServerState::Ready);
    server.schema = hash.into();
    table.pending.announced(PeerId(peer), server, table.now);
}

fn typed(table: &mut Table) -> Outcome {
    table.call(|new| new.expects = Some(&CALC)).1
}

fn question(table: &mut Table) -> Question {
    let mut questions = std::mem::take(&mut table.pending.compatibility.questions);
    assert_eq!(questions.len(), 1);
    questions.remove(0)
}

#[test]
fn a_call_that_not_every_server_fits_goes_to_one_that_does() {
    let mut table = queue(&[]);
    up_with(&mut table, 1, CALC.hash());
    up_with(&mut table, 2, CALC.hash());
    let _one = typed(&mut table);
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    // Of this one nobody knows yet.
    up_with(&mut table, 3, "other");
    let _two = [typed(&mut table), typed(&mut table)];
    assert_eq!(table.asked(), [Asked::Call(1), Asked::Call(2)]);
    assert_eq!((table.in_flight(1), table.in_flight(2)), (1, 1));
    let asked = question(&mut table);
    table.pending.described(&asked, Ok(with_text()), table.now);
    let _three = typed(&mut table);
    assert_eq!(table.asked(), [Asked::Call(1)], "it does not fit");
    // Who expects nothing fits them all.
    let _untyped = table.plain();
    assert_eq!(table.asked(), [Asked::Call(ANY)]);
    let draining = announcement("calc", "s3", ServerState::Draining);
    table.pending.announced(PeerId(3), draining, table.now);
    let _four = typed(&mut table);
    assert_eq!(table.asked(), [Asked::Call(ANY)], "it takes no more calls");
}

#[test]
fn a_call_that_all_versions_fit_goes_to_any() {
    let mut table = queue(&[]);
    up_with(&mut table, 1, CALC.hash());
    up_with(&mut table, 2, "other");
    let _one = typed(&mut table);
    let asked = question(&mut table);
    table.pending.described(&asked, Ok(CALC.offers().clone()), table.now);
    let _two = typed(&mut table);
    assert_eq!(table.asked(), [Asked::Call(1), Asked::Call(ANY)]);
    // One that no server fits is refused, and one that waits for an answer waits.
    table.down(1, true);
    table.down(2, true);
    table.asked();
    up_with(&mut table, 3, "a third");
    let mut three = typed(&mut table);
    assert_eq!(table.asked(), []);
    let asked = question(&mut table);
    table.pending.described(&asked, Ok(with_text()), table.now);
    let failure = three.try_recv().unwrap().unwrap_err();
    assert_eq!(failure.reason, Reason::Unsupported);
}

#[test]
fn lists_tell_how_full_the_queue_is() {
    let mut table = queue(&[1, 2]);
    let calc = "calc".into();
    let list = table.pending.routes.list(Some(&calc));
    assert!(list.iter().all(|server| (server.pending, server.lag) == (None, None)));
    assert!(!table.pending.routes.is_fresh(&calc, table.now));
    table.pending.routes.depth("calc".into(), 5, vec![("s2".into(), 3)], table.now);
    table.pending.routes.depth("other".into(), 5, Vec::new(), table.now);
    let list = table.pending.routes.list(None);
    let told: Vec<_> = list.iter().map(|server| (server.pending, server.lag)).collect();
    assert_eq!(told, [(Some(0), Some(5)), (Some(3), Some(5))]);
    assert!(table.pending.routes.is_fresh(&calc, table.now + SECOND / 2));
    assert!(!table.pending.routes.is_fresh(&calc, table.now + SECOND));
}
