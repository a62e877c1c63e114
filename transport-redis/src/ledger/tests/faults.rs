//! What becomes of tasks when connections, holders and brokers go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

fn progress(store: &Store, attempt: &Attempt) -> Reply {
    let Attempt { task, token, .. } = *attempt;
    one(store, Command::Progress { task, token, value: vec![0x01].into() })
}

/// Breaks all connections to a broker, again and again, while this lives.
struct Breaking {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Breaking {
    fn of(broker: Arc<RedisServer>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for kind in ["normal", "pubsub"] {
                    let _ = broker.try_ask::<redis::Value>(&["CLIENT", "KILL", "TYPE", kind]);
                }
                thread::sleep(Duration::from_millis(3));
            }
        });
        Breaking { stop, thread: Some(thread) }
    }
}

impl Drop for Breaking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_batch_is_done_once_however_often_connections_break() {
    let broker = Arc::new(RedisServer::start());
    let store = open(&ledger(&broker), "a");
    let mut attempts = Vec::new();
    let breaking = Breaking::of(Arc::clone(&broker));
    for _ in 0..60 {
        let new = || Command::Accept(Box::new(begun()));
        let replies = block_on(store.apply(vec![new(), new(), new()])).unwrap();
        for reply in replies {
            let Reply::Accepted(accepted) = reply else { panic!("{reply:?}") };
            attempts.push(accepted.attempt.unwrap());
        }
        let last = attempts.last().unwrap();
        assert!(
            has_ended(&finish(&store, last)),
            "it is told, and not that it has happened before"
        );
    }
    drop(breaking);
    let numbers: Vec<u64> = attempts.iter().map(|attempt| attempt.task.number).collect();
    assert_eq!(numbers, (1..=180).collect::<Vec<_>>());
    let Reply::Listed(_, all) = one(&store, Command::List { limit: 0 }) else { panic!() };
    assert_eq!(all, 180);
}

#[test]
fn a_broker_that_comes_back_with_its_data_has_every_holder_begin_anew() {
    let options = RedisOptions::new().config("appendonly yes").config("appendfsync always");
    let broker = options.start();
    let store = open(&ledger(&broker), "a");
    let old = accept(&store, begun()).attempt.unwrap();
    let known = accept(&store, waiting()).task;
    broker.restart();
    assert_eq!(progress(&store, &old), Reply::Fenced);
    assert_eq!(claim(&store, 9), [], "not before whoever runs it knows");
    assert_eq!(sweep(&store).taken, [old.task]);
    let claimed = claim(&store, 9);
    let of = |attempt: &Attempt| (attempt.task, attempt.token);
    assert_eq!(claimed.iter().map(of).collect::<Vec<_>>(), [(known, 1), (old.task, 2)]);
    let task = show(&store, old.task);
    assert_eq!((task.crashes, task.interruptions), (0, 1), "the server did not die");
    assert!(claimed.iter().all(|attempt| has_ended(&finish(&store, attempt))));
}

#[test]
fn a_broker_that_lost_its_data_has_an_empty_ledger() {
    let broker = RedisServer::start();
    let store = open(&ledger(&broker), "a");
    let old = accept(&store, begun()).attempt.unwrap();
    broker.command(&["FLUSHALL"]);
    assert_eq!(progress(&store, &old), Reply::NotHere);
    assert_eq!(sweep(&store).taken, [old.task]);
    let new = accept(&store, begun()).attempt.unwrap();
    assert_ne!(new.task.ledger, old.task.ledger);
    assert!(has_ended(&finish(&store, &new)));
}

#[test]
fn a_holder_that_is_silent_for_a_lease_is_taken_over_and_fenced_when_it_is_back() {
    let broker = RedisServer::start();
    let config = |lease| RedisConfig {
        url: broker.url(),
        lease: Duration::from_millis(lease),
        ..RedisConfig::default()
    };
    // Its renewals are lost, as those of a process that is stopped: the broker does not know its epoch for a lease.
    let silent = open(&RedisLedger::new(config(3_600_000)), "a");
    let other = open(&RedisLedger::new(config(300)), "b");
    let old = accept(&silent, begun()).attempt.unwrap();
    let leases = "farcall:{default/s}:ledger:leases";
    let epoch: String = broker.ask(&["HGET", "farcall:{default/s}:ledger:ids", "a"]);
    let again = loop {
        broker.command(&["ZADD", leases, "XX", "1", &epoch]);
        if let Some(again) = claim(&other, 1).pop() {
            break again;
        }
    };
    assert_eq!((again.task, again.token), (old.task, 2));
    assert_eq!(show(&other, old.task).crashes, 1);
    assert_eq!(finish(&silent, &old), Reply::Fenced);
    assert_eq!(sweep(&silent).taken, []);
    let now: String = broker.ask(&["HGET", "farcall:{default/s}:ledger:ids", "a"]);
    assert!(now.parse::<u64>().unwrap() > epoch.parse().unwrap(), "it has begun anew");
    assert!(has_ended(&finish(&other, &again)));
    assert_eq!(show(&silent, old.task).word(), "done");
}

#[test]
fn a_broker_without_memory_takes_outcomes_and_no_tasks() {
    let broker = RedisServer::start();
    let store = open(&ledger(&broker), "a");
    let attempt = accept(&store, begun()).attempt.unwrap();
    broker.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = one(&store, Command::Accept(Box::new(waiting())));
    assert_eq!(refused, Reply::NotAccepted(farcall_core::ledger::AcceptRefusal::Full));
    assert!(has_ended(&finish(&store, &attempt)));
    broker.command(&["CONFIG", "SET", "maxmemory", "0"]);
    accept(&store, waiting());
}
