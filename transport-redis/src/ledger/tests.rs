//! Ledgers at a real broker.

mod faults;
mod model;

use std::time::Duration;

use farcall_core::ledger::{
    Accepted, ArgumentsHash, Attempt, Caller, Command, Ending, Key, LedgerKind, LedgerStore,
    NewTask, Opening, Outcome, Policy, Reply, Swept, Task, TaskId, Verdict,
};
use farcall_core::wire::{Durability, NodeId};
use farcall_integration_tests::{RedisOptions, RedisServer};
use uuid::Uuid;

use super::RedisLedger;
use crate::config::RedisConfig;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without anything").block_on(future)
}

fn ledger(broker: &RedisServer) -> RedisLedger {
    RedisLedger::new(RedisConfig { url: broker.url(), ..RedisConfig::default() })
}

fn opening(server: &str, policy: Policy) -> Opening {
    Opening {
        namespace: "default".into(),
        service: "s".into(),
        server: server.into(),
        node: NodeId::generate(),
        policy,
    }
}

type Store = Box<dyn LedgerStore>;

fn open(ledger: &RedisLedger, server: &str) -> Store {
    block_on(ledger.open(opening(server, Policy::default()))).unwrap()
}

fn one(store: &Store, command: Command) -> Reply {
    block_on(store.apply(vec![command])).unwrap().remove(0)
}

fn waiting() -> NewTask {
    NewTask {
        method: "m".into(),
        params: bytes::Bytes::from_static(&[0x81, 0x00]),
        caller: Caller {
            identity: "c".to_owned(),
            node: Uuid::from_u128(5),
            uid: Some(7),
            pid: None,
        },
        headers: vec![("h".into(), "v".into())],
        key: None,
        expires_in: None,
        begin: false,
    }
}

fn begun() -> NewTask {
    NewTask { begin: true, ..waiting() }
}

fn accept(store: &Store, new: NewTask) -> Accepted {
    match one(store, Command::Accept(Box::new(new))) {
        Reply::Accepted(accepted) => *accepted,
        other => panic!("{other:?}"),
    }
}

fn claim(store: &Store, limit: usize) -> Vec<Attempt> {
    match one(store, Command::Claim { limit }) {
        Reply::Claimed(attempts) => attempts,
        other => panic!("{other:?}"),
    }
}

fn sweep(store: &Store) -> Swept {
    match one(store, Command::Sweep) {
        Reply::Swept(swept) => swept,
        other => panic!("{other:?}"),
    }
}

fn show(store: &Store, task: TaskId) -> Task {
    match one(store, Command::Show(task)) {
        Reply::Shown(view) => view.task,
        other => panic!("{other:?}"),
    }
}

fn done() -> Ending {
    Ending::Outcome(Outcome::Done(vec![0x01].into()))
}

fn finish(store: &Store, attempt: &Attempt) -> Reply {
    let Attempt { task, token, .. } = *attempt;
    one(store, Command::Finish { task, token, ending: done() })
}

fn has_ended(reply: &Reply) -> bool {
    matches!(reply, Reply::Ended(Verdict::Ended(_)))
}

#[test]
fn a_task_comes_back_as_it_was_accepted() {
    let broker = RedisServer::start();
    let store = open(&ledger(&broker), "a");
    let key = Key { key: "k\0é".to_owned(), arguments: ArgumentsHash([0xff; 32]) };
    let params = bytes::Bytes::from((0..=255).collect::<Vec<u8>>());
    let new = NewTask { key: Some(key.clone()), params: params.clone(), ..begun() };
    let attempt = accept(&store, new.clone()).attempt.unwrap();
    assert_eq!((attempt.token, &attempt.params, &*attempt.method), (1, &params, "m"));
    assert_eq!((&attempt.caller, &attempt.headers), (&new.caller, &new.headers));
    let value = vec![0xff, 0x00].into();
    let progress = Command::Progress { task: attempt.task, token: 1, value };
    assert_eq!(one(&store, progress), Reply::Done);
    let task = show(&store, attempt.task);
    assert_eq!((task.word(), task.key, task.params_size), ("running", Some(key), 256));
    assert_eq!(task.progress, Some(vec![0xff, 0x00].into()));
    let ending = Ending::Outcome(Outcome::Failed {
        code: 30,
        message: "é".into(),
        value: Some(vec![0xff].into()),
    });
    let Ending::Outcome(outcome) = &ending else { unreachable!() };
    let outcome = outcome.clone();
    let reply = one(&store, Command::Finish { task: attempt.task, token: 1, ending });
    assert!(has_ended(&reply), "{reply:?}");
    assert_eq!(show(&store, attempt.task).outcome(), Some(&outcome));
}

