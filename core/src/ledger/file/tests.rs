use std::path::Path;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use tempfile::TempDir;

use super::*;
use crate::ledger::{
    AcceptRefusal, Accepted, ArgumentsHash, Attempt, Caller, Ending, Key, NewTask, Outcome, Policy,
    Swept, TaskId, Verdict, View,
};
use crate::wire::NodeId;

/// A folder, and servers that keep their tasks in it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Scene(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> std::path::PathBuf {
        self.0.path().join("default/jobs")
    }

    fn try_open(&self, server: &str) -> Result<Server, StoreError> {
        let at = Opening {
            namespace: "default".into(),
            service: "jobs".into(),
            server: server.into(),
            node: NodeId::generate(),
            policy: Policy { retention: Duration::ZERO, ..Policy::default() },
        };
        block_on(FileLedger::new(self.0.path()).open(at)).map(Server)
    }

    fn open(&self, server: &str) -> Server {
        self.try_open(server).unwrap()
    }

    fn files(&self, ending: &str) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|it| it == ending)).collect()
    }

    fn keys(&self) -> usize {
        std::fs::read_dir(self.folder().join("keys")).unwrap().count()
    }
}

struct Server(Box<dyn LedgerStore>);

impl Server {
    fn tell(&self, command: Command) -> Reply {
        block_on(self.0.apply(vec![command])).unwrap().remove(0)
    }

    fn accept(&self, new: NewTask) -> Accepted {
        match self.tell(Command::Accept(Box::new(new))) {
            Reply::Accepted(accepted) => *accepted,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&self) -> Vec<Attempt> {
        match self.tell(Command::Claim { limit: 100 }) {
            Reply::Claimed(attempts) => attempts,
            other => panic!("{other:?}"),
        }
    }

    fn show(&self, task: TaskId) -> View {
        match self.tell(Command::Show(task)) {
            Reply::Shown(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn finish(&self, task: TaskId, token: u64) -> Reply {
        let ending = Ending::Outcome(Outcome::Done(vec![1].into()));
        self.tell(Command::Finish { task, token, ending })
    }

    fn sweep(&self) -> Swept {
        match self.tell(Command::Sweep) {
            Reply::Swept(swept) => swept,
            other => panic!("{other:?}"),
        }
    }
}

fn task(begin: bool) -> NewTask {
    NewTask {
        method: "m".into(),
        params: bytes::Bytes::from_static(&[0x81, 7]),
        caller: Caller::of_tests(),
        headers: vec![("h".into(), "v".into())],
        key: None,
        expires_in: None,
        begin,
    }
}

fn keyed(key: &str, arguments: u8) -> NewTask {
    let arguments = ArgumentsHash([arguments; 32]);
    NewTask { key: Some(Key { key: key.to_owned(), arguments }), ..task(false) }
}

#[test]
fn a_server_that_starts_again_has_its_tasks_and_resumes_them() {
    let scene = Scene::new();
    let first = scene.open("a");
    let runs = first.accept(task(true)).task;
    let waits = first.accept(task(false)).task;
    let done = first.accept(task(true)).task;
    first.finish(done, 1);
    drop(first);
    let again = scene.open("a");
    assert_eq!(again.show(done).task.word(), "done");
    assert_eq!((again.show(runs).task.crashes, again.show(waits).task.crashes), (1, 0));
    let attempts = again.claim();
    let claimed: Vec<_> = attempts.iter().map(|it| (it.task, it.token)).collect();
    assert_eq!(claimed, [(waits, 1), (runs, 2)]);
    assert_eq!(attempts[0].params, task(false).params);
    assert_eq!(attempts[0].headers, task(false).headers);
    assert_eq!(attempts[0].caller, Caller::of_tests());
    assert_eq!(again.accept(task(false)).task.number, 4, "numbers go on");
    assert_eq!(scene.files("redb").len(), 1);
}

#[test]
fn two_servers_have_a_ledger_each_and_do_not_see_the_others_tasks() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let task = a.accept(task(false)).task;
    assert!(b.claim().is_empty());
    assert_eq!(b.tell(Command::Show(task)), Reply::NotHere);
    assert_eq!(b.tell(Command::Cancel(task)), Reply::NotHere);
    assert_eq!(b.finish(task, 1), Reply::NotHere);
}

#[test]
fn a_ledger_whose_server_is_gone_is_adopted_within_two_seconds_and_its_attempts_are_fenced() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let runs = a.accept(task(true)).task;
    drop(a);
    let gone = Instant::now();
    let mut attempts = Vec::new();
    while attempts.is_empty() {
        b.sweep();
        attempts = b.claim();
    }
    assert!(gone.elapsed() < Duration::from_secs(2), "{:?}", gone.elapsed());
    assert_eq!((attempts[0].task, attempts[0].token), (runs, 2));
    assert_eq!(b.finish(runs, 1), Reply::Fenced);
    assert!(matches!(b.finish(runs, 2), Reply::Ended(Verdict::Ended(_))));
    // The first comes back, finds that its ledger is somebody's, and takes a new one.
    let again = scene.open("a");
    assert_eq!(again.tell(Command::Show(runs)), Reply::NotHere);
    assert_eq!(scene.files("redb").len(), 3);
}

#[test]
fn a_start_takes_a_ledger_that_is_free_before_it_makes_a_new_one() {
    let scene = Scene::new();
    let first = scene.open("a");
    let waits = first.accept(task(false)).task;
    drop(first);
    let other = scene.open("generated");
    assert_eq!(other.claim()[0].task, waits);
    assert_eq!(scene.files("redb").len(), 1);
    drop(other);
    // Whose it is now is what it says.
    let (_a, same) = (scene.open("generated"), scene.open("a"));
    assert_eq!(same.tell(Command::Show(waits)), Reply::NotHere);
}

#[test]
fn a_key_is_one_task_for_all_servers() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let first = a.accept(keyed("k", 1));
    assert!(first.known.is_none() && !first.elsewhere);
    let second = b.accept(keyed("k", 1));
    assert_eq!((second.task, second.elsewhere), (first.task, true));
    let conflict = b.tell(Command::Accept(Box::new(keyed("k", 2))));
    assert_eq!(conflict, Reply::NotAccepted(AcceptRefusal::KeyConflict));
    assert_eq!(a.accept(keyed("k", 1)).known.unwrap().word(), "waiting");
    // With its server the key passes on to whoever asks for it first.
    drop(a);
    let third = b.accept(keyed("k", 1));
    assert_eq!((third.task, third.elsewhere), (first.task, false));
    assert_eq!(third.known.unwrap().word(), "waiting");
}

#[test]
fn a_forgotten_task_leaves_its_key_to_others() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let first = a.accept(keyed("k", 1)).task;
    assert_eq!(a.claim().len(), 1);
    a.finish(first, 1);
    assert_eq!(scene.keys(), 1);
    a.sweep();
    assert_eq!(scene.keys(), 0);
    let second = b.accept(keyed("k", 2));
    assert!(!second.elsewhere && second.known.is_none());
}

