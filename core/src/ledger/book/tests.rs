use super::*;
use crate::ledger::{ArgumentsHash, Key};

const SECOND: u64 = 1_000_000;

/// A book, its holders `a` and `b`, and a clock.
struct Scene {
    book: Book,
    a: Holder,
    b: Holder,
    now: u64,
    /// All that was written down.
    log: Vec<Change>,
}

impl Scene {
    fn new(policy: Policy) -> Self {
        let mut book = Book::new(Uuid::from_u128(1), policy);
        let mut log = Vec::new();
        let mut open = |server| {
            let (holder, changes) = book.open(server, NodeId::generate(), Timestamp(SECOND));
            changes.iter().for_each(|change| book.apply(change));
            log.extend(changes);
            holder
        };
        let (a, b) = (open("a"), open("b"));
        Scene { book, a, b, now: SECOND, log }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        changes.iter().for_each(|change| self.book.apply(change));
        self.log.extend(changes);
    }

    /// With the longest waits that chance may bring.
    fn moment(&self) -> Moment {
        Moment { now: Timestamp(self.now), random: u64::MAX }
    }

    fn by(&mut self, holder: &Holder, command: Command) -> Reply {
        let (reply, changes) = self.book.decide(holder, command, self.moment());
        self.apply(changes);
        reply
    }

    fn tell(&mut self, command: Command) -> Reply {
        self.by(&self.a.clone(), command)
    }