#[test]
fn what_a_dropped_server_ran_is_due_at_another() {
    let broker = RedisServer::start();
    let ledger = ledger(&broker);
    let (first, second) = (open(&ledger, "a"), open(&ledger, "b"));
    let attempt = accept(&first, begun()).attempt.unwrap();
    assert!(claim(&second, 9).is_empty());
    drop(first);
    let again = loop {
        if let Some(again) = claim(&second, 9).pop() {
            break again;
        }
        block_on(second.changed());
    };
    assert_eq!((again.task, again.token), (attempt.task, 2));
    assert!(has_ended(&finish(&second, &again)));
}

#[test]
fn one_hears_of_what_others_change() {
    let broker = RedisServer::start();
    let ledger = ledger(&broker);
    let (first, second) = (open(&ledger, "a"), open(&ledger, "b"));
    // The beginning of each is one.
    block_on(second.changed());
    let task = accept(&first, waiting()).task;
    block_on(second.changed());
    let attempt = claim(&second, 1).remove(0);
    assert_eq!(attempt.task, task);
    finish(&second, &attempt);
    block_on(first.changed());
    assert_eq!(show(&first, task).word(), "done");
}

#[test]
fn services_and_namespaces_have_ledgers_of_their_own() {
    let broker = RedisServer::start();
    let ledger = ledger(&broker);
    let store = open(&ledger, "a");
    let task = accept(&store, waiting()).task;
    for (namespace, service) in [("other", "s"), ("default", "t")] {
        let at = opening("a", Policy::default());
        let at = Opening { namespace: namespace.into(), service: service.into(), ..at };
        let other = block_on(ledger.open(at)).unwrap();
        assert!(claim(&other, 1).is_empty());
        assert_eq!(one(&other, Command::Show(task)), Reply::NotHere);
    }
}

#[test]
fn two_live_servers_of_one_id_have_no_ledger() {
    let broker = RedisServer::start();
    let ledger = ledger(&broker);
    let first = open(&ledger, "a");
    let error = block_on(ledger.open(opening("a", Policy::default()))).unwrap_err().to_string();
    assert!(error.contains("another live server has the id `a`"), "{error}");
    accept(&first, waiting());
    drop(first);
    assert_eq!(claim(&open(&ledger, "a"), 9).len(), 1);
}

#[test]
fn what_a_broker_keeps_is_what_it_says() {
    let config = |lines: &[&str]| {
        lines.iter().fold(RedisOptions::new(), |options, line| options.config(line))
    };
    for (lines, durability) in [
        (&["appendonly no"][..], Durability::Memory),
        (&["appendonly yes", "appendfsync no"], Durability::Memory),
        (&["appendonly yes", "appendfsync everysec"], Durability::EverySecond),
        (&["appendonly yes", "appendfsync always"], Durability::Always),
    ] {
        let broker = config(lines).start();
        assert_eq!(open(&ledger(&broker), "a").durability(), durability, "{lines:?}");
        let wanted = RedisConfig {
            url: broker.url(),
            durability: Durability::Always,
            ..RedisConfig::default()
        };
        let opened = block_on(RedisLedger::new(wanted).open(opening("b", Policy::default())));
        assert_eq!(opened.is_ok(), durability == Durability::Always, "{lines:?}");
    }
}

#[test]
fn what_has_ended_has_a_time_to_live_and_what_has_not_has_none() {
    let broker = RedisServer::start();
    let store = open(&ledger(&broker), "a");
    let lives =
        |name: &str| broker.ask::<i64>(&["TTL", &format!("farcall:{{default/s}}:ledger:{name}")]);
    let attempt = accept(&store, begun()).attempt.unwrap();
    for name in ["meta", "tasks", "params", "all", "running", "holders"] {
        assert_eq!(lives(name), -1, "{name}");
    }
    finish(&store, &attempt);
    let keys: Vec<String> = broker.ask(&["KEYS", "*"]);
    assert!(keys.len() >= 7, "{keys:?}");
    for key in keys {
        let day = Duration::from_secs(27 * 3600).as_secs().cast_signed();
        let lives: i64 = broker.ask(&["TTL", &key]);
        assert!(lives > 0 && lives < day, "{key}: {lives}");
    }
}