#[test]
fn a_key_that_was_given_and_whose_task_was_never_recorded_is_free_after_the_next_start() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let there = a.accept(keyed("there", 1)).task;
    // As it is left by a server that dies between the two.
    let key = Key { key: "k".to_owned(), arguments: ArgumentsHash([1; 32]) };
    let keys = keys::Keys::open(&scene.folder()).unwrap();
    let lost = TaskId { number: 9, ..there };
    keys.give().unwrap().give("m", &key, lost).unwrap();
    let busy = b.tell(Command::Accept(Box::new(keyed("k", 1))));
    assert_eq!(busy, Reply::NotAccepted(AcceptRefusal::KeyBusy));
    drop(a);
    let again = scene.open("a");
    assert!(!b.accept(keyed("k", 1)).elsewhere);
    assert!(again.accept(keyed("there", 1)).known.is_some());
    // A claim of a ledger that is not there at all is nobody's.
    let nobody = TaskId { ledger: uuid::Uuid::from_u128(4), number: 1 };
    let key = Key { key: "n".to_owned(), ..key };
    keys.give().unwrap().give("m", &key, nobody).unwrap();
    assert!(!b.accept(keyed("n", 1)).elsewhere);
}

fn ruin(path: &Path) {
    std::fs::write(path, b"this is no database").unwrap();
}

#[test]
fn a_ledger_that_cannot_be_read_keeps_its_server_from_starting_and_no_other() {
    let scene = Scene::new();
    drop(scene.open("a"));
    ruin(&scene.files("redb")[0]);
    let error = scene.try_open("a").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&scene.files("redb")[0].display().to_string()), "{error}");
    let other = scene.open("b");
    other.accept(task(true));
    assert_eq!(scene.files("redb").len(), 2);
}

#[test]
fn suspects_of_two_ledgers_run_one_at_a_time() {
    let scene = Scene::new();
    let (a, b) = (scene.open("a"), scene.open("b"));
    let theirs = a.accept(task(true)).task;
    let own = b.accept(task(true)).task;
    drop((a, b));
    let one = scene.open("b");
    let first = one.claim();
    assert_eq!(first.iter().map(|it| it.task).collect::<Vec<_>>(), [own]);
    // The other ledger comes by adoption; its suspect waits for this one.
    while one.tell(Command::Show(theirs)) == Reply::NotHere {
        one.sweep();
    }
    assert!(one.claim().is_empty());
    one.finish(own, 2);
    assert_eq!(one.claim()[0].task, theirs);
}

#[test]
fn batches_that_wait_are_written_together_and_answered_in_their_order() {
    let scene = Scene::new();
    let server = scene.open("a");
    let batches = (0..100).map(|_| server.0.apply(vec![Command::Accept(Box::new(task(false))); 3]));
    let replies = block_on(futures::future::join_all(batches));
    let numbers: Vec<u64> = replies
        .into_iter()
        .flat_map(Result::unwrap)
        .map(|reply| match reply {
            Reply::Accepted(accepted) => accepted.task.number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, (1..=300).collect::<Vec<u64>>());
}

#[test]
fn a_ledger_whose_making_was_cut_short_is_none() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.folder()).unwrap();
    let ledger = uuid::Uuid::now_v7().simple().to_string();
    std::fs::write(scene.folder().join(format!("{ledger}.lock")), "").unwrap();
    std::fs::write(scene.folder().join(format!("{ledger}.new")), [0; 100]).unwrap();
    let server = scene.open("a");
    server.accept(task(true));
    assert_eq!(scene.files("redb").len(), 1, "it has one of its own");
}