    fn accept(&mut self, new: NewTask) -> Accepted {
        match self.tell(Command::Accept(Box::new(new))) {
            Reply::Accepted(accepted) => *accepted,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, limit: usize) -> Vec<Attempt> {
        match self.tell(Command::Claim { limit }) {
            Reply::Claimed(attempts) => attempts,
            other => panic!("{other:?}"),
        }
    }

    fn numbers(&mut self, limit: usize) -> Vec<u64> {
        self.claim(limit).into_iter().map(|attempt| attempt.task.number).collect()
    }

    /// Accepts so many, and runs all of them.
    fn running(&mut self, count: u64) -> Vec<Attempt> {
        (0..count).map(|_| self.accept(begun()).attempt.unwrap()).collect()
    }

    fn finish(&mut self, attempt: &Attempt, ending: Ending) -> Reply {
        self.tell(Command::Finish { task: attempt.task, token: attempt.token, ending })
    }

    /// `a` is killed, and starts again.
    fn crash(&mut self) {
        let lost = self.a.clone();
        let changes = self.book.lost(|holder| *holder == lost, self.moment());
        self.apply(changes);
        let (holder, changes) = self.book.open("a", NodeId::generate(), Timestamp(self.now));
        self.apply(changes);
        self.a = holder;
    }

    fn task(&self, id: TaskId) -> &Task {
        &self.book.tasks[&id.number]
    }

    fn sweep(&mut self) -> Swept {
        match self.tell(Command::Sweep) {
            Reply::Swept(swept) => swept,
            other => panic!("{other:?}"),
        }
    }
}

fn scene() -> Scene {
    Scene::new(Policy::default())
}

fn waiting() -> NewTask {
    NewTask {
        method: "m".into(),
        params: Bytes::from_static(&[0x80]),
        caller: crate::ledger::Caller::of_tests(),
        headers: vec![("h".into(), "v".into())],
        key: None,
        expires_in: None,
        begin: false,
    }
}

fn begun() -> NewTask {
    NewTask { begin: true, ..waiting() }
}

fn keyed(key: &str, arguments: u8) -> NewTask {
    let arguments = ArgumentsHash([arguments; 32]);
    NewTask { key: Some(Key { key: key.to_owned(), arguments }), ..waiting() }
}

fn done() -> Ending {
    Ending::Outcome(Outcome::Done(vec![1].into()))
}

fn again() -> Ending {
    Ending::Again("not yet".to_owned())
}

#[test]
fn a_task_waits_runs_and_ends() {
    let mut scene = scene();
    let accepted = scene.accept(waiting());
    assert_eq!((accepted.attempt, accepted.known), (None, None));
    let attempt = scene.claim(9).remove(0);
    assert_eq!((attempt.task, attempt.token), (accepted.task, 1));
    assert_eq!(attempt.params, Bytes::from_static(&[0x80]));
    assert_eq!(attempt.headers, [("h".into(), "v".into())]);
    assert_eq!(scene.task(attempt.task).word(), "running");
    let Reply::Ended(Verdict::Ended(task)) = scene.finish(&attempt, done()) else { panic!() };
    assert_eq!(task.task.told(), Some(Ok(Bytes::from_static(&[1]))));
    assert_eq!((scene.book.unfinished(), scene.book.params.len()), (0, 0));
}

#[test]
fn one_that_there_is_a_place_for_begins_as_it_is_accepted() {
    let mut scene = scene();
    let attempt = scene.accept(begun()).attempt.unwrap();
    assert_eq!(attempt.token, 1);
    assert!(scene.claim(9).is_empty());
}

#[test]
fn tasks_run_in_the_order_in_which_they_are_due() {
    let mut scene = scene();
    for _ in 0..4 {
        scene.accept(waiting());
    }
    assert_eq!(scene.numbers(1), [1]);
    assert_eq!(scene.numbers(2), [2, 3]);
    assert_eq!(scene.numbers(0), [0; 0]);
    assert_eq!(scene.numbers(9), [4]);
}

#[test]
fn an_outcome_is_written_once() {
    let mut scene = scene();
    let attempt = scene.running(1).remove(0);
    scene.finish(&attempt, done());
    assert_eq!(scene.finish(&attempt, done()), Reply::Fenced);
    let failed = Outcome::Failed { code: 30, message: "x".into(), value: None };
    assert_eq!(scene.finish(&attempt, Ending::Outcome(failed)), Reply::Fenced);
    assert_eq!(scene.task(attempt.task).word(), "done");
}

#[test]
fn only_the_current_token_of_the_current_holder_counts() {
    let mut scene = scene();
    let old = scene.running(1).remove(0);
    let dead = scene.a.clone();
    scene.crash();
    let new = scene.claim(1).remove(0);
    assert_eq!((new.task, new.token), (old.task, 2));
    for token in [0, 1, 3, u64::MAX] {
        let finish = Command::Finish { task: old.task, token, ending: done() };
        assert_eq!(scene.tell(finish), Reply::Fenced, "token {token}");
    }
    // The right token, by a holder that differs in one thing.
    let holder = scene.a.clone();
    let others = [
        Holder { server: "x".into(), ..holder.clone() },
        Holder { node: NodeId::generate(), ..holder.clone() },
        Holder { epoch: holder.epoch + 1, ..holder.clone() },
        Holder { epoch: holder.epoch - 1, ..holder },
        scene.b.clone(),
        dead,
    ];
    for other in others {
        let finish = Command::Finish { task: new.task, token: new.token, ending: done() };
        assert_eq!(scene.by(&other, finish), Reply::Fenced, "{other:?}");
        let value = vec![1].into();
        let progress = Command::Progress { task: new.task, token: new.token, value };
        assert_eq!(scene.by(&other, progress), Reply::Fenced, "{other:?}");
    }
    assert!(matches!(scene.finish(&new, done()), Reply::Ended(Verdict::Ended(_))));
}

#[test]
fn tokens_only_grow() {
    let mut scene = scene();
    let mut attempt = scene.running(1).remove(0);
    for expected in 2..4 {
        scene.finish(&attempt, Ending::Released);
        attempt = scene.claim(1).remove(0);
        assert_eq!(attempt.token, expected);
    }
}

#[test]
fn epochs_grow_also_when_the_clock_does_not() {
    let mut scene = scene();
    let before = scene.a.epoch;
    scene.now = 5;
    scene.crash();
    assert!(scene.a.epoch > before);
    scene.now = 1_000_000 * SECOND;
    scene.crash();
    assert_eq!(scene.a.epoch, 1_000_000 * SECOND);
}

#[test]
fn an_error_that_asks_for_it_is_tried_again_later_and_later_until_it_is_dead() {
    let mut scene = scene();
    let mut attempt = scene.running(1).remove(0);
    for wait in [1, 2, 4, 8] {
        let wait = Duration::from_secs(wait);
        let Reply::Ended(Verdict::Again(waits)) = scene.finish(&attempt, again()) else { panic!() };
        // Chance is nearly all.
        assert!(waits <= wait, "{waits:?}");
        assert!(scene.claim(1).is_empty() || waits.is_zero());
        scene.now += u64::try_from(waits.as_micros()).unwrap();
        attempt = scene.claim(1).remove(0);
    }
    let Reply::Ended(Verdict::Ended(task)) = scene.finish(&attempt, again()) else { panic!() };
    assert_eq!(task.task.outcome(), Some(&Outcome::Dead(DeadBy::Failures)));
    let told = task.task.told().unwrap().unwrap_err();
    assert_eq!(told.reason, crate::wire::Reason::TaskDead);
    assert_eq!(told.message, "the task is dead: it failed 5 times while it ran; last: not yet");
}

#[test]
fn the_first_crash_is_resumed_at_once_and_the_third_is_the_last() {
    let mut scene = scene();
    let id = scene.running(1).remove(0).task;
    scene.crash();
    assert_eq!(scene.numbers(1), [id.number], "at once");
    scene.crash();
    let State::Waiting { due, why: Why::Crashed } = scene.task(id).state else { panic!() };
    assert!(due.0 > scene.now && due.0 <= scene.now + SECOND, "{due:?}");
    scene.now = due.0;
    assert_eq!(scene.numbers(1), [id.number]);
    scene.crash();
    assert_eq!(scene.task(id).outcome(), Some(&Outcome::Dead(DeadBy::Crashes)));
    assert!(scene.book.params.contains_key(&id.number), "somebody may look at it");
    assert_eq!(scene.book.unfinished(), 0);
}

#[test]
fn what_is_let_go_has_not_crashed_and_may_be_let_go_for_ever() {
    let mut scene = scene();
    let mut attempt = scene.running(1).remove(0);
    for _ in 0..100 {
        scene.finish(&attempt, Ending::Released);
        attempt = scene.claim(1).remove(0);
    }
    let task = scene.task(attempt.task);
    assert_eq!((task.interruptions, task.crashes, task.failures), (100, 0, 0));
}

#[test]
fn suspects_run_one_at_a_time_and_others_beside_them() {
    let mut scene = scene();
    scene.running(3);
    scene.crash();
    scene.accept(waiting());
    assert_eq!(scene.numbers(9), [1, 4], "one suspect, and whoever else there is");
    assert_eq!(scene.numbers(9), [0; 0]);
    let attempt = Attempt { token: 2, ..attempt_of(&scene, 1) };
    scene.finish(&attempt, done());
    assert_eq!(scene.numbers(9), [2]);
}

/// What is known of the running attempt of a task.
fn attempt_of(scene: &Scene, number: u64) -> Attempt {
    let task = &scene.book.tasks[&number];
    Attempt {
        task: scene.book.id(number),
        token: task.token,
        method: "m".into(),
        params: Bytes::new(),
        caller: crate::ledger::Caller::of_tests(),
        headers: Vec::new(),
        time_left: None,
    }
}

#[test]
fn a_task_that_kills_its_servers_dies_alone() {
    let mut scene = scene();
    // The first kills whoever runs it; the others need some time, and are there when it does.
    let killer = scene.running(6).remove(0).task;
    let mut rounds = 0;
    while !scene.task(killer).is_ended() {
        rounds += 1;
        assert!(rounds < 50);
        scene.crash();
        loop {
            scene.now += 300 * SECOND;
            let begun = scene.claim(9);
            if begun.iter().any(|attempt| attempt.task == killer) || begun.is_empty() {
                break;
            }
            for attempt in begun {
                scene.finish(&attempt, done());
            }
        }
    }
    while let [attempt] = &scene.claim(1)[..] {
        let attempt = attempt.clone();
        scene.finish(&attempt, done());
    }
    let words: Vec<_> = scene.book.tasks.values().map(Task::word).collect();
    assert_eq!(words, ["dead", "done", "done", "done", "done", "done"]);
}

#[test]
fn the_lane_is_a_holders_own() {
    let mut scene = scene();
    scene.running(2);
    scene.crash();
    assert_eq!(scene.numbers(9), [1]);
    let b = scene.b.clone();
    assert!(
        matches!(scene.by(&b, Command::Claim { limit: 9 }), Reply::Claimed(it) if it.len() == 1)
    );
}

#[test]
fn a_key_stands_for_one_task_and_its_outcome() {
    let mut scene = scene();
    let first = scene.accept(keyed("k", 1));
    let second = scene.accept(keyed("k", 1));
    assert_eq!(second.task, first.task);
    assert_eq!(second.known.unwrap().word(), "waiting");
    let attempt = scene.claim(9);
    assert_eq!(attempt.len(), 1, "it runs once");
    scene.finish(&attempt[0], done());
    let third = scene.accept(keyed("k", 1)).known.unwrap();
    assert_eq!(third.told(), Some(Ok(Bytes::from_static(&[1]))));
}

#[test]
fn a_key_with_other_arguments_is_refused_and_another_method_has_its_own() {
    let mut scene = scene();
    scene.accept(keyed("k", 1));
    let conflict = scene.tell(Command::Accept(Box::new(keyed("k", 2))));
    assert_eq!(conflict, Reply::NotAccepted(AcceptRefusal::KeyConflict));
    let other = NewTask { method: "n".into(), ..keyed("k", 2) };
    assert!(scene.accept(other).known.is_none());
}

#[test]
fn failures_are_outcomes_of_a_key_too() {
    let mut scene = scene();
    let attempt = scene.accept(NewTask { begin: true, ..keyed("k", 1) }).attempt.unwrap();
    let failed = Outcome::Failed { code: 0, message: "no".into(), value: Some(vec![2].into()) };
    scene.finish(&attempt, Ending::Outcome(failed));
    let told = scene.accept(keyed("k", 1)).known.unwrap().told().unwrap().unwrap_err();
    assert_eq!((told.reason, told.value), (crate::wire::Reason::Returned, Some(vec![2].into())));
}

#[test]
fn a_key_is_kept_from_the_outcome_on_for_its_retention() {
    let mut scene = scene();
    scene.accept(keyed("k", 1));
    let day = 24 * 3600 * SECOND;
    scene.now += 5 * day;
    scene.sweep();
    let attempt = scene.claim(1).remove(0);
    scene.finish(&attempt, done());
    scene.now += day - 1;
    scene.sweep();
    assert!(scene.accept(keyed("k", 1)).known.is_some());
    scene.now += 1;
    scene.sweep();
    assert!(scene.accept(keyed("k", 2)).known.is_none(), "it may be used again");
}

#[test]
fn a_task_whose_time_is_over_expires_wherever_it_stands() {
    let mut scene = scene();
    let time = Some(Duration::from_secs(1));
    let waits = scene.accept(NewTask { expires_in: time, ..waiting() }).task;
    let runs = scene.accept(NewTask { expires_in: time, ..begun() });
    assert_eq!(runs.attempt.as_ref().unwrap().time_left, time);
    assert_eq!(scene.sweep().next, time);
    scene.now += SECOND;
    assert!(scene.claim(9).is_empty(), "what is over is not begun");
    assert_eq!(scene.sweep().expired, [waits, runs.task]);
    assert_eq!(scene.finish(&runs.attempt.unwrap(), done()), Reply::Fenced);
    let told = scene.task(waits).told().unwrap().unwrap_err();
    assert_eq!(told.reason, crate::wire::Reason::TaskExpired);
    assert_eq!(scene.sweep(), Swept::default());
}

#[test]
fn a_cancelled_task_has_ended_and_its_attempt_is_fenced() {
    let mut scene = scene();
    let attempt = scene.running(1).remove(0);
    let cancel = Command::Cancel(attempt.task);
    assert!(
        matches!(scene.tell(cancel.clone()), Reply::Ended(Verdict::Ended(it)) if it.task.word() == "cancelled")
    );
    assert_eq!(scene.finish(&attempt, done()), Reply::Fenced);
    // Again, and of one that was done before.
    assert!(matches!(scene.tell(cancel), Reply::Ended(Verdict::Ended(_))));
    let attempt = scene.running(1).remove(0);
    scene.finish(&attempt, done());
    assert!(
        matches!(scene.tell(Command::Cancel(attempt.task)), Reply::Ended(Verdict::Ended(it)) if it.task.word() == "done")
    );
}

#[test]
fn a_dead_task_is_tried_again_as_a_new_one() {
    let mut scene = Scene::new(Policy { failures: 1, ..Policy::default() });
    let attempt = scene.accept(NewTask { begin: true, ..keyed("k", 1) }).attempt.unwrap();
    assert_eq!(scene.tell(Command::Retry(attempt.task)), Reply::NotDead);
    scene.finish(&attempt, again());
    let Reply::Accepted(retry) = scene.tell(Command::Retry(attempt.task)) else { panic!() };
    assert_ne!(retry.task, attempt.task);
    assert_eq!(scene.task(retry.task).retry_of, Some(attempt.task.number));
    let anew = scene.claim(9).remove(0);
    assert_eq!((anew.task, anew.params), (retry.task, attempt.params));
    let known = scene.accept(keyed("k", 1)).known.unwrap();
    assert_eq!(known.word(), "dead", "the key stays with its outcome");
}

#[test]
fn the_dead_are_kept_longer_and_in_number() {
    let mut scene = Scene::new(Policy { failures: 1, max_dead: 2, ..Policy::default() });
    for attempt in scene.running(3) {
        scene.finish(&attempt, again());
    }
    scene.now += 30 * 24 * 3600 * SECOND;
    scene.sweep();
    assert_eq!(scene.book.tasks.keys().collect::<Vec<_>>(), [&2, &3]);
    scene.now += 60 * 24 * 3600 * SECOND;
    scene.sweep();
    assert!(scene.book.tasks.is_empty());
}

#[test]
fn there_is_a_bound_for_how_many_and_how_much() {
    let mut scene = Scene::new(Policy { max_unfinished: 2, ..Policy::default() });
    let attempts = scene.running(2);
    let refused = |why| Reply::NotAccepted(why);
    let more = Command::Accept(Box::new(waiting()));
    assert_eq!(scene.tell(more.clone()), refused(AcceptRefusal::TooMany));
    scene.finish(&attempts[0], done());
    assert!(matches!(scene.tell(more), Reply::Accepted(_)));

    let mut scene = Scene::new(Policy { max_bytes: 2000, ..Policy::default() });
    let attempt = scene.running(1).remove(0);
    let large = NewTask { params: vec![0; 2000].into(), ..waiting() };
    let large = Command::Accept(Box::new(large));
    assert_eq!(scene.tell(large), refused(AcceptRefusal::Full));
    let outcome = Outcome::Done(vec![0; 5000].into());
    assert!(matches!(scene.finish(&attempt, Ending::Outcome(outcome)), Reply::Ended(_)));
    let one = Command::Accept(Box::new(waiting()));
    assert_eq!(scene.tell(one), refused(AcceptRefusal::Full));
    assert_eq!(scene.tell(Command::Purge(attempt.task)), Reply::Done);
    assert_eq!(scene.book.bytes, 0);
}

#[test]
fn progress_is_kept_and_the_last_word_counts() {
    let mut scene = scene();
    let attempt = scene.running(1).remove(0);
    for value in [1, 2] {
        let value = vec![value].into();
        let progress = Command::Progress { task: attempt.task, token: attempt.token, value };
        assert_eq!(scene.tell(progress), Reply::Done);
    }
    assert_eq!(scene.task(attempt.task).progress, Some(vec![2].into()));
}

#[test]
fn other_ledgers_and_unknown_tasks_are_told_apart() {
    let mut scene = scene();
    let here = scene.book.id(7);
    let there = TaskId { ledger: Uuid::from_u128(9), number: 7 };
    for command in [Command::Show, Command::Cancel, Command::Retry, Command::Purge] {
        assert_eq!(scene.tell(command(here)), Reply::Unknown);
        assert_eq!(scene.tell(command(there)), Reply::NotHere);
    }
}

#[test]
fn what_has_not_ended_is_not_purged_and_numbers_are_not_used_again() {
    let mut scene = scene();
    let attempt = scene.running(1).remove(0);
    assert_eq!(scene.tell(Command::Purge(attempt.task)), Reply::NotEnded);
    scene.finish(&attempt, done());
    assert_eq!(scene.tell(Command::Purge(attempt.task)), Reply::Done);
    assert_eq!(scene.tell(Command::Show(attempt.task)), Reply::Unknown);
    assert_eq!(scene.accept(waiting()).task.number, 2);
}

#[test]
fn a_list_has_the_newest_first_and_says_how_many_there_are() {
    let mut scene = scene();
    for _ in 0..3 {
        scene.accept(waiting());
    }
    let Reply::Listed(tasks, all) = scene.tell(Command::List { limit: 2 }) else { panic!() };
    assert_eq!(tasks.iter().map(|it| it.id.number).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(all, 3);
}

#[test]
fn a_sweep_says_what_is_due_and_when_the_next_is() {
    let mut scene = scene();
    assert_eq!(scene.sweep(), Swept::default());
    let attempt = scene.running(1).remove(0);
    assert_eq!(scene.sweep(), Swept::default(), "what runs is not due");
    let Reply::Ended(Verdict::Again(wait)) = scene.finish(&attempt, again()) else { panic!() };
    assert_eq!(scene.sweep(), Swept { next: Some(wait), ..Swept::default() });
    scene.now += u64::try_from(wait.as_micros()).unwrap();
    assert_eq!(scene.sweep(), Swept { due: true, ..Swept::default() });
}

#[test]
fn what_was_written_down_makes_the_same_book() {
    let mut scene = scene();
    let attempts = scene.running(4);
    scene.accept(keyed("k", 1));
    scene.finish(&attempts[0], done());
    scene.finish(&attempts[1], again());
    scene.tell(Command::Cancel(attempts[2].task));
    scene.crash();
    scene.tell(Command::Purge(attempts[0].task));
    let mut read = Book::new(scene.book.ledger, scene.book.policy.clone());
    scene.log.iter().for_each(|change| read.apply(change));
    assert_eq!(format!("{:?}", read.tasks), format!("{:?}", scene.book.tasks));
    assert_eq!(
        (read.bytes, read.next, read.epoch),
        (scene.book.bytes, scene.book.next, scene.book.epoch)
    );
    assert_eq!((&read.keys, &read.params), (&scene.book.keys, &scene.book.params));
    assert_eq!((&read.ready, &read.suspects), (&scene.book.ready, &scene.book.suspects));
    assert_eq!((&read.over, &read.running), (&scene.book.over, &scene.book.running));
}
